"""What is wrong is said with what to do about it, read off what containers really say."""

import ast
import errno
import importlib.util
import io
import logging
import os
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.cluster.doctor import examine
from services.cluster.finding import Finding
from services.cluster.view import Cluster
from services.gateway.config import GatewayConfig
from services.inference.config import InferenceConfig
from services.inference.wiring import SERVICE
from services.shared.config import ServiceConfig
from services.shared.process import Service, read, run
from services.shared.schema import Breaking, NewerSchema
from services.shared.sqlite import open_sqlite
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.logs import logged_to
from tests.fakes.release import (
    FETCHED,
    STARTS,
    admin_service,
    claim,
    crashed,
    deployment,
    event,
    group,
    grouped,
    pod,
    progressing,
    put_out,
    scaled_object,
    tried,
    unplaced,
    unready,
    waits,
)

POOL = "inference-large"
EARLIER = "2026-01-01T08:00:00Z"
NO_AFFINITY = (
    "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. "
    "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)
NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NO_MEMORY = "0/3 nodes are available: 3 Insufficient memory."


def found(cluster: Cluster) -> Sequence[Finding]:
    return list(examine(cluster, cluster.view()).findings)


def only(api: ApiServer, cluster: Cluster, component: str, there: Json) -> Finding:
    """The one finding where this pod is all that is wrong."""
    api.add(deployment(component, ready=0), there)
    (finding,) = found(cluster)
    assert finding.where == f"{component}, pod chatmesh-{component}-0"
    return finding


def last_words(service: Service[Any]) -> str:
    """Of a process that cannot start."""
    with pytest.raises(SystemExit) as ended, logged_to(io.StringIO()):
        run(service)
    return str(ended.value)


def test_nothing_is_wrong_where_all_is_ready(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), deployment(POOL, wanted=0, ready=0, updated=0))
    api.add(pod("gateway"), claim("gateway"), admin_service("keda"), scaled_object(POOL))
    assert not found(cluster)


