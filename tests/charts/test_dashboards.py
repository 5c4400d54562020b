"""Grafana's dashboards ask for metrics and labels that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.conftest import CHART, generate, named, rendered
from tests.charts.test_k8s import TARGET, exported

BOARDS = ("turns", "engines", "routing", "moderation", "memory", "tenants", "tools")
# Grafana's own words, and what is chosen on the dashboard.
VARIABLES = {"namespace", "__rate_interval", "source"}


def queries(board: str) -> Iterator[tuple[str, str]]:
    made = json.loads((CHART / "dashboards" / f"{board}.json").read_text())
    for panel in made["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def complaints(query: str) -> list[str]:
    """What is wrong with a query of PromQL, as far as names tell."""
    found: list[str] = []
    known = {"le", *TARGET}
    metrics = re.findall(r"\b(chatmesh_\w+)\{([^}]*)\}", query)
    if not metrics or len(re.findall(r"chatmesh_\w+", query)) != len(metrics):
        found.append("every metric needs its namespace")
    for name, matchers in metrics:
        if name not in exported():
            found.append(f"no metric {name}")
            continue
        own = {f"exported_{one}" if one in TARGET else one for one in exported()[name]}
        known |= own
        matched = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))
        found += [f"{name} has no label {one}" for one in sorted(matched - own - TARGET)]
        if 'namespace="$namespace"' not in matchers:
            found.append(f"{name} is of every namespace")
        counts = name.endswith(("_total", "_bucket", "_sum", "_count"))
        if counts != (f"rate({name}{{" in query):
            found.append(f"{name} is {'not ' if counts else ''}shown as a rate")
    for labels in re.findall(r"by \(([^)]*)\)", query):
        unknown = set(labels.replace(" ", "").split(",")) - known
        found += [f"nothing has the label {one}" for one in sorted(unknown)]
    if query.count("(") != query.count(")"):
        found.append("its brackets do not match")
    if "_bucket" in query and not re.search(r"by \([^)]*\ble\)", query):
        found.append("a quantile needs le")
    unknown = set(re.findall(r"\$(\w+)", query)) - VARIABLES
    return found + [f"nothing fills in ${one}" for one in sorted(unknown)]


@pytest.mark.parametrize("board", BOARDS)
def test_every_query_asks_for_what_is_exported(board: str) -> None:
    asked = list(queries(board))
    assert asked
    for title, query in asked:
        assert complaints(query) == [], (title, query)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ('sum(chatmesh_turn{namespace="$namespace"})', "no metric chatmesh_turn"),
        ('sum by (pot) (chatmesh_turns{namespace="$namespace"})', "label pot"),
        ('sum(chatmesh_turns{namespace="$namespace",pool="a"})', "no label pool"),
        ("sum(chatmesh_turns)", "namespace"),
        ('sum(chatmesh_gateway_turns_total{namespace="$namespace"})', "not shown as a rate"),
        ('sum(chatmesh_turns{namespace="$namespace"}', "brackets"),
    ],
)
def test_a_query_that_asks_for_something_else_is_complained_of(query: str, complaint: str) -> None:
    assert complaint in " ".join(complaints(query))


def test_every_metric_of_the_mesh_is_on_some_dashboard() -> None:
    shown = " ".join(query for board in BOARDS for _, query in queries(board))
    families = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in exported()}
    quiet = {name for name in families if name not in shown}
    assert quiet == {
        "chatmesh_rpc_running",  # turns under way say as much
        "chatmesh_context_assembly_dropped_exchanges",
        "chatmesh_memory_erasure_watchers",
    }


def test_files_are_as_made_and_legends_name_labels_that_queries_keep() -> None:
    made: dict[str, str] = generate().dashboards()["texts"]()
    assert set(made) == set(BOARDS)
    assert {path.stem for path in (CHART / "dashboards").glob("*.json")} == set(BOARDS)
    for board, text in made.items():
        assert (CHART / "dashboards" / f"{board}.json").read_text() == text
        places = set()
        for panel in json.loads(text)["panels"]:
            places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
            for target in panel["targets"]:
                kept = set(
                    re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])))
                )
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept
        assert len(places) == len(json.loads(text)["panels"])


def test_each_is_a_config_map_that_grafana_finds() -> None:
    on = rendered("values", "--set", "dashboards.enabled=true")
    maps = {
        name: one
        for name, one in named(on, "ConfigMap").items()
        if "grafana_dashboard" in one["metadata"]["labels"]
    }
    assert set(maps) == {f"chatmesh-dashboard-{board}" for board in BOARDS}
    for one in maps.values():
        ((name, text),) = one["data"].items()
        board: dict[str, Any] = json.loads(text)
        assert name == f"{board['uid']}.json"
        committed = CHART / "dashboards" / f"{board['uid'].removeprefix('chatmesh-')}.json"
        assert board == json.loads(committed.read_text())
    off = named(rendered("values"), "ConfigMap").values()
    assert not [one for one in off if "grafana_dashboard" in one["metadata"]["labels"]]
