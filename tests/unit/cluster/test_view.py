"""What is read of a release."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.cluster.tables import as_json
from services.cluster.view import Cluster, Pod, PoolUse, age, job_of
from services.inference.api import Load
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.measured import gateway_metrics, inference_metrics
from tests.fakes.release import (
    RUNS,
    STARTS,
    crashed,
    deployment,
    group,
    grouped,
    pod,
    tried,
    unplaced,
    waits,
)

IN_ORDER = [
    *("gateway", "moderation", "context-assembly", "memory", "tokenizer"),
    *("inference-large", "inference-small", "tool-runner"),
]
LARGE, OTHER = "chatmesh-inference-large-0", "chatmesh-inference-large-1"
LOADS = {
    "large": {
        LARGE: Load(3, 1, 90, slots=8, kv_cache_use=0.25, draining=False),
        OTHER: Load(5, 2, 10, slots=8, kv_cache_use=0.75, draining=False),
    },
    "small": {
        "chatmesh-inference-small-0": Load(1, 0, 0, slots=4, kv_cache_use=0.5, draining=True)
    },
}


def pod_of(cluster: Cluster, component: str) -> Pod:
    found = cluster.view().component(component)
    assert found is not None
    (only,) = found.pods
    return only


def test_components_stand_in_the_order_in_which_a_turn_meets_them(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(*(deployment(name) for name in sorted(IN_ORDER, reverse=True)), deployment("extra"))
    assert [one.name for one in cluster.view().components] == [*IN_ORDER, "extra"]


def test_only_the_release_that_was_asked_for_is_seen(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), pod("gateway"))
    api.add(deployment("gateway", release="other"), pod("gateway", release="other"))
    view = cluster.view()
    assert [one.workload.name for one in view.components] == ["chatmesh-gateway"]
    assert [r.name for r in view.components[0].pods] == ["chatmesh-gateway-0"]


def test_a_component_has_its_numbers_and_its_own_pods_by_name(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("memory"), deployment("gateway", wanted=3, ready=2, updated=1))
    api.add(pod("gateway", 1, node="node-2"), pod("memory"), pod("gateway", 0))
    gateway = cluster.view().component("gateway")
    assert gateway is not None
    workload = gateway.workload
    assert (workload.wanted, workload.ready, workload.updated) == (3, 2, 1)
    assert workload.version == "0.1.0"
    assert not gateway.pool
    told = [(pod.name, pod.node) for pod in gateway.pods]
    assert told == [("chatmesh-gateway-0", "node-1"), ("chatmesh-gateway-1", "node-2")]


def test_a_pool_over_several_nodes_is_a_pool_with_all_its_pods(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("gateway"), group("inference-large", wanted=2, ready=1, updated=2))
    api.add(*grouped("inference-large", STARTS))
    large = cluster.view().component("inference-large")
    assert large is not None
    assert large.pool == "large"
    assert (large.workload.wanted, large.workload.ready, large.workload.updated) == (2, 1, 2)
    assert large.workload.version == "0.1.0"
    told = [(pod.name, pod.node, pod.ready) for pod in large.pods]
    assert told == [(LARGE, "node-1", True), (f"{LARGE}-1", "node-2", False)]


@pytest.mark.parametrize("forbidden", [set(), {"leaderworkersets"}])
def test_where_there_are_no_groups_nothing_is_missed(
    api: ApiServer, cluster: Cluster, forbidden: set[str]
) -> None:
    api.forbidden = forbidden
    api.unknown = {"leaderworkersets"}
    api.add(deployment("gateway"))
    assert [one.name for one in cluster.view().components] == ["gateway"]


def test_the_pods_of_jobs_are_no_components(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("memory"), pod("memory"), tried("migrate-memory", 0, exit_code=0))
    view = cluster.view()
    assert [pod.name for one in view.components for pod in one.pods] == ["chatmesh-memory-0"]
    assert [(job_of(one), one.phase) for one in view.job_pods] == [
        ("chatmesh-migrate-memory", "Succeeded")
    ]


def test_the_use_of_pools_is_what_the_gateway_measures(api: ApiServer, cluster: Cluster) -> None:
    api.add(*(deployment(name) for name in ("gateway", "inference-large", "inference-small")))
    api.add(deployment("inference-tiny", wanted=0), pod("gateway"))
    api.metrics["chatmesh-gateway-0"] = gateway_metrics(LOADS, turns=4, held={"large": 7})
    view = cluster.view()
    assert view.turns == 4
    assert view.pools == {
        "large": PoolUse(held=7, running=8, waiting=3, slots=16, kv_cache_use=0.75),
        "small": PoolUse(running=1, slots=4, kv_cache_use=0.5),
        "tiny": PoolUse(),
    }
    path = "/api/v1/namespaces/chat/pods/chatmesh-gateway-0:9090/proxy/metrics"
    assert ("GET", path) in api.asked


def test_a_replica_of_which_two_gateways_tell_counts_once(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), deployment("inference-large"))
    api.add(pod("gateway", 0), pod("gateway", 1))
    for number, held in ((0, 2), (1, 3)):
        told = gateway_metrics(LOADS, turns=1, held={"large": held})
        api.metrics[f"chatmesh-gateway-{number}"] = told
    view = cluster.view()
    assert view.turns == 2
    assert view.pools["large"] == PoolUse(5, running=8, waiting=3, slots=16, kv_cache_use=0.75)


async def test_cache_hits_are_the_share_of_all_prompt_tokens(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("inference-large"), deployment("inference-small"))
    api.add(pod("inference-large", 0), pod("inference-large", 1), pod("inference-small"))
    api.metrics[LARGE] = await inference_metrics(prompt=100, cached=90)
    api.metrics[OTHER] = await inference_metrics(prompt=300, cached=10)
    pools = cluster.view().pools
    assert pools["large"].cache_hits == 0.25
    assert pools["small"].cache_hits is None


def test_a_pod_whose_metrics_cannot_be_read_is_there_all_the_same(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("gateway"), deployment("inference-large"), pod("gateway"))
    view = cluster.view()
    assert view.turns is None
    assert view.pools["large"] == PoolUse()
    found = pod_of(cluster, "gateway")
    assert found.ready
    assert not found.metrics.samples


def test_a_pod_that_is_not_ready_is_not_asked(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), pod("gateway", 0, STARTS), pod("gateway", 1))
    cluster.view()
    asked = [path.split("/")[-3] for _, path in api.asked if path.endswith("/proxy/metrics")]
    assert asked == ["chatmesh-gateway-1:9090"]


def leaving() -> Json:
    made = pod("gateway")
    made["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
    return made


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (pod("gateway", 0, RUNS), ("Running", True, 0)),
        (pod("gateway", 0, STARTS), ("Running", False, 0)),
        (pod("gateway", 0, waits("ContainerCreating")), ("ContainerCreating", False, 0)),
        (pod("gateway", 0, waits("ErrImagePull")), ("ErrImagePull", False, 0)),
        (pod("gateway", 0, crashed("", restarts=5)), ("CrashLoopBackOff", False, 5)),
        (unplaced("gateway", "0/3 nodes are available"), ("Pending", False, 0)),
        (leaving(), ("Terminating", True, 0)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_pods_phase_is_the_word_that_tells_most(
    api: ApiServer, cluster: Cluster, there: Json, told: tuple[str, bool, int]
) -> None:
    api.add(deployment("gateway"), there)
    found = pod_of(cluster, "gateway")
    assert (found.phase, found.ready, found.restarts) == told


def test_programs_are_told_the_same_as_people(api: ApiServer, cluster: Cluster) -> None:
    api.add(*(deployment(name) for name in IN_ORDER), pod("gateway"), unplaced("memory", "no"))
    api.metrics["chatmesh-gateway-0"] = gateway_metrics(LOADS, turns=4)
    told = as_json(cluster.view())
    assert (told["release"], told["namespace"], told["turns"]) == ("chatmesh", "chat", 4)
    assert [one["name"] for one in told["services"]] == [*IN_ORDER[:5], "tool-runner"]
    memory: Mapping[str, Any] = told["services"][3]
    assert memory["pods"] == [
        {
            "name": "chatmesh-memory-0",
            "node": "",
            "ready": False,
            "phase": "Pending",
            "restarts": 0,
        }
    ]
    large, small = told["pools"]
    assert (large["name"], small["name"]) == ("large", "small")
    use = {"running": 8, "waiting": 3, "held": 0, "slots": 16, "kvCacheUse": 0.75}
    assert use.items() <= large.items()
    assert large["cacheHits"] is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5, "5s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")],
)
def test_ages_are_written_as_kubectl_does(seconds: int, told: str) -> None:
    assert age(datetime.now(UTC) - timedelta(seconds=seconds, milliseconds=1)) == told


def test_what_has_not_started_has_no_age() -> None:
    assert age(None) == "-"
