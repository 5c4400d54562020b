"""The commands as they are typed: what they print, how they end."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from services import __version__
from services.__main__ import main
from services.cluster.commands import k8s
from services.inference.api import Load
from tests.fakes.kubernetes import ApiServer, served
from tests.fakes.loopback import QuietHandler, serving
from tests.fakes.measured import gateway_metrics, service_metrics
from tests.fakes.release import admin_service, crashed, deployment, node, pod, scaled_object

Typed = Callable[..., Result]


def kubeconfig(path: Path, url: str) -> Path:
    """With two contexts for one cluster; the current one's namespace is `chat`."""
    contexts = [
        {"name": name, "context": {"cluster": "here", "user": "ada", "namespace": namespace}}
        for name, namespace in (("daily", "chat"), ("other", "elsewhere"))
    ]
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "ada", "user": {"token": "secret"}}],
        "contexts": contexts,
        "current-context": "daily",
    }
    path.write_text(yaml.safe_dump(written))
    return path


def type_in(config: Path, *words: str) -> Result:
    environment = {"KUBECONFIG": str(config), "COLUMNS": "200"}
    return CliRunner().invoke(k8s, words, env=environment, catch_exceptions=False)


@pytest.fixture
def typed(api: ApiServer, tmp_path: Path) -> Typed:
    config = kubeconfig(tmp_path / "config", api.url)
    return lambda *words: type_in(config, *words)


@pytest.fixture
def release(api: ApiServer) -> ApiServer:
    """A gateway, moderation and two pools, one of which sleeps."""
    api.add(*(deployment(name) for name in ("gateway", "moderation", "inference-large")))
    api.add(deployment("inference-small", wanted=0, ready=0, updated=0))
    api.add(scaled_object("inference-small"), admin_service("keda"))
    api.add(pod("gateway"), pod("moderation", node="node-2"), pod("inference-large"))
    load = Load(6, 2, 50, slots=8, kv_cache_use=0.5, draining=False)
    loads = {"large": {"chatmesh-inference-large-0": load}, "small": {}}
    api.metrics["chatmesh-gateway-0"] = gateway_metrics(loads, turns=9, held={"small": 1})
    api.metrics["chatmesh-moderation-0"] = service_metrics(3)
    return api


@contextmanager
def metrics_served(text: str) -> Iterator[str]:
    """What a gateway shows at its port of metrics."""

    class Metrics(QuietHandler):
        def do_GET(self) -> None:
            assert self.path == "/metrics"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Metrics)) as url:
        yield url


