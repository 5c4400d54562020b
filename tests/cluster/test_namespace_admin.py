"""Who administers one namespace and nothing else installs, uses, upgrades and removes a release."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.site import CHART, RELEASE, ROOT, Site, Values, run, values
from tests.cluster.test_operations import as_account

pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def admin(here: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Admin"]:
    here.kubectl("create", "serviceaccount", "admin")
    account = f"--serviceaccount={here.namespace}:admin"
    here.kubectl("create", "rolebinding", "admin", "--clusterrole=admin", account)
    folder = tmp_path_factory.mktemp("admin")
    (folder / "kubeconfig").write_text(as_account(here, "admin"))
    yield Admin(here, folder)
    here.helm("uninstall", "--wait", "--ignore-not-found")


class Admin:
    """Types with their own kubeconfig."""

    def __init__(self, here: Site, folder: Path) -> None:
        self._namespace = here.namespace
        self._folder = folder

    def typed(self, *command: str) -> str:
        return run("env", f"KUBECONFIG={self._folder / 'kubeconfig'}", *command)

    def helm(self, verb: str, *options: str, values: Values | None = None) -> str:
        given: tuple[str, ...] = ()
        if values is not None:
            (self._folder / "values.yaml").write_text(yaml.safe_dump(values))
            given = (str(CHART), "-f", str(self._folder / "values.yaml"))
        return self.typed("helm", verb, RELEASE, *given, "-n", self._namespace, *options)

    def plugin(self, *words: str) -> str:
        plugin = str(ROOT / ".venv/bin/kubectl-chatmesh")
        return self.typed(plugin, "-n", self._namespace, *words)


def test_they_are_no_admin_of_the_cluster(admin: Admin) -> None:
    """The control."""
    for verb, what in (("list", "nodes"), ("create", "clusterroles"), ("create", "namespaces")):
        told = admin.typed("sh", "-c", f"kubectl auth can-i {verb} {what} || true")
        assert told.strip().endswith("no"), what


def test_the_check_before_says_that_they_may(admin: Admin) -> None:
    assert "you may not:" not in admin.plugin("check", "--pre")


def test_they_install_and_use_it(admin: Admin, here: Site) -> None:
    admin.helm("install", "--wait", "--timeout=600s", values=values())
    here.key = admin.plugin("key", "create", "tests", "--application").strip()
    assert here.key.startswith("cm_live_")
    assert admin.plugin("doctor") == "nothing is wrong\n"
    assert "scripted" in admin.plugin("status")
    assert "Succeeded" in admin.helm("test", "--timeout=300s")


async def test_they_upgrade_it_under_load(admin: Admin, here: Site) -> None:
    async with here.traffic(4, "say 10 words at 20 a second", patience=60) as traffic:
        await traffic.finished(4)
        changed = values(tokenizer={"config": {"log_level": "ERROR"}})
        admin.helm("upgrade", "--wait", "--timeout=600s", values=changed)
        await traffic.finished(4)
    assert traffic.failures() == []


def test_they_remove_it(admin: Admin, here: Site) -> None:
    admin.helm("uninstall", "--wait")
    here.until_pods(lambda pods: set(pods) == {"traffic"})
