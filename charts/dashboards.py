"""The Grafana dashboards of the chart: `make charts` writes charts/chatmesh/dashboards from this.

A panel is its title, the unit of its axis in Grafana's words, and its queries by legend.
`$namespace` is chosen on the dashboard. A replica's own name, which gateways tell, is
`exported_pod`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = 'namespace="$namespace"'
_WIDTH, _HEIGHT, _ROW = 12, 8, 24


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    queries: Mapping[str, str]


def _rate(metric: str, by: str, matchers: str = "") -> str:
    inside = ",".join(filter(None, (_HERE, matchers)))
    return f"sum by ({by}) (rate({metric}{{{inside}}}[$__rate_interval]))"


def _quantiles(metric: str, by: str, legend: str = "") -> Mapping[str, str]:
    """The median and the 95th percentile of a histogram, for each value of the label `by`."""
    labels = f"{by}, le" if by else "le"
    name = legend or (f"{{{{{by}}}}} " if by else "")
    return {
        f"{name}p{share:g}": f"histogram_quantile({share / 100:g}, {_rate(metric, labels)})"
        for share in (50, 95)
    }


def _of_replicas(metric: str, how: str = "sum") -> str:
    """Each gateway tells of every replica; each counts once."""
    told = f"max by (pool, exported_pod) ({metric}{{{_HERE}}})"
    return f"{how} by (pool) ({told})"


def _most(metric: str, matchers: str = "") -> str:
    return f"topk(10, {_rate(metric, 'organisation', matchers)})"


BOARDS: Mapping[str, Sequence[Panel]] = {
    "turns": (
        Panel("Turns under way", "short", {"turns": f"sum(chatmesh_turns{{{_HERE}}})"}),
        Panel(
            "Turns by how they end",
            "ops",
            {"{{code}}": _rate("chatmesh_gateway_turns_total", "code")},
        ),
        Panel("First byte", "s", _quantiles("chatmesh_http_first_byte_seconds_bucket", "route")),
        Panel("Whole answers", "s", _quantiles("chatmesh_http_request_seconds_bucket", "route")),
        Panel(
            "Answers by status",
            "reqps",
            {"{{status}}": _rate("chatmesh_http_requests_total", "status")},
        ),
        Panel(
            "Turns that another gateway took over",
            "ops",
            {"goes on: {{goes_on}}": _rate("chatmesh_turns_taken_over_total", "goes_on")},
        ),
        Panel(
            "Gateways that have lost Redis",
            "short",
            {"gateways": f"sum(chatmesh_streams_lost{{{_HERE}}})"},
        ),
        Panel(
            "Gateways that each one knows",
            "short",
            {"the one that knows fewest": f"min(chatmesh_gateways_known{{{_HERE}}})"},
        ),
        Panel("Sockets that are open", "short", {"sockets": f"sum(chatmesh_sockets{{{_HERE}}})"}),
        Panel(
            "Messages on sockets by status",
            "reqps",
            {"{{status}}": _rate("chatmesh_socket_messages_total", "status")},
        ),
        Panel(
            "First event on sockets",
            "s",
            _quantiles("chatmesh_socket_first_event_seconds_bucket", ""),
        ),
        Panel(
            "Whole answers on sockets",
            "s",
            _quantiles("chatmesh_socket_message_seconds_bucket", "kind"),
        ),
        Panel(
            "Stages of a turn: calls of every service",
            "s",
            _quantiles("chatmesh_rpc_seconds_bucket", "method"),
        ),
        Panel(
            "Assembling a context, by step",
            "s",
            _quantiles("chatmesh_context_assembly_step_seconds_bucket", "step"),
        ),
        Panel(
            "Failed calls between services",
            "ops",
            {
                "{{method}} {{code}}": _rate(
                    "chatmesh_rpc_handled_total", "method, code", 'code!="OK"'
                )
            },
        ),
    ),
    "engines": (
        Panel("Tokens", "short", {"{{kind}}": _rate("chatmesh_inference_tokens_total", "kind")}),
        Panel(
            "Generations by how they end",
            "ops",
            {"{{outcome}}": _rate("chatmesh_inference_generations_total", "outcome")},
        ),
        Panel(
            "First token", "s", _quantiles("chatmesh_inference_first_token_seconds_bucket", "job")
        ),
        Panel("Next token", "s", _quantiles("chatmesh_inference_next_token_seconds_bucket", "job")),
        Panel(
            "Generations that run and wait",
            "short",
            {
                "{{pod}} run": f"sum by (pod) (chatmesh_inference_running{{{_HERE}}})",
                "{{pod}} wait": f"sum by (pod) (chatmesh_inference_waiting{{{_HERE}}})",
            },
        ),
        Panel(
            "Prompt tokens found in the cache",
            "percentunit",
            {
                "found": _rate("chatmesh_inference_tokens_total", "namespace", 'kind="cached"')
                + " / "
                + _rate("chatmesh_inference_tokens_total", "namespace", 'kind="prompt"')
            },
        ),
        Panel(
            "Tokens of a prompt",
            "short",
            _quantiles("chatmesh_tokenizer_prompt_tokens_bucket", "model"),
        ),
        Panel(
            "Prompts that were cut",
            "ops",
            {"{{model}}": _rate("chatmesh_tokenizer_cut_prompts_total", "model")},
        ),
    ),
    "routing": (
        Panel("Slots", "short", {"{{pool}}": _of_replicas("chatmesh_replica_slots")}),
        Panel(
            "Generations that run and wait, as the gateways see them",
            "short",
            {
                "{{pool}} run": _of_replicas("chatmesh_replica_running"),
                "{{pool}} wait": _of_replicas("chatmesh_replica_waiting"),
            },
        ),
        Panel(
            "KV cache in use",
            "percentunit",
            {"{{pool}}": _of_replicas("chatmesh_replica_kv_cache_use", "avg")},
        ),
        Panel(
            "Sent by the gateways",
            "short",
            {"{{exported_pod}}": f"sum by (exported_pod) (chatmesh_replica_in_flight{{{_HERE}}})"},
        ),
        Panel(
            "Requests that wait for a replica",
            "short",
            {"{{pool}}": f"sum by (pool) (chatmesh_pool_held{{{_HERE}}})"},
        ),
        Panel(
            "Replicas that start and leave",
            "short",
            {
                "{{pool}} start": f"max by (pool) (chatmesh_pool_coming{{{_HERE}}})",
                "{{pool}} leave": _of_replicas("chatmesh_replica_draining"),
            },
        ),
    ),
    "moderation": (
        Panel(
            "Texts by what was done",
            "ops",
            {
                "{{direction}} {{action}}": _rate(
                    "chatmesh_moderation_texts_total", "direction, action"
                )
            },
        ),
        Panel(
            "What was found",
            "ops",
            {
                "{{category}} {{action}}": _rate(
                    "chatmesh_moderation_texts_total", "category, action", 'action!="pass"'
                )
            },
        ),
        Panel(
            "Windows read",
            "ops",
            {"windows": _rate("chatmesh_moderation_windows_total", "namespace")},
        ),
        Panel(
            "Windows that the second stage reads",
            "ops",
            {"doubtful": _rate("chatmesh_moderation_doubtful_windows_total", "namespace")},
        ),
        Panel(
            "The second stage",
            "s",
            _quantiles("chatmesh_moderation_second_stage_seconds_bucket", ""),
        ),
        Panel(
            "Let go again",
            "ops",
            {"{{category}}": _rate("chatmesh_moderation_releases_total", "category")},
        ),
    ),
    "memory": (
        Panel(
            "Facts remembered",
            "ops",
            {"{{outcome}}": _rate("chatmesh_memory_remembered_total", "outcome")},
        ),
        Panel(
            "Facts forgotten", "ops", {"by {{by}}": _rate("chatmesh_memory_forgotten_total", "by")}
        ),
        Panel("Facts found for a turn", "short", _quantiles("chatmesh_memory_found_bucket", "")),
        Panel("Embedding a text", "s", _quantiles("chatmesh_memory_embedding_seconds_bucket", "")),
        Panel(
            "Turns without memory, as it did not answer",
            "ops",
            {"failures": _rate("chatmesh_context_assembly_memory_failures_total", "namespace")},
        ),
        Panel(
            "Summaries",
            "ops",
            {
                "{{outcome}}": _rate("chatmesh_context_assembly_summaries_total", "outcome"),
                "used again": _rate(
                    "chatmesh_context_assembly_summaries_reused_total", "namespace"
                ),
            },
        ),
    ),
    "tenants": (
        Panel(
            "Turns by organisation: the ten that use most",
            "ops",
            {"{{organisation}}": _most("chatmesh_organisation_turns_total")},
        ),
        Panel(
            "Tokens of prompts",
            "short",
            {"{{organisation}}": _most("chatmesh_organisation_tokens_total", 'kind="prompt"')},
        ),
        Panel(
            "Tokens of replies",
            "short",
            {"{{organisation}}": _most("chatmesh_organisation_tokens_total", 'kind="completion"')},
        ),
        Panel(
            "Prompt tokens that the cache had",
            "short",
            {"{{organisation}}": _most("chatmesh_organisation_tokens_total", 'kind="cached"')},
        ),
    ),
    "tools": (
        Panel(
            "Calls by how they end",
            "ops",
            {"{{tool}} {{outcome}}": _rate("chatmesh_tool_runner_calls_total", "tool, outcome")},
        ),
        Panel("How long they take", "s", _quantiles("chatmesh_tool_runner_seconds_bucket", "tool")),
        Panel(
            "Running",
            "short",
            {"{{tool}}": f"sum by (tool) (chatmesh_tool_runner_running{{{_HERE}}})"},
        ),
    ),
}


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts().items():
        (folder / f"{name}.json").write_text(text)


def texts() -> Mapping[str, str]:
    """Every dashboard as Grafana reads it, by name."""
    return {
        name: json.dumps(_board(name, panels), indent=1) + "\n" for name, panels in BOARDS.items()
    }


def _board(name: str, panels: Sequence[Panel]) -> Mapping[str, Any]:
    return {
        "uid": f"chatmesh-{name}",
        "title": f"chatmesh / {name}",
        "tags": ["chatmesh"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source(), _namespace()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _source() -> Mapping[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _namespace() -> Mapping[str, Any]:
    query = "label_values(chatmesh_turns, namespace)"
    return {
        "name": "namespace",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "definition": query,
        "query": {"query": query, "refId": "namespaces"},
        "refresh": 2,
        "sort": 1,
    }


def _panel(number: int, panel: Panel) -> Mapping[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    left = number * _WIDTH % _ROW
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": left, "y": number * _WIDTH // _ROW * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": source,
                "expr": query,
                "legendFormat": legend,
            }
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }
