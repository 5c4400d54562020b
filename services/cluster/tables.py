"""A view of a release as tables for people and as JSON for programs."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from services.cluster.view import Component, Pod, View, age


def of_services(view: View) -> Table:
    turns = "?" if view.turns is None else str(view.turns)
    table = Table(title=f"{view.release} in {view.namespace}: {turns} turns under way")
    for column in ("service", "ready", "version", "pods not ready"):
        table.add_column(column, overflow="fold")
    for component in view.components:
        if not component.pool:
            table.add_row(
                component.name,
                _ready(component),
                component.workload.version,
                _troubled(component),
            )
    return table


def of_pools(view: View) -> Table:
    table = Table(title="pools of inference")
    columns = ("pool", "ready", "version", "streams", "waiting", "held", "KV", "cache hits")
    for column in (*columns, "pods not ready"):
        table.add_column(column, overflow="fold")
    for component in view.components:
        if not component.pool:
            continue
        use = view.pools[component.pool]
        table.add_row(
            component.pool,
            _ready(component),
            component.workload.version,
            f"{use.running}/{use.slots}",
            str(use.waiting),
            str(use.held),
            f"{use.kv_cache_use:.0%}",
            "-" if use.cache_hits is None else f"{use.cache_hits:.0%}",
            _troubled(component),
        )
    return table


def of_pods(view: View) -> Table:
    table = Table()
    for column in ("pod", "node", "is", "restarts", "age", "calls now"):
        table.add_column(column, overflow="fold")
    for component in view.components:
        for pod in component.pods:
            table.add_row(
                pod.name,
                pod.node or "-",
                "ready" if pod.ready else pod.phase,
                str(pod.restarts),
                age(pod.started),
                _calls(component, pod),
            )
    return table


def of_releases(views: Iterable[View]) -> Table:
    table = Table()
    columns = ("namespace", "release", "version", "services", "pools", "turns", "pods not ready")
    for column in columns:
        table.add_column(column, overflow="fold")
    for view in views:
        services = [one for one in view.components if not one.pool]
        pools = [one for one in view.components if one.pool]
        versions = {one.workload.version for one in view.components}
        table.add_row(
            view.namespace,
            view.release,
            ", ".join(sorted(versions)),
            _well(services),
            _well(pools),
            "?" if view.turns is None else str(view.turns),
            str(sum(not pod.ready for one in view.components for pod in one.pods)),
        )
    return table


def _well(components: Sequence[Component]) -> str:
    """How many of them have all the replicas that they want."""
    well = sum(one.workload.ready >= one.workload.wanted for one in components)
    return f"{well}/{len(components)}"


def as_json(view: View) -> dict[str, Any]:
    return {
        "release": view.release,
        "namespace": view.namespace,
        "turns": view.turns,
        "services": [_component(one) for one in view.components if not one.pool],
        "pools": [_component(one) | _use(view, one) for one in view.components if one.pool],
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        "name": component.pool or component.name,
        "version": component.workload.version,
        "wanted": component.workload.wanted,
        "ready": component.workload.ready,
        "updated": component.workload.updated,
        "pods": [
            {
                "name": pod.name,
                "node": pod.node,
                "ready": pod.ready,
                "phase": pod.phase,
                "restarts": pod.restarts,
            }
            for pod in component.pods
        ],
    }


def _use(view: View, component: Component) -> dict[str, Any]:
    use = view.pools[component.pool]
    return {
        "running": use.running,
        "waiting": use.waiting,
        "held": use.held,
        "slots": use.slots,
        "kvCacheUse": use.kv_cache_use,
        "cacheHits": use.cache_hits,
    }


def _ready(component: Component) -> str:
    return f"{component.workload.ready}/{component.workload.wanted}"


def _troubled(component: Component) -> str:
    waiting = [f"{pod.name}: {pod.phase}" for pod in component.pods if not pod.ready]
    return "\n".join(waiting)


def _calls(component: Component, pod: Pod) -> str:
    if not pod.metrics.samples:
        return "-"
    if component.name == "gateway":
        return f"{pod.metrics.total('chatmesh_turns'):.0f}"
    return f"{pod.metrics.total('chatmesh_rpc_running'):.0f}"