def test_what_starts_or_leaves_is_not_wrong(api: ApiServer, cluster: Cluster) -> None:
    left = pod("memory", 0, crashed("inference: it is over"))
    left["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
    api.add(deployment("gateway"), deployment("memory"))
    api.add(pod("gateway", 0, STARTS), pod("gateway", 1, waits("ContainerCreating")), left)
    assert not found(cluster)


def test_a_release_that_is_not_there_is_asked_for_by_another_name(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("gateway", release="other"))
    assert found(cluster) == [
        Finding(
            "release chatmesh",
            "nothing of it is in namespace chat",
            "name the right ones: --release and --namespace",
        )
    ]


@pytest.mark.parametrize("said", [NO_AFFINITY, NO_GPU])
def test_a_pool_that_no_gpu_is_there_for(api: ApiServer, cluster: Cluster, said: str) -> None:
    finding = only(api, cluster, POOL, unplaced(POOL, said, devices=1))
    assert finding.what == f"no node has the GPU that it asks for: {said}"
    assert "kubectl get nodes -L nvidia.com/gpu.product" in finding.remedy


@pytest.mark.parametrize(
    ("component", "said"),
    [("gateway", NO_MEMORY), (POOL, NO_MEMORY), (POOL, NO_AFFINITY)],
)
def test_what_wants_no_gpu_is_not_sent_to_buy_one(
    api: ApiServer, cluster: Cluster, component: str, said: str
) -> None:
    finding = only(api, cluster, component, unplaced(component, said))
    assert finding.what == f"no node has room for it: {said}"


@pytest.mark.parametrize(
    "said",
    [
        '0/1 nodes are available: persistentvolumeclaim "models" not found.',
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
    ],
)
def test_a_pod_whose_volume_is_not_there(api: ApiServer, cluster: Cluster, said: str) -> None:
    finding = only(api, cluster, POOL, unplaced(POOL, said, devices=1))
    assert finding.what == f"its volume is not there: {said}"
    assert finding.remedy == "kubectl -n chat get pvc"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_cannot_be_had(api: ApiServer, cluster: Cluster, reason: str) -> None:
    finding = only(api, cluster, "memory", pod("memory", 0, waits(reason, "not found")))
    assert finding.what == f"its image ghcr.io/chatmesh/mesh:0.1.0 cannot be had ({reason})"
    assert "images.prefix" in finding.remedy


def test_a_model_that_cannot_be_fetched(api: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.shared.weights", "ftp://bucket/model"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    fetches = crashed(done.stderr)
    finding = only(api, cluster, POOL, pod(POOL, does=waits("PodInitializing"), fetches=fetches))
    assert "its model cannot be fetched: weights: ftp://bucket/model" in finding.what
    assert "inference.weights" in finding.remedy


async def test_a_store_that_is_too_new(api: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/memory.sqlite"
    async with open_sqlite(url, ["SELECT 1", Breaking("SELECT 2")]):
        pass
    with pytest.raises(NewerSchema) as refused:
        async with open_sqlite(url, ["SELECT 1"]):
            pass
    api.add(deployment("memory"), pod("memory"))
    for number in range(2):
        api.add(tried("migrate-memory", number, exit_code=1, message=f"memory: {refused.value}"))
    (finding,) = found(cluster)
    assert finding.where == "job chatmesh-migrate-memory, pod chatmesh-migrate-memory-1"
    assert "its store was written by a newer release" in finding.what


def test_a_job_that_succeeded_in_the_end_is_not_told(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("memory"), pod("memory"))
    api.add(tried("migrate-memory", 0, exit_code=1), tried("migrate-memory", 1, exit_code=0))
    assert not found(cluster)


def test_an_install_that_waits_for_its_first_job(api: ApiServer, cluster: Cluster) -> None:
    there = tried("bootstrap", 0, exit_code=0)
    there["status"] = pod("bootstrap", 0, waits("ImagePullBackOff"))["status"]
    api.add(there)
    (finding,) = found(cluster)
    assert finding.where == "job chatmesh-bootstrap, pod chatmesh-bootstrap-0"
    assert "images.prefix" in finding.remedy


def test_the_words_of_a_first_end_are_in_its_log(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("memory"), pod("memory"))
    api.add(tried("migrate-memory", 0, exit_code=1, message="nobody knows why"))
    (finding,) = found(cluster)
    assert finding.what == "it ends by itself: nobody knows why"
    assert finding.remedy == "kubectl -n chat logs chatmesh-migrate-memory-0"


def test_a_worker_of_a_group_is_told_with_its_pool(api: ApiServer, cluster: Cluster) -> None:
    api.add(group(POOL, ready=0), *grouped(POOL, crashed("the engine did not start: why")))
    (finding,) = found(cluster)
    assert finding.where == f"{POOL}, pod chatmesh-{POOL}-0-1"


def test_an_image_that_fetches_and_cannot_be_had_is_named(api: ApiServer, cluster: Cluster) -> None:
    there = pod(POOL, does=waits("PodInitializing"), fetches=waits("ImagePullBackOff"))
    assert "chatmesh/mesh:0.1.0 cannot be had" in only(api, cluster, POOL, there).what


def test_a_fetch_that_went_well_in_the_end_is_not_told(api: ApiServer, cluster: Cluster) -> None:
    there = pod(POOL, does=crashed("the engine did not start: why"), fetches=FETCHED)
    assert "the engine dies while it loads" in only(api, cluster, POOL, there).what


def test_a_container_that_cannot_be_made(api: ApiServer, cluster: Cluster) -> None:
    does = waits("CreateContainerConfigError", 'secret "chatmesh-pepper" not found')
    finding = only(api, cluster, "gateway", pod("gateway", 0, does))
    assert finding.what == 'it cannot be made: secret "chatmesh-pepper" not found'
    assert finding.remedy == "kubectl -n chat describe pod chatmesh-gateway-0"


@pytest.mark.parametrize("holds", ["nothing", "an empty directory", "no weights"])
def test_a_model_that_is_missing(
    api: ApiServer, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: str
) -> None:
    model = tmp_path / "model"
    if holds != "nothing":
        model.mkdir()
    if holds == "no weights":
        (model / "config.json").touch()
    monkeypatch.setenv("INFERENCE_MODEL", str(model))
    words = last_words(SERVICE)
    assert str(model) in words
    finding = only(api, cluster, POOL, pod(POOL, 0, crashed(words)))
    assert finding.what == f"its model is missing or not whole: {words}"
    assert "model.source" in finding.remedy


def refusals(module: str) -> Sequence[str]:
    """All sentences with which it does not start, without importing it; a 1 is what is put in."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    calls = [
        n for n in ast.walk(ast.parse(Path(spec.origin).read_text())) if isinstance(n, ast.Call)
    ]
    told = [call.args[0] for call in calls if ast.unparse(call.func) == "CannotStart"]
    return [_filled(sentence) for sentence in told]


def _filled(sentence: ast.expr) -> str:
    parts = sentence.values if isinstance(sentence, ast.JoinedStr) else [sentence]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("cannot be read", "its model is missing or not whole"),
        ("GiB are free", "the engine has too little memory"),
        ("INFERENCE_ENGINE_ARGS", "a value of its config is wrong"),
        ("did not start", "the engine dies while it loads"),
    ],
)
def test_the_sentences_of_the_engine_are_understood(
    api: ApiServer, cluster: Cluster, part: str, what: str
) -> None:
    (said,) = (s for s in refusals("services.inference.adapters.vllm_engine") if part in s)
    finding = only(api, cluster, POOL, pod(POOL, 0, crashed(f"inference: {said}")))
    assert finding.what == f"{what}: inference: {said}"


ABSL = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR"
DIED = "inference: the engine did not start: Engine core initialization failed."


def test_an_engine_that_dies_loading_is_told_by_its_last_line(
    api: ApiServer, cluster: Cluster
) -> None:
    words = f'{ABSL}\n{{"event": "engine starting", "level": "info"}}\n{DIED}\n'
    finding = only(api, cluster, POOL, pod(POOL, 0, crashed(words)))
    assert finding.what == f"the engine dies while it loads: {DIED}"
    assert "kubectl -n chat logs chatmesh-inference-large-0 --previous" in finding.remedy


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


def test_why_it_died_tells_more_than_that_it_did(api: ApiServer, cluster: Cluster) -> None:
    log = io.StringIO()
    with logged_to(log):
        logging.getLogger("vllm").error("EngineCore failed to start.", exc_info=OutOfMemoryError())
    finding = only(api, cluster, POOL, pod(POOL, 0, crashed(f"{log.getvalue()}{DIED}")))
    assert finding.what.startswith("the engine has too little memory: {")
    assert "gpu_memory_utilization" in finding.remedy


async def test_a_volume_that_is_full(api: ApiServer, cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as raised:
        async with (
            open_sqlite(f"sqlite:{tmp_path}/full.sqlite", ["CREATE TABLE note (text)"]) as database,
            database.transaction() as writing,
        ):
            await writing.execute("PRAGMA max_page_count=1")
            await writing.execute("INSERT INTO note VALUES (zeroblob(100000))")
    words = "".join(traceback.format_exception(raised.value))
    there = pod("memory", 0, crashed(words), claim="people")
    finding = only(api, cluster, "memory", there)
    said = "sqlite3.OperationalError: database or disk is full"
    assert finding.what == f"its volume is full: {said}"
    assert "`kubectl -n chat edit pvc people`" in finding.remedy


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "its volume is full"),
        (sqlite3.OperationalError("disk I/O error"), "its volume is full or broken"),
    ],
)
def test_a_file_that_a_full_volume_does_not_open(
    api: ApiServer, cluster: Cluster, error: Exception, what: str
) -> None:
    words = "".join(traceback.format_exception(error))
    finding = only(api, cluster, "gateway", pod("gateway", 0, crashed(words), claim="accounts"))
    assert finding.what == f"{what}: {words.strip()}"
    assert "edit pvc accounts" in finding.remedy


@pytest.mark.parametrize(
    ("config", "name", "value", "knob"),
    [
        (InferenceConfig, "INFERENCE_MAX_WAITING", "0", "INFERENCE_MAX_WAITING"),
        (InferenceConfig, "INFERENCE_ENGINE_ARGS", "eager", "engine_args"),
        (
            GatewayConfig,
            "GATEWAY_INFERENCE_POOLS",
            '[{"name": "large", "address": "large:50053", "hold_seconds": "soon"}]',
            "GATEWAY_INFERENCE_POOLS_0_HOLD_SECONDS",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_is_wrong_is_named(
    api: ApiServer,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    *,
    config: type[ServiceConfig],
    name: str,
    value: str,
    knob: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read(config)
    words = f"{ABSL}\n{ended.value}"
    finding = only(api, cluster, POOL, pod(POOL, 0, crashed(words)))
    assert finding.what == f"a value of its config is wrong: {ended.value}"
    assert knob in finding.what
    assert "helm upgrade" in finding.remedy


@pytest.mark.parametrize("component", ["moderation", POOL])
def test_what_the_kernel_killed(api: ApiServer, cluster: Cluster, component: str) -> None:
    there = pod(component, 0, crashed("", reason="OOMKilled"))
    finding = only(api, cluster, component, there)
    assert finding.what == "it has too little memory: killed at its memory limit"
    assert "resources.limits.memory" in finding.remedy


def test_words_that_nobody_knows_are_passed_on(api: ApiServer, cluster: Cluster) -> None:
    words = "Traceback (most recent call last):\nKeyError: 'x'"
    finding = only(api, cluster, "memory", pod("memory", 0, crashed(words)))
    assert finding.what == "it ends by itself: KeyError: 'x'"
    assert finding.remedy == "kubectl -n chat logs chatmesh-memory-0 --previous"


def test_one_that_ends_without_a_word_is_counted(api: ApiServer, cluster: Cluster) -> None:
    finding = only(api, cluster, "memory", pod("memory", 0, crashed("", restarts=4)))
    assert finding.what == "it has ended 4 times without a word"


def test_a_claim_that_is_not_bound(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("memory"), pod("memory"), claim("gateway", "Pending"))
    api.add(claim("memory", "Pending", "fast"), claim("memory", "Pending", release="other"))
    default, fast = found(cluster)
    assert (default.where, fast.where) == ("volume chatmesh-gateway", "volume chatmesh-memory")
    assert default.what == "it is Pending: nobody makes one of storage class the default"
    assert fast.what == "it is Pending: nobody makes one of storage class fast"


def test_a_rollout_that_is_stuck(api: ApiServer, cluster: Cluster) -> None:
    stuck = deployment("tokenizer", wanted=2, ready=2, updated=1)
    stuck["status"]["conditions"] = [progressing("ProgressDeadlineExceeded")]
    api.add(stuck, pod("tokenizer"))
    (finding,) = found(cluster)
    assert finding.where == "tokenizer"
    assert finding.what == "its rollout does not get on"
    assert "kubectl chatmesh -n chat rollout tokenizer --undo" in finding.remedy


def test_all_that_is_wrong_is_told_in_the_order_of_a_turn(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment(POOL), deployment("gateway"), claim("memory", "Lost"))
    api.add(unplaced(POOL, NO_GPU), pod("gateway", 0, waits("ErrImagePull")))
    told = [finding.where for finding in found(cluster)]
    assert told == [
        "gateway, pod chatmesh-gateway-0",
        "inference-large, pod chatmesh-inference-large-0",
        "volume chatmesh-memory",
    ]


def test_a_pod_that_runs_and_is_not_ready_says_what_its_probe_says(
    api: ApiServer, cluster: Cluster
) -> None:
    words = "Readiness probe failed: service unhealthy (responded with NOT_SERVING)"
    api.add(event("Pod", "chatmesh-tokenizer-0", "Unhealthy", "an older one", at=EARLIER))
    api.add(event("Pod", "chatmesh-tokenizer-0", "Unhealthy", words))
    finding = only(api, cluster, "tokenizer", unready("tokenizer"))
    assert finding.what == f"it runs, and fails its readiness probe: {words}"
    assert finding.remedy == "kubectl -n chat logs chatmesh-tokenizer-0"


def test_without_an_event_it_is_told_all_the_same(api: ApiServer, cluster: Cluster) -> None:
    api.forbidden = {"events"}
    finding = only(api, cluster, "tokenizer", unready("tokenizer"))
    assert finding.what == "it runs, and fails its readiness probe"
    assert examine(cluster, cluster.view()).unseen == ["events: you may not list them"]


def test_a_pod_whose_node_is_silent(api: ApiServer, cluster: Cluster) -> None:
    finding = only(api, cluster, "tokenizer", unready("tokenizer", ready=True))
    assert finding.what == "it runs, and counts as not ready: its node does not answer"


def test_an_evicted_pod_says_what_its_node_was_short_of(api: ApiServer, cluster: Cluster) -> None:
    words = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi."
    finding = only(api, cluster, "memory", put_out("memory", "Evicted", words))
    assert finding.what == f"its node has evicted it: {words}"
    assert "kubectl -n chat delete pod chatmesh-memory-0" in finding.remedy


@pytest.mark.parametrize("reason", ["UnexpectedAdmissionError", "NodeShutdown", "OutOfcpu"])
def test_a_pod_that_its_node_refuses(api: ApiServer, cluster: Cluster, reason: str) -> None:
    finding = only(api, cluster, "memory", put_out("memory", reason, "no room"))
    assert finding.what == f"its node refuses it ({reason}): no room"


@pytest.mark.parametrize("waits_as", ["ContainerCreating", "PodInitializing"])
def test_a_pod_whose_secret_is_not_there(api: ApiServer, cluster: Cluster, waits_as: str) -> None:
    words = 'MountVolume.SetUp failed for volume "admin-token": secret "mine" not found'
    api.add(event("Pod", "chatmesh-gateway-0", "FailedMount", words))
    finding = only(api, cluster, "gateway", pod("gateway", 0, waits(waits_as)))
    assert finding.what == f"it cannot begin: {words}"


def test_pods_that_are_never_made(api: ApiServer, cluster: Cluster) -> None:
    words = 'pods "x" is forbidden: exceeded quota: small'
    held = deployment("memory", ready=0)
    failure = {"type": "ReplicaFailure", "status": "True", "message": words}
    held["status"]["conditions"].append(failure)
    api.add(held)
    (finding,) = found(cluster)
    assert (finding.where, finding.what) == ("memory", f"its pods cannot be made: {words}")


def test_a_pod_whose_claimed_device_is_not_there(api: ApiServer, cluster: Cluster) -> None:
    said = "0/1 nodes are available: 1 cannot allocate all claims."
    finding = only(api, cluster, POOL, unplaced(POOL, said))
    assert finding.what == f"no node has the device that it claims: {said}"
