"""What cannot be migrated stops an upgrade, and the release goes on as it was."""

from collections.abc import Iterator

import pytest

from services.cluster.doctor import examine
from services.memory.adapters.sqlite import MIGRATIONS
from services.shared.schema import Breaking
from tests.cluster.site import Site, labelled, ready, values

pytestmark = [pytest.mark.timeout(900)]
STORES = ("gateway", "context-assembly", "memory")
FILE = "/var/lib/chatmesh/store/memory.sqlite"


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    """At the second try: the first one, with an image that is not there, has made no volumes."""
    wrong = values(images={"tag": "not-there"})
    with pytest.raises(AssertionError, match="pre-install"):
        here.helm("install", "--timeout=15s", values=wrong)
    (finding,) = examine(here.cluster, here.cluster.view()).findings
    assert finding.where.startswith("job chatmesh-bootstrap, pod ")
    assert "images.prefix" in finding.remedy
    here.helm("upgrade", "--install", "--wait", "--timeout=600s", values=values())
    here.key = here.plugin("key", "create", "tests", "--application").strip()
    yield here
    here.helm("uninstall", "--wait")


def on_store(mesh: Site, sql: str) -> str:
    """What the memory's store answers, in its own pod."""
    code = f"import sqlite3; print(sqlite3.connect('{FILE}').executescript('{sql}'))"
    return mesh.kubectl("exec", "deployment/chatmesh-memory", "--", "python", "-c", code)


def schema(known: int, needed: int) -> str:
    """As a release with so many migrations leaves it, one of which breaks those before."""
    return f"PRAGMA user_version={known}; UPDATE readers SET know={needed};"


def our_schema() -> str:
    breaking = [n for n, script in enumerate(MIGRATIONS, 1) if isinstance(script, Breaking)]
    return schema(len(MIGRATIONS), max(breaking, default=0))


async def test_a_store_that_is_too_new_stops_the_upgrade_and_nothing_else(mesh: Site) -> None:
    on_store(mesh, schema(99, 99))
    before = {one.name: {r.name for r in one.pods} for one in mesh.cluster.view().components}
    async with mesh.traffic(4, "say hello") as traffic:
        await traffic.finished(4)
        with pytest.raises(AssertionError, match="chatmesh-migrations"):
            mesh.helm("upgrade", "--wait", "--timeout=600s", values=values())
        await traffic.finished(4)
    assert traffic.failures() == []
    after = {one.name: {r.name for r in one.pods} for one in mesh.cluster.view().components}
    assert after == before
    found = list(examine(mesh.cluster, mesh.cluster.view()).findings)
    jobs = ("chatmesh-migrations", "chatmesh-migrate-memory-")
    for job, finding in zip(jobs, found, strict=True):
        assert finding.where.startswith(f"job {job}")
        assert "its store was written by a newer release" in finding.what
        assert "has schema 99" in finding.what
    mesh.tell(
        f"upgrade onto a store that is too new: refused, {len(traffic.turns)} turns meanwhile, "
        "none failed; the doctor names the store"
    )


async def test_once_it_is_right_the_upgrade_goes_through(mesh: Site) -> None:
    on_store(mesh, our_schema())
    mesh.helm("upgrade", "--wait", "--timeout=600s", values=values())
    assert not list(examine(mesh.cluster, mesh.cluster.view()).findings)
    for store in STORES:
        mesh.until_pods(
            lambda pods: bool(pods) and all(map(ready, pods.values())),
            label_selector=labelled(store),
        )
