"""What operators do is done to the right objects, and told while it is done."""

from collections.abc import Callable, Mapping

import pytest

from services.cluster import actions
from services.cluster.refusals import CannotDo
from services.cluster.view import Cluster, Component
from services.inference.api import Load
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.measured import gateway_metrics
from tests.fakes.release import (
    deployment,
    group,
    node,
    pod,
    progressing,
    scaled_object,
    unplaced,
)

POOL = "inference-large"
NAME = f"chatmesh-{POOL}"
FIRST, SECOND = f"{NAME}-0", f"{NAME}-1"
LOAD = Load(1, 0, 0, slots=8, kv_cache_use=0.0, draining=False)
PAUSED = "autoscaling.keda.sh/paused-replicas"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "LOOK_SECONDS", 0)


class Heard:
    """What was told. On some lines a test lets the cluster change."""

    def __init__(self, then: Mapping[str, Callable[[], object]]) -> None:
        self.lines: list[str] = []
        self._then = then

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._then.get(line, lambda: None)()


def evicted(api: ApiServer) -> list[str]:
    return [path.split("/")[-2] for method, path in api.asked if path.endswith("/eviction")]


def component(cluster: Cluster, name: str = POOL) -> Component:
    found = cluster.view().component(name)
    assert found is not None
    return found