def cells(output: str, first: str) -> list[str]:
    """Of the row that begins with `first`."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines()]
    (row,) = (row for row in rows if row and row[0] == first)
    return row


@pytest.mark.usefixtures("release")
def test_status_shows_services_and_pools(typed: Typed) -> None:
    shown = typed("status")
    assert shown.exit_code == 0
    assert "chatmesh in chat: 9 turns under way" in shown.output
    assert cells(shown.output, "gateway") == ["gateway", "1/1", "0.1.0", ""]
    assert cells(shown.output, "large") == [
        *("large", "1/1", "0.1.0", "6/8", "2", "0", "50%", "-", "")
    ]
    assert cells(shown.output, "small") == [
        *("small", "0/0", "0.1.0", "0/0", "0", "1", "0%", "-", "")
    ]


def test_status_names_the_pods_that_are_not_ready(typed: Typed, release: ApiServer) -> None:
    release.add(pod("gateway", 1, crashed("")))
    assert cells(typed("status").output, "gateway")[3] == "chatmesh-gateway-1: CrashLoopBackOff"


@pytest.mark.usefixtures("release")
def test_status_for_programs_is_json(typed: Typed) -> None:
    told = json.loads(typed("status", "-o", "json").output)
    assert set(told) == {"release", "namespace", "turns", "services", "pools"}
    assert [one["name"] for one in told["services"]] == ["gateway", "moderation"]
    of_a_service = {"name", "version", "wanted", "ready", "updated", "pods"}
    of_a_pool = {"running", "waiting", "held", "slots", "kvCacheUse", "cacheHits"}
    assert set(told["services"][0]) == of_a_service
    assert set(told["pools"][0]) == of_a_service | of_a_pool


@pytest.mark.usefixtures("release")
def test_pools_shows_them_alone(typed: Typed) -> None:
    assert "gateway" not in typed("pools").output
    told = json.loads(typed("pools", "--output", "json").output)
    assert [(pool["name"], pool["running"]) for pool in told] == [("large", 6), ("small", 0)]


@pytest.mark.usefixtures("release")
def test_top_shows_what_every_pod_does(typed: Typed) -> None:
    output = typed("top").output
    assert cells(output, "chatmesh-gateway-0")[1:4] == ["node-1", "ready", "0"]
    assert cells(output, "chatmesh-gateway-0")[5] == "9"
    assert cells(output, "chatmesh-moderation-0")[5] == "3"
    assert cells(output, "chatmesh-inference-large-0")[5] == "-"


@pytest.mark.parametrize(
    ("words", "namespace", "release"),
    [
        ((), "chat", "chatmesh"),
        (("--context", "other"), "elsewhere", "chatmesh"),
        (("--context", "other", "-n", "third"), "third", "chatmesh"),
        (("-n", "third", "-r", "mine"), "third", "mine"),
    ],
)
def test_where_to_look_is_said_or_stands_in_the_kubeconfig(
    typed: Typed, api: ApiServer, words: tuple[str, ...], *, namespace: str, release: str
) -> None:
    told = json.loads(typed(*words, "status", "-o", "json").output)
    assert (told["namespace"], told["release"]) == (namespace, release)
    assert {path.split("/")[-2] for _, path in api.asked} == {namespace}


def test_the_kubeconfig_may_be_another(typed: Typed, api: ApiServer, tmp_path: Path) -> None:
    with served() as elsewhere:
        config = kubeconfig(tmp_path / "another", elsewhere.url)
        assert typed("--kubeconfig", str(config), "status").exit_code == 0
        assert elsewhere.asked
    assert not api.asked


def test_status_of_all_namespaces_has_a_line_for_each_release(
    typed: Typed, release: ApiServer
) -> None:
    theirs = deployment("gateway", ready=0, release="second")
    theirs["metadata"]["namespace"] = "other"
    release.add(theirs)
    shown = typed("status", "-A").output
    assert cells(shown, "chat") == ["chat", "chatmesh", "0.1.0", "2/2", "2/2", "9", "0"]
    assert cells(shown, "other") == ["other", "second", "0.1.0", "0/1", "0/0", "?", "0"]
    told = json.loads(typed("status", "-A", "-o", "json").output)
    places = [(one["namespace"], one["release"]) for one in told]
    assert places == [("chat", "chatmesh"), ("other", "second")]
    assert typed("status", "-A", "-w").exit_code == 2


def test_who_may_see_one_namespace_alone_is_told_so(typed: Typed, release: ApiServer) -> None:
    release.forbidden = {"deployments"}
    ended = typed("status", "-A")
    assert (ended.exit_code, "at the cluster scope" in ended.output) == (1, True)


def test_a_viewer_sees_what_the_gateway_tells_without_reaching_a_pod(
    typed: Typed, release: ApiServer
) -> None:
    release.add(admin_service())
    release.forbidden = {"pods/proxy/metrics"}
    assert "? turns under way" in typed("status").output
    told = release.metrics["chatmesh-gateway-0"]
    with metrics_served(told) as release.behind["chatmesh-gateway-admin:metrics"]:
        assert "9 turns under way" in typed("status").output
        assert cells(typed("pools").output, "large")[3:6] == ["6/8", "2", "0"]


def test_the_versions_of_all_that_works_together_are_told(typed: Typed, release: ApiServer) -> None:
    told = json.loads(typed("version", "-o", "json").output)
    assert told["plugin"] == __version__
    assert told["kubernetes"] == "v1.35.0"
    assert told["release"]["inference-large"] == "0.1.0"
    assert cells(typed("version").output, "gateway") == ["gateway", "0.1.0"]


def test_an_undo_is_followed_to_its_end(typed: Typed, release: ApiServer) -> None:
    now = release.find("deployments", "chatmesh-gateway")
    now["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    ended = typed("rollout", "gateway", "--undo")
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: chatmesh-gateway has had no other template")
    for words in (("--undo", "--restart"), ("--to", "1"), ("--undo", "--to", "0")):
        assert typed("rollout", "gateway", *words).exit_code == 2


def test_check_without_pre_says_what_doctor_says(typed: Typed, release: ApiServer) -> None:
    assert typed("check").output == typed("doctor").output == "nothing is wrong\n"
    assert typed("check", "-f", __file__).exit_code == 2


def test_what_could_not_be_looked_at_is_told_beside_the_findings(
    typed: Typed, release: ApiServer
) -> None:
    release.forbidden = {"persistentvolumeclaims"}
    ended = typed("doctor")
    assert ended.exit_code == 0
    assert ended.stdout == "nothing is wrong\n"
    assert ended.stderr == "not looked at: persistentvolumeclaims: you may not list them\n"


def test_doctor_ends_with_0_where_nothing_is_wrong(typed: Typed, release: ApiServer) -> None:
    ended = typed("doctor")
    assert (ended.exit_code, ended.output) == (0, "nothing is wrong\n")
    assert json.loads(typed("doctor", "-o", "json").output) == []


def test_doctor_ends_with_1_and_says_what_to_do(typed: Typed, release: ApiServer) -> None:
    release.add(pod("gateway", 1, crashed("", reason="OOMKilled")))
    ended = typed("doctor")
    assert ended.exit_code == 1
    where, what, remedy = cells(ended.output, "gateway, pod chatmesh-gateway-1")
    assert what == "it has too little memory: killed at its memory limit"
    assert remedy.startswith("raise its resources.limits.memory")
    told = typed("doctor", "-o", "json")
    assert told.exit_code == 1
    (finding,) = json.loads(told.output)
    assert set(finding) == {"where", "what", "remedy"}
    assert (finding["where"], finding["what"]) == (where, what)


def test_brackets_and_colons_of_a_pod_are_shown_as_they_are(
    typed: Typed, release: ApiServer
) -> None:
    words = "[rank0] no :smile: at [/models/large]"
    release.add(pod("inference-large", 1, crashed(words)))
    shown = cells(typed("doctor").output, "inference-large, pod chatmesh-inference-large-1")
    assert shown[1] == f"it ends by itself: {words}"


def test_a_pool_is_sent_to_sleep_by_its_name(typed: Typed, release: ApiServer) -> None:
    release.add(scaled_object("inference-large"))
    assert typed("sleep", "large").output.startswith("pool large sleeps")
    asleep = release.find("scaledobjects", "chatmesh-inference-large")
    assert asleep["metadata"]["annotations"] == {"autoscaling.keda.sh/paused-replicas": "0"}
    assert typed("wake", "small").output.startswith("pool small wakes: ")
    assert release.find("deployments", "chatmesh-inference-small")["spec"]["replicas"] == 1


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("name", ["gateway", "large", "inference-large"])
def test_a_rollout_is_followed_by_the_name_of_a_service_or_pool(typed: Typed, name: str) -> None:
    component = "gateway" if name == "gateway" else "inference-large"
    ended = typed("rollout", name)
    assert (ended.exit_code, ended.output) == (0, f"{component}: 1 of 1 new, 1 ready, 0 old\n")


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sleep", "tiny"), "no pool tiny in this release; there are: large, small"),
        (("wake", "gateway"), "no pool gateway in this release; there are: large, small"),
        (
            ("rollout", "tiny"),
            "no component tiny in this release; there are: "
            "gateway, moderation, inference-large, inference-small",
        ),
        (
            ("drain", "tiny"),
            "no pod tiny in this release; there are: "
            "chatmesh-gateway-0, chatmesh-moderation-0, chatmesh-inference-large-0",
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    typed: Typed, words: tuple[str, ...], said: str
) -> None:
    ended = typed(*words)
    assert (ended.exit_code, ended.output) == (1, f"Error: {said}\n")


def test_a_node_is_drained_by_its_name(typed: Typed, release: ApiServer) -> None:
    release.add(node("node-2"))
    release.forbidden = {"nodes"}
    ended = typed("drain", "node-2")
    assert ended.exit_code == 1
    assert "`kubectl cordon node-2`" in ended.output


def test_who_may_not_is_told_which_role_to_ask_for(typed: Typed, release: ApiServer) -> None:
    release.forbidden = {"deployments"}
    ended = typed("-r", "mine", "status")
    assert ended.exit_code == 1
    assert ended.output == (
        'Error: you may not: deployments is forbidden: User "ada" cannot list resource '
        '"deployments" in API group "apps" in the namespace "chat". '
        "Ask for the role mine-viewer to look, mine-operator to act, mine-keys for API keys\n"
    )


def test_without_a_kubeconfig_one_is_asked_for(tmp_path: Path) -> None:
    ended = type_in(tmp_path / "nothing", "status")
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: no cluster: ")
    assert ended.output.endswith("; set KUBECONFIG\n")


def test_an_unknown_context_is_named(typed: Typed) -> None:
    ended = typed("--context", "tomorrow", "status")
    assert ended.exit_code == 1
    assert "tomorrow" in ended.output


def test_a_server_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with served() as gone:
        config = kubeconfig(tmp_path / "config", gone.url)
    ended = type_in(config, "status")
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: the API server does not answer: ")
    assert ended.output.count("\n") == 1


def test_help_needs_no_cluster(tmp_path: Path) -> None:
    ended = type_in(tmp_path / "nothing", "drain", "--help")
    assert ended.exit_code == 0
    assert "the pod or node NAME" in ended.output


def test_it_is_one_of_the_commands_of_chatmesh() -> None:
    assert "k8s" in CliRunner().invoke(main, ["--help"]).output
    assert "doctor" in CliRunner().invoke(main, ["k8s", "--help"]).output
