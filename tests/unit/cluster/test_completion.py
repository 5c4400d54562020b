"""What may be typed next."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cluster.commands import k8s
from services.cluster.completion import candidates
from tests.fakes.kubernetes import ApiServer
from tests.fakes.release import deployment, pod
from tests.unit.cluster.test_commands import kubeconfig


@pytest.fixture(autouse=True)
def _release(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", api.url)))
    api.add(deployment("gateway"), deployment("inference-large"), deployment("inference-small"))
    api.add(pod("gateway"), pod("inference-large", node="node-2"))


def offered(*words: str) -> list[str]:
    *lines, last = candidates(k8s, words)
    assert last == ":4"
    return [line.partition("\t")[0] for line in lines]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("sl",), ["sleep"]),
        (("key", ""), ["create", "list", "revoke"]),
        (("sleep", ""), ["large", "small"]),
        (("wake", "s"), ["small"]),
        (("rollout", ""), ["gateway", "large", "small"]),
        (("drain", ""), ["chatmesh-gateway-0", "chatmesh-inference-large-0", "node-1", "node-2"]),
        (("drain", "node-2"), ["node-2"]),
        (("rollout", "gateway", "--un"), ["--undo"]),
        (("-n", "elsewhere", "sleep", ""), []),
    ],
)
def test_commands_options_and_what_the_release_has_are_offered(
    words: tuple[str, ...], names: list[str]
) -> None:
    assert offered(*words) == names


@pytest.mark.parametrize("resource", ["deployments", "pods"])
def test_where_the_cluster_says_no_nothing_is_offered(api: ApiServer, resource: str) -> None:
    api.forbidden = {resource}
    command = "sleep" if resource == "deployments" else "drain"
    assert offered(command, "") == []


def test_without_a_cluster_commands_are_offered_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    assert offered("sleep", "") == []
    assert "status" in offered("")
    assert "status" in offered()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    ended = CliRunner().invoke(k8s, ["completion", shell])
    assert ended.exit_code == 0
    assert "_KUBECTL_CHATMESH_COMPLETE" in ended.output