class Gateway:
    """A gateway that tells how many streams it has at the pods of one pool."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        api.add(deployment("gateway"), pod("gateway", node="node-3"), deployment(POOL))

    def streams(self, counts: Mapping[str, int], *later: Mapping[str, int]) -> None:
        """By pod; `later` at one look after the other."""
        name = "chatmesh-gateway-0"
        self._api.metrics[name], *self._api.later[name] = (
            gateway_metrics({"large": dict.fromkeys(each, LOAD)}, in_flight=each)
            for each in (counts, *later)
        )


def test_a_drain_waits_for_its_turn_and_then_for_the_last_stream(
    api: ApiServer, cluster: Cluster
) -> None:
    gateway = Gateway(api)
    gateway.streams({FIRST: 2, SECOND: 5})
    api.add(pod(POOL, 0), pod(POOL, 1))
    api.evictions_refused = 2
    told = Heard(
        {
            f"{FIRST}: 2 streams left": lambda: gateway.streams({FIRST: 1, SECOND: 6}),
            f"{FIRST}: 1 streams left": lambda: api.remove("pods", FIRST),
        }
    )
    actions.drain_pod(cluster, FIRST, told)
    assert told.lines == [
        f"{FIRST} waits: {api.budget}",
        f"{FIRST} takes nothing new",
        f"{FIRST}: 2 streams left",
        f"{FIRST}: 1 streams left",
        f"{FIRST} is gone after 0 s",
    ]
    assert evicted(api) == [FIRST] * 3


def test_a_pod_of_the_same_name_is_another_pod(api: ApiServer, cluster: Cluster) -> None:
    gateway = Gateway(api)
    gateway.streams({FIRST: 2})
    api.add(pod(POOL, 0))

    def succeeded() -> None:
        successor = pod(POOL, 0)
        successor["metadata"]["uid"] = "another"
        api.add(successor)
        gateway.streams({FIRST: 3})

    def waited_for() -> None:
        pytest.fail("the successor is waited for")

    told = Heard({f"{FIRST}: 2 streams left": succeeded, f"{FIRST}: 3 streams left": waited_for})
    actions.drain_pod(cluster, FIRST, told)
    assert told.lines[-1] == f"{FIRST} is gone after 0 s"


def test_streams_are_told_when_their_number_changes(api: ApiServer, cluster: Cluster) -> None:
    gateway = Gateway(api)
    api.add(pod(POOL, 0))
    two, one = {FIRST: 2}, {FIRST: 1}
    gateway.streams(two, two, two, two, one)
    told = Heard({f"{FIRST}: 1 streams left": lambda: api.remove("pods", FIRST)})
    actions.drain_pod(cluster, FIRST, told)
    assert told.lines[1:-1] == [f"{FIRST}: 2 streams left", f"{FIRST}: 1 streams left"]


def test_of_a_pod_that_the_gateway_does_not_know_no_streams_are_told(
    api: ApiServer, cluster: Cluster
) -> None:
    Gateway(api).streams({SECOND: 5})
    api.add(pod(POOL, 0))
    told = Heard({f"{FIRST} takes nothing new": lambda: api.remove("pods", FIRST)})
    actions.drain_pod(cluster, FIRST, told)
    assert told.lines == [f"{FIRST} takes nothing new", f"{FIRST} is gone after 0 s"]


def test_a_pod_that_is_not_there_is_refused_with_those_that_are(
    api: ApiServer, cluster: Cluster
) -> None:
    Gateway(api)
    api.add(pod(POOL, 0))
    there = f"chatmesh-gateway-0, {FIRST}"
    with pytest.raises(CannotDo, match=f"^no pod {SECOND} in this release; there are: {there}$"):
        actions.drain_pod(cluster, SECOND, Heard({}))
    assert not evicted(api)


def test_a_node_is_closed_and_all_that_is_there_is_drained(
    api: ApiServer, cluster: Cluster
) -> None:
    Gateway(api)
    api.add(node("node-1"), node("node-2"), deployment("memory"), pod("memory"))
    api.add(pod(POOL, 0), pod(POOL, 1, node="node-2"), pod("memory", release="other"))

    def closed() -> None:
        assert api.find("nodes", "node-1")["spec"]["unschedulable"]
        assert not evicted(api)

    told = Heard(
        {
            "node node-1 takes no more pods; `kubectl uncordon node-1` undoes that": closed,
            "chatmesh-memory-0 takes nothing new": lambda: api.remove("pods", "chatmesh-memory-0"),
            f"{FIRST} takes nothing new": lambda: api.remove("pods", FIRST),
        }
    )
    actions.drain_node(cluster, "node-1", told)
    assert evicted(api) == ["chatmesh-memory-0", FIRST]
    assert told.lines[0].startswith("node node-1 takes no more pods")
    assert told.lines[-1] == "node node-1 is free of chatmesh"
    assert "unschedulable" not in api.find("nodes", "node-2")["spec"]


def test_a_pod_that_leaves_a_node_by_itself_is_not_drained(
    api: ApiServer, cluster: Cluster
) -> None:
    Gateway(api)
    api.add(node("node-1"), pod(POOL, 0), pod(POOL, 1))

    def both_go() -> None:
        api.remove("pods", FIRST)
        api.remove("pods", SECOND)

    told = Heard({f"{FIRST} takes nothing new": both_go})
    actions.drain_node(cluster, "node-1", told)
    assert evicted(api) == [FIRST]
    assert told.lines[-1] == "node node-1 is free of chatmesh"


def test_who_may_not_close_a_node_is_told_who_may(api: ApiServer, cluster: Cluster) -> None:
    Gateway(api)
    api.add(node("node-1"), pod(POOL, 0))
    api.forbidden = {"nodes"}
    with pytest.raises(CannotDo, match="`kubectl cordon node-1`"):
        actions.drain_node(cluster, "node-1", Heard({}))
    assert not evicted(api)


def test_a_pool_that_keda_scales_sleeps_by_a_pause_and_wakes_without_it(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment(POOL), scaled_object(POOL))
    told = Heard({})
    actions.sleep_pool(cluster, component(cluster), told)
    assert api.find("scaledobjects", NAME)["metadata"]["annotations"] == {PAUSED: "0"}
    assert api.find("deployments", NAME)["spec"]["replicas"] == 1
    api.find("deployments", NAME)["spec"]["replicas"] = 0  # as KEDA does
    actions.wake_pool(cluster, component(cluster), told)
    assert api.find("scaledobjects", NAME)["metadata"]["annotations"] == {}
    assert api.find("deployments", NAME)["spec"]["replicas"] == 1
    assert told.lines == [
        "pool large sleeps; `kubectl chatmesh wake large` wakes it",
        "pool large wakes: it goes back to sleep when nobody needs it",
    ]


def test_a_pool_that_nobody_scales_is_scaled_by_hand(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment(POOL, wanted=2))
    told = Heard({})
    actions.sleep_pool(cluster, component(cluster), told)
    assert api.find("deployments", NAME)["spec"]["replicas"] == 0
    actions.wake_pool(cluster, component(cluster), told)
    assert api.find("deployments", NAME)["spec"]["replicas"] == 1
    assert told.lines[-1] == "pool large wakes"


def test_a_pool_over_several_nodes_sleeps_wakes_and_rolls(api: ApiServer, cluster: Cluster) -> None:
    api.add(group(POOL, wanted=2))
    told = Heard({})
    actions.sleep_pool(cluster, component(cluster), told)
    there = api.find("leaderworkersets", NAME)
    assert there["spec"]["replicas"] == 0
    actions.wake_pool(cluster, component(cluster), told)
    assert there["spec"]["replicas"] == 1
    cluster.workloads.restart(component(cluster).workload)
    stamps = [
        list(template["metadata"]["annotations"])
        for name, template in there["spec"]["leaderWorkerTemplate"].items()
        if name.endswith("Template")
    ]
    assert stamps == [["kubectl.kubernetes.io/restartedAt"]] * 2
    lines = actions.rollout(cluster, component(cluster).workload)
    assert next(lines) == "not begun"
    rolled(there, updated=1, ready=1, of=1)
    assert list(lines) == ["1 of 1 new, 1 ready, 0 old"]


def test_a_pool_that_is_awake_keeps_its_replicas(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment(POOL, wanted=3), scaled_object(POOL))
    actions.wake_pool(cluster, component(cluster), Heard({}))
    assert api.find("deployments", NAME)["spec"]["replicas"] == 3


def rolled(there: Json, *, updated: int, ready: int, of: int) -> None:
    numbers = {"updatedReplicas": updated, "readyReplicas": ready, "replicas": of}
    there["status"] |= numbers | {"observedGeneration": there["metadata"]["generation"]}


def test_a_rollout_is_told_at_every_change_until_it_is_over(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(deployment("gateway", wanted=2, ready=2, updated=2))
    there = api.find("deployments", "chatmesh-gateway")
    cluster.workloads.restart(component(cluster, "gateway").workload)
    stamp = there["spec"]["template"]["metadata"]["annotations"]
    assert list(stamp) == ["kubectl.kubernetes.io/restartedAt"]
    lines = actions.rollout(cluster, component(cluster, "gateway").workload)
    assert next(lines) == "not begun"
    rolled(there, updated=1, ready=2, of=3)
    assert next(lines) == "1 of 2 new, 2 ready, 2 old"
    rolled(there, updated=2, ready=2, of=3)
    assert next(lines) == "2 of 2 new, 2 ready, 1 old"
    rolled(there, updated=2, ready=1, of=2)
    assert next(lines) == "2 of 2 new, 1 ready, 0 old"
    rolled(there, updated=2, ready=2, of=2)
    assert list(lines) == ["2 of 2 new, 2 ready, 0 old"]


def test_the_rollout_of_a_pool_that_sleeps_is_over(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment(POOL, wanted=0, ready=0, updated=0))
    assert list(actions.rollout(cluster, component(cluster).workload)) == [
        "0 of 0 new, 0 ready, 0 old"
    ]


def test_a_rollout_that_is_stuck_is_not_followed_for_ever(api: ApiServer, cluster: Cluster) -> None:
    there = deployment("gateway", wanted=2, ready=2, updated=1)
    there["status"]["conditions"] = [progressing("ProgressDeadlineExceeded")]
    api.add(there)
    lines = actions.rollout(cluster, component(cluster, "gateway").workload)
    assert next(lines) == "1 of 2 new, 2 ready, 1 old"
    with pytest.raises(CannotDo, match="kubectl chatmesh doctor says why"):
        next(lines)


def test_that_the_rollout_before_was_stuck_does_not_count(api: ApiServer, cluster: Cluster) -> None:
    there = deployment("gateway")
    there["status"]["conditions"] = [progressing("ProgressDeadlineExceeded")]
    api.add(there)
    cluster.workloads.restart(component(cluster, "gateway").workload)
    lines = actions.rollout(cluster, component(cluster, "gateway").workload)
    assert next(lines) == "not begun"
    there["status"]["conditions"] = [progressing("NewReplicaSetAvailable")]
    rolled(there, updated=1, ready=1, of=1)
    assert list(lines) == ["1 of 1 new, 1 ready, 0 old"]


def test_a_drain_says_which_other_pod_is_away_and_why(api: ApiServer, cluster: Cluster) -> None:
    Gateway(api)
    api.add(pod(POOL, 0), unplaced_second())
    api.evictions_refused = 1
    told = Heard({f"{FIRST} takes nothing new": lambda: api.remove("pods", FIRST)})
    actions.drain(cluster, FIRST, told)
    assert told.lines[0] == f"{FIRST} waits: {api.budget}; {SECOND} is Pending"


def unplaced_second() -> Json:
    made = unplaced(POOL, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    made["metadata"]["name"] = SECOND
    return made


def test_a_drain_that_is_not_over_in_time_says_what_it_waited_for(
    api: ApiServer, cluster: Cluster
) -> None:
    gateway = Gateway(api)
    gateway.streams({FIRST: 2})
    api.add(pod(POOL, 0))
    api.evictions_refused = 1
    with pytest.raises(CannotDo, match=f"^{FIRST} waits: .*; it was not drained in time$"):
        actions.drain(cluster, FIRST, Heard({}), seconds=0)
    with pytest.raises(CannotDo, match=f"^{FIRST} has not gone in time: 2 streams left;"):
        actions.drain(cluster, FIRST, Heard({}), seconds=0)


def test_a_node_without_a_pod_of_the_release_is_told_as_a_node(
    api: ApiServer, cluster: Cluster
) -> None:
    Gateway(api)
    api.add(node("node-9"), pod(POOL, 0))
    said = r"^node node-9 has no pod of chatmesh; nodes that have one: node-1, node-3$"
    with pytest.raises(CannotDo, match=said):
        actions.drain(cluster, "node-9", Heard({}))
    api.forbidden = {"nodes"}
    with pytest.raises(CannotDo, match=r"^no pod node-9 in this release; there are: "):
        actions.drain(cluster, "node-9", Heard({}))


def test_a_pool_sleeps_and_wakes_where_nobody_may_ask_for_keda(
    api: ApiServer, cluster: Cluster
) -> None:
    """Without KEDA, the roles of a release do not speak of it."""
    api.add(deployment(POOL))
    api.forbidden = {"scaledobjects"}
    actions.sleep_pool(cluster, component(cluster), Heard({}))
    assert api.find("deployments", NAME)["spec"]["replicas"] == 0
