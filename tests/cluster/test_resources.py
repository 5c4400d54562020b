"""What each service uses under load, against what the chart asks for it."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import pytest
import yaml
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.utils.quantity import parse_quantity

from tests.cluster.site import CHART, Site, Values, local_values

STREAMS = 32
ROUNDS = 30
ASK = "what is 17 times 23?"
MIB = 2**20
COMPONENT = "app.kubernetes.io/component"
pytestmark = [pytest.mark.timeout(900)]


def chart_defaults() -> Values:
    """One replica of each, real vLLM, and the requests that values.yaml has."""
    made = local_values()
    for settings in made.values():
        settings.pop("resources", None)
    [pool] = yaml.safe_load((CHART / "values.yaml").read_text())["inference"]["pools"]
    made["inference"]["pools"] = [pool | {"config": {"cpu_kv_cache_gib": 1}}]
    return made


async def test_nothing_uses_more_memory_than_it_asks_for(here: Site) -> None:
    here.install(chart_defaults())
    most: dict[str, Mapping[str, Decimal]] = {}
    async with here.traffic(STREAMS, ASK, model="chatmesh-demo") as traffic:
        for _ in range(ROUNDS):
            await traffic.finished(STREAMS)
            for component, used in use(here).items():
                before = most.setdefault(component, used)
                most[component] = {kind: max(used[kind], before[kind]) for kind in used}
    assert traffic.failures() == []
    asked = requests(here)
    for component, used in sorted(most.items()):
        here.tell(f"{component}: used {told(used)}; asks for {told(asked[component])}")
    seconds = max(turn.began + turn.seconds for turn in traffic.turns) - traffic.turns[0].began
    here.tell(f"{len(traffic.turns) / seconds:.1f} turns a second from {STREAMS} clients")
    assert len(most) == 7
    assert [one for one in most if most[one]["memory"] > asked[one]["memory"]] == []
    here.helm("uninstall", "--wait")


def use(here: Site) -> Mapping[str, Mapping[str, Decimal]]:
    """By component: cores and bytes of the last quarter of a minute, as metrics-server tells."""
    found = CustomObjectsApi(ApiClient()).list_namespaced_custom_object(
        "metrics.k8s.io", "v1beta1", here.namespace, "pods", label_selector=COMPONENT
    )
    return {
        pod["metadata"]["labels"][COMPONENT]: summed(one["usage"] for one in pod["containers"])
        for pod in found["items"]
    }


def requests(here: Site) -> Mapping[str, Mapping[str, Decimal]]:
    pods = here.core.list_namespaced_pod(here.namespace, label_selector=COMPONENT)
    return {
        pod.metadata.labels[COMPONENT]: summed(
            container.resources.requests for container in pod.spec.containers
        )
        for pod in pods.items
    }


def summed(quantities: Iterable[Mapping[str, str]]) -> Mapping[str, Decimal]:
    total = {"cpu": Decimal(0), "memory": Decimal(0)}
    for each in quantities:
        for kind in total:
            total[kind] += parse_quantity(each[kind])
    return total


def told(amounts: Mapping[str, Decimal]) -> str:
    return f"{amounts['cpu'] * 1000:.0f}m, {amounts['memory'] / MIB:.0f}Mi"
