"""A bundle tells how a release is, and nothing that was said in it."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.cluster.redaction import LEFT_OUT, log, manifest, sentence
from tests.fakes.kubernetes import ApiServer
from tests.fakes.measured import service_metrics
from tests.fakes.release import admin_service, crashed, deployment, event, pod
from tests.unit.cluster.test_commands import kubeconfig, type_in

CANARY = "zyzzyva"
FRAME = '  File "/srv/chatmesh/services/gateway/turn.py", line 12, in run'
OWN = {"event": "bug", "level": "error", "timestamp": "2026-01-01T09:00:00Z"}


def unpacked(file: Path) -> Mapping[str, str]:
    with tarfile.open(file) as archive:
        found = {}
        for member in archive.getmembers():
            reading = archive.extractfile(member)
            assert reading is not None
            found[member.name.removeprefix("chatmesh-bundle/")] = reading.read().decode()
        return found


@pytest.fixture
def release(api: ApiServer) -> ApiServer:
    """One whose every place that may hold words or secrets holds the canary."""
    broken = pod("memory", 0, crashed(f"Traceback\nValueError: {CANARY} was said"))
    broken["spec"]["containers"][0]["env"] = [{"name": "AWS_SECRET_ACCESS_KEY", "value": CANARY}]
    broken["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": CANARY}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**broken["metadata"], "name": "hub"},
        "data": {"HF_TOKEN": CANARY},
    }
    api.add(deployment("gateway"), deployment("memory", ready=0), pod("gateway"), broken, secret)
    api.add(admin_service("keda"), event("Pod", "chatmesh-memory-0", "BackOff", "back-off 5m"))
    api.metrics["chatmesh-gateway-0"] = service_metrics(2)
    bug = OWN | {"exception": [{"exc_type": "ValueError", "exc_value": CANARY, "frames": []}]}
    library = {**OWN, "event": f"Could not read {CANARY}", "prompt": CANARY}
    lines = [json.dumps(bug), json.dumps(library), f"INFO prompt: {CANARY}", FRAME]
    api.logs["chatmesh-gateway-0", "gateway"] = "\n".join([*lines, f"ValueError: {CANARY}"])
    api.logs["chatmesh-memory-0", "memory"] = CANARY
    api.logs["chatmesh-memory-0", "-memory"] = f"{CANARY}\n{FRAME}"
    return api


def packed(release: ApiServer, tmp_path: Path) -> Mapping[str, str]:
    config = kubeconfig(tmp_path / "config", release.url)
    ended = type_in(config, "bundle", str(tmp_path / "report.tar.gz"))
    assert ended.exit_code == 0, ended.output
    assert ended.stdout == f"{tmp_path / 'report.tar.gz'}\n"
    return unpacked(tmp_path / "report.tar.gz")


def test_it_holds_neither_words_nor_secrets(release: ApiServer, tmp_path: Path) -> None:
    for name, text in packed(release, tmp_path).items():
        assert CANARY not in text, name
    assert not [path for _, path in release.asked if "secrets" in path]


def test_it_tells_how_the_release_is(release: ApiServer, tmp_path: Path) -> None:
    found = packed(release, tmp_path)
    assert set(found) >= {
        *("README.txt", "view.json", "findings.json", "versions.json", "missing.json"),
        *("pods.json", "deployments.json", "services.json", "events.json", "claims.json"),
        *("metrics/chatmesh-gateway-0.txt", "logs/chatmesh-gateway-0/gateway.log"),
        "logs/chatmesh-memory-0/memory.previous.log",
    }
    (finding,) = json.loads(found["findings.json"])
    assert finding["where"] == "memory, pod chatmesh-memory-0"
    assert finding["what"] == f"it ends by itself: {LEFT_OUT}"
    assert "chatmesh_rpc_running" in found["metrics/chatmesh-gateway-0.txt"]
    (backing_off,) = json.loads(found["events.json"])
    assert backing_off["message"] == "back-off 5m"
    lines = found["logs/chatmesh-gateway-0/gateway.log"].splitlines()
    bug = json.loads(lines[0])
    assert (bug["event"], bug["exception"][0]["exc_type"]) == ("bug", "ValueError")
    assert lines[2:] == [FRAME, "ValueError", "(1 lines of other programs are left out)"]


def test_what_may_not_be_read_is_told_and_the_rest_is_packed(
    release: ApiServer, tmp_path: Path
) -> None:
    release.forbidden = {"configmaps", "pods/log"}
    found = packed(release, tmp_path)
    missing = json.loads(found["missing.json"])
    assert "configmaps: 403 Forbidden" in missing
    assert "log of chatmesh-gateway-0: 403 Forbidden" in missing
    assert "pods.json" in found


def test_a_file_that_is_there_is_not_written_over(release: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "report.tar.gz").write_text("precious")
    config = kubeconfig(tmp_path / "config", release.url)
    for place in ("report.tar.gz", "no/such/folder.tar.gz"):
        ended = type_in(config, "bundle", str(tmp_path / place))
        assert ended.exit_code == 1
        assert ended.output.count("\n") == 1
    assert (tmp_path / "report.tar.gz").read_text() == "precious"


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "key made", "key_id": "abcdefgh", "status": 503, "took": 0.5, "streamed": True},
        {"event": "serving http", "request_id": "req_1", "method": "chatmesh.v1/Respond"},
        {"event": "draining", "took": None},
    ],
)
def test_the_meshs_own_lines_are_kept_whole(entry: Mapping[str, object]) -> None:
    assert [json.loads(line) for line in log([json.dumps(entry)])] == [entry]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"event": f"Unclosed {CANARY}"}),
        json.dumps({"event": "draining", "text": CANARY}),
        json.dumps({"event": "draining", "error": f"it said {CANARY}"}),
        json.dumps({"event": "draining", "parts": [CANARY]}),
        json.dumps({"event": ["draining", CANARY]}),
        json.dumps({"event": "bug", "exception": [{"frames": [{"locals": {"x": CANARY}}]}]}),
        json.dumps({"event": "bug", "exception": [{"frames": CANARY}, CANARY]}),
        json.dumps([CANARY]),
        json.dumps(CANARY),
        CANARY,
        f"KeyError: {CANARY}",
        f'  File "x.py", line 3, in f  # {CANARY}',
        "",
    ],
)
def test_of_other_lines_no_word_is_kept(line: str) -> None:
    assert CANARY not in "\n".join(log([line]))


def test_of_manifests_values_and_last_words_are_left_out_and_names_are_kept() -> None:
    told = manifest(
        {
            "env": [
                {"name": "KEY", "value": CANARY},
                {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "k"}}},
            ],
            "managedFields": [CANARY],
            "status": [{"lastState": {"terminated": {"exitCode": 1, "message": CANARY}}}],
            "data": {"GATEWAY_OTLP_ENDPOINT": f"http://ada:{CANARY}@collector:4317"},
        }
    )
    assert CANARY not in json.dumps(told)
    assert told["env"][0] == {"name": "KEY", "value": LEFT_OUT}
    assert told["env"][1]["valueFrom"]["secretKeyRef"]["name"] == "hub"
    assert told["status"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert told["data"]["GATEWAY_OTLP_ENDPOINT"] == f"http://{LEFT_OUT}@collector:4317"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"it ends by itself: {CANARY}", f"it ends by itself: {LEFT_OUT}"),
        ("no node has room for it: 0/3 nodes", "no node has room for it: 0/3 nodes"),
        ("its rollout does not get on", "its rollout does not get on"),
    ],
)
def test_of_a_finding_only_what_a_process_said_is_left_out(text: str, told: str) -> None:
    assert sentence(text, frozenset({CANARY})) == told
