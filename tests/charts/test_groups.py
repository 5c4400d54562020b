"""Pools whose replica is pods on several nodes: LeaderWorkerSets."""

import json
from typing import Any

import pytest

from services.inference.config import InferenceConfig
from tests.charts.conftest import Manifest, named, pods, rendered

BIG: Manifest = {
    "name": "big",
    "replicas": 3,
    "nodes": 2,
    "tensorParallel": 8,
    "pipelineParallel": 2,
    "gpu": {"preset": "h100", "count": 8},
    "model": {"name": "m", "source": {"claim": "weights"}, "contextTokens": 8192},
    "resources": {"limits": {"memory": "800Gi"}},
    "config": {"dtype": "bfloat16", "max_model_len": 8192},
    "engineArgs": {"max_num_seqs": 8, "enforce_eager": False},
}
LEADER = "LeaderWorkerSet/chatmesh-inference-big leader"
WORKER = "LeaderWorkerSet/chatmesh-inference-big worker"


def group(*options: str, **fields: Any) -> list[Manifest]:
    told = json.dumps([{**BIG, **fields}])
    return list(rendered("values", "--set-json", f"inference.pools={told}", *options))


def only(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = named(manifests, kind).values()
    return found


def environment(manifests: list[Manifest], pod: str, number: str) -> dict[str, str]:
    """What its process finds, LeaderWorkerSet's own variables filled in as Kubernetes does."""
    (container,) = pods(manifests)[pod]["spec"]["containers"]
    (source,) = container["envFrom"]
    found = dict(named(manifests, "ConfigMap")[source["configMapRef"]["name"]]["data"])
    for one in container["env"]:
        value = one["value"].replace("$(LWS_LEADER_ADDRESS)", "first.example")
        found[one["name"]] = value.replace("$(LWS_WORKER_INDEX)", number)
    return found


def test_its_pods_find_each_other_before_any_is_ready() -> None:
    """LeaderWorkerSet makes a Service for that, under its own name, if there is none of it."""
    manifests = group()
    own = only(manifests, "LeaderWorkerSet")["metadata"]["name"]
    services = named(manifests, "Service")
    assert own not in services
    assert services["chatmesh-leaders-big"]["spec"]["clusterIP"] == "None"
    known = named(manifests, "ConfigMap")["chatmesh-gateway"]["data"]["GATEWAY_INFERENCE_POOLS"]
    assert json.loads(known)[0]["address"] == "kubernetes:chatmesh-leaders-big:50053"
    told = named(manifests, "ConfigMap")["chatmesh-context-assembly"]["data"]
    addresses = json.loads(told["CONTEXT_ASSEMBLY_INFERENCE_ADDRESSES"])
    assert addresses == {"m": "kubernetes:chatmesh-leaders-big:50053"}


def test_only_leaders_are_called_and_scraped_and_a_budget_has_all() -> None:
    manifests = group("--set", "monitor.enabled=true")
    leader, worker = (pods(manifests)[name]["metadata"]["labels"] for name in (LEADER, WORKER))
    assert leader == worker
    index = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}
    service = named(manifests, "Service")["chatmesh-leaders-big"]["spec"]["selector"]
    monitor = named(manifests, "PodMonitor")["chatmesh-inference-big"]["spec"]["selector"]
    for selector in (service, monitor["matchLabels"]):
        assert index.items() <= selector.items()
        assert selector.items() <= (leader | index).items()
    budget = named(manifests, "PodDisruptionBudget")["chatmesh-inference-big"]["spec"]["selector"]
    policy = named(manifests, "NetworkPolicy")["chatmesh-inference-big"]["spec"]["podSelector"]
    for selector in (budget, policy):
        assert selector["matchLabels"].items() <= worker.items()


def test_leader_and_workers_have_one_config_but_for_the_number_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifests = group()
    read = {}
    for pod, number in ((LEADER, "0"), (WORKER, "1")):
        for name, value in environment(manifests, pod, number).items():
            monkeypatch.setenv(name, value)
        read[pod] = InferenceConfig()
    leader, worker = read[LEADER], read[WORKER]
    assert leader.engine_args == {
        "max_num_seqs": 8,
        "enforce_eager": False,
        "pipeline_parallel_size": 2,
        "nnodes": 2,
        "master_addr": "first.example",
        "node_rank": 0,
    }
    assert worker.engine_args == leader.engine_args | {"node_rank": 1}
    same = {"engine_args"}
    assert worker.model_dump(exclude=same) == leader.model_dump(exclude=same)
    assert (worker.tensor_parallel_size, worker.max_model_len, worker.dtype) == (
        8,
        8192,
        "bfloat16",
    )


def test_a_worker_takes_no_calls() -> None:
    (worker,) = pods(group())[WORKER]["spec"]["containers"]
    assert worker["args"] == ["services.inference.adapters.vllm_worker"]
    assert not worker.keys() & {"ports", "startupProbe", "readinessProbe", "livenessProbe"}
    (leader,) = pods(group())[LEADER]["spec"]["containers"]
    assert leader["args"] == ["services.inference"]
    assert {"ports", "startupProbe", "readinessProbe", "livenessProbe"} <= leader.keys()


def test_it_is_scaled_and_rolled_as_its_values_say() -> None:
    scaling = {"enabled": True, "minReplicas": 0, "maxReplicas": 4}
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    manifests = group("--set", "keda.enabled=true", scaling=scaling, rollingUpdate=rolling)
    spec = only(manifests, "LeaderWorkerSet")["spec"]
    assert "replicas" not in spec
    assert spec["rolloutStrategy"]["rollingUpdateConfiguration"] == rolling
    scaled = only(manifests, "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"] == {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "name": "chatmesh-inference-big",
    }
    assert scaled["spec"]["minReplicaCount"] == 0
    assert only(group(), "LeaderWorkerSet")["spec"]["replicas"] == 3


def test_what_the_values_say_of_pods_holds_for_leaders_and_workers() -> None:
    block = {
        "metadata": {"labels": {"team": "chat"}},
        "spec": {"schedulerName": "volcano", "containers": [{"name": "inference", "tty": True}]},
    }
    manifests = group(pod=block, rdma={"resource": "rdma/ib", "count": 2})
    for name in (LEADER, WORKER):
        pod = pods(manifests)[name]
        assert pod["metadata"]["labels"]["team"] == "chat"
        assert pod["spec"]["schedulerName"] == "volcano"
        (container,) = pod["spec"]["containers"]
        assert container["tty"] is True
        assert container["resources"]["limits"]["rdma/ib"] == 2
        assert container["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"]
