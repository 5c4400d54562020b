"""`kubectl chatmesh` on a release that works, as one who may act, may look, and may do neither."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.site import RELEASE, ROOT, Site, labelled, run, values

ASK = "say 40 words at 10 a second"
pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    here.install(values())
    yield here
    here.helm("uninstall", "--wait")


async def test_status_tells_streams_while_they_run(mesh: Site) -> None:
    async with mesh.traffic(6, ASK) as traffic:
        await traffic.finished(6)
        told = json.loads(await asyncio.to_thread(mesh.plugin, "status", "-o", "json"))
    assert told["turns"] > 0
    assert [one["name"] for one in told["services"]] == [
        *("gateway", "moderation", "context-assembly", "memory", "tokenizer", "tool-runner")
    ]
    [pool] = told["pools"]
    assert (pool["name"], pool["ready"], pool["slots"]) == ("scripted", 2, 16)
    assert pool["running"] > 0
    for command in ("status", "top", "pools"):
        assert "scripted" in await asyncio.to_thread(mesh.plugin, command)


async def test_a_drained_pod_loses_no_stream(mesh: Site) -> None:
    victim = mesh.replicas("inference-scripted")[0].name
    async with mesh.traffic(6, ASK) as traffic:
        await traffic.finished(6)
        told = await asyncio.to_thread(mesh.plugin, "drain", victim)
        await traffic.finished(6)
    assert traffic.failures() == []
    lines = told.splitlines()
    assert lines[0] == f"{victim} takes nothing new"
    assert any("streams left" in line for line in lines)
    assert f"{victim} is gone after" in lines[-1]


async def test_a_drained_node_loses_no_stream(mesh: Site) -> None:
    """The only node: it takes pods again as soon as it was told not to."""
    await asyncio.to_thread(mesh.settled, "inference-scripted")
    node = mesh.replicas("tokenizer")[0].node
    before = {r.name for one in mesh.cluster.view().components for r in one.pods}
    async with mesh.traffic(6, ASK, patience=60) as traffic:
        await traffic.finished(6)
        drain = await asyncio.create_subprocess_exec(
            *(str(ROOT / ".venv/bin/kubectl-chatmesh"), "-n", mesh.namespace, "drain", node),
            stdout=asyncio.subprocess.PIPE,
        )
        assert drain.stdout is not None
        assert b"takes no more pods" in await drain.stdout.readline()
        await asyncio.to_thread(mesh.kubectl, "uncordon", node)
        rest = (await drain.stdout.read()).decode()
        assert await drain.wait() == 0
        await traffic.finished(6)
    assert traffic.failures() == []
    assert f"node {node} is free of {RELEASE}" in rest
    assert not before & {r.name for one in mesh.cluster.view().components for r in one.pods}


async def test_a_pool_put_to_sleep_holds_who_asks_until_it_is_woken(mesh: Site) -> None:
    pods = labelled("inference-scripted")
    assert "sleeps" in await asyncio.to_thread(mesh.plugin, "sleep", "scripted")
    await asyncio.to_thread(mesh.until_pods, lambda found: not found, label_selector=pods)
    async with mesh.traffic(1, ASK) as traffic:
        told = ""
        while '"held": 1' not in told:
            told = await asyncio.to_thread(mesh.plugin, "pools", "-o", "json")
        assert not traffic.turns
        assert "wakes" in await asyncio.to_thread(mesh.plugin, "wake", "scripted")
        await traffic.finished(1)
    assert traffic.failures() == []


def test_a_rollout_is_followed_to_its_end(mesh: Site) -> None:
    lines = mesh.plugin("rollout", "tokenizer", "--restart").splitlines()
    assert lines[-1] == "tokenizer: 2 of 2 new, 2 ready, 0 old"


def test_nothing_is_wrong(mesh: Site) -> None:
    for component in mesh.cluster.view().components:
        mesh.settled(component.name)
    assert mesh.plugin("doctor") == "nothing is wrong\n"


@pytest.mark.parametrize(
    ("role", "command", "may"),
    [
        ("viewer", ("status",), True),
        ("viewer", ("doctor",), True),
        ("viewer", ("sleep", "scripted"), False),
        ("viewer", ("key", "create", "eve"), False),
        ("keys", ("key", "create", "ada"), True),
        ("keys", ("key", "list"), True),
        ("keys", ("key", "revoke", "--account", "ada"), True),
        ("keys", ("status",), False),
        ("keys", ("doctor",), False),
        ("operator", ("key", "create", "eve"), False),
        ("viewer", ("key", "list"), False),
        ("operator", ("rollout", "tokenizer", "--restart"), True),
        ("", ("status",), False),
    ],
)
def test_roles_allow_what_they_are_for(
    mesh: Site, tmp_path: Path, role: str, command: tuple[str, ...], *, may: bool
) -> None:
    account = f"{role or 'no'}-role"
    mesh.kubectl("create", "serviceaccount", account) if not has(mesh, account) else None
    if role and not has(mesh, account, "rolebinding"):
        binding = (f"--role={RELEASE}-{role}", f"--serviceaccount={mesh.namespace}:{account}")
        mesh.kubectl("create", "rolebinding", account, *binding)
    config = tmp_path / "kubeconfig"
    config.write_text(as_account(mesh, account))
    plugin = str(ROOT / ".venv/bin/kubectl-chatmesh")
    whole = ("env", f"KUBECONFIG={config}", plugin, "-n", mesh.namespace, *command)
    if may:
        assert run(*whole)
        return
    with pytest.raises(AssertionError, match=f"you may not.*{RELEASE}-operator"):
        run(*whole)


def has(mesh: Site, name: str, kind: str = "serviceaccount") -> bool:
    return bool(mesh.kubectl("get", kind, name, "-o", "name", "--ignore-not-found"))


def as_account(mesh: Site, account: str) -> str:
    """The kubeconfig in use, with a token of the account in place of its user."""
    given = yaml.safe_load(run("kubectl", "config", "view", "--raw", "--minify", "--flatten"))
    token = mesh.kubectl("create", "token", account).strip()
    given["users"] = [{"name": "account", "user": {"token": token}}]
    given["contexts"][0]["context"]["user"] = "account"
    made: str = yaml.safe_dump(given)
    return made
