"""What is made from the chart's sources: `make charts` writes it, the tests compare.

values.schema.json from the services' config classes, README.md by helm-docs from the comments in
values.yaml, and the chart as it renders with each values file (tests/charts/golden).
"""

import ast
import inspect
import json
import runpy
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefinedType

from services.context_assembly.config import ContextAssemblyConfig
from services.gateway.config import GatewayConfig
from services.inference.config import InferenceConfig
from services.memory.config import MemoryConfig
from services.moderation.config import ModerationConfig
from services.shared.config import ServiceConfig
from services.tokenizer.config import TokenizerConfig
from services.tool_runner.config import ToolRunnerConfig

HERE = Path(__file__).parent
CHART = HERE / "chatmesh"
GOLDEN = HERE.parent / "tests" / "charts" / "golden"
RELEASE, NAMESPACE = "chatmesh", "chat"
# A values file of this folder each; the last is the chart's own.
RENDERS = ("values-local", "values-aks", "values-gke", "values-eks", "values-ha", "values")

Schema = dict[str, Any]
# What the chart decides, so that nobody says it twice.
_DECIDED = {"address", "metrics_address", "otlp_endpoint"}
_CONFIGS: Mapping[str, tuple[type[ServiceConfig], set[str]]] = {
    "gateway": (
        GatewayConfig,
        {"http_address", "accounts_url", "streams_url", "pepper_file", "inference_pools"}
        | {"scaler_address", "deletion_costs", "context_assembly_address", "tool_runner_address"}
        | {"moderation_address", "admin_address", "admin_token_file"},
    ),
    "context-assembly": (
        ContextAssemblyConfig,
        {"turns_url", "memory_address", "tokenizer_address", "inference_addresses"},
    ),
    "tokenizer": (TokenizerConfig, {"models"}),
    "tool-runner": (ToolRunnerConfig, {"memory_address"}),
    "moderation": (ModerationConfig, {"policy"}),
    "memory": (MemoryConfig, {"store_url"}),
    "inference": (InferenceConfig, {"model", "served_name"}),
}
# Where in README.md.gotmpl the tables of config go.
_CONFIG_MARK = "<!-- config -->"
_NAME = "^[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?$"
_QUANTITY = {"type": ["string", "number"], "pattern": r"^\d+(\.\d+)?([EPTGMk]i?|m)?$"}
_SIZE = {"type": "string", "pattern": r"^0*[1-9]\d*(\.\d+)?([EPTGMk]i?)?$"}
_EXTENDED_RESOURCE = {"type": "string", "pattern": r"^[a-z0-9.-]+/[a-z0-9._-]+$"}
_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "object", "additionalProperties": _TEXT}
_FLAG: Schema = {"type": "boolean"}
# By which the chart's Services, policies and budgets find its pods.
_OWN_LABELS = [
    *(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")),
    "chatmesh.io/service",
]
_LABELS: Schema = {**_TEXTS, "properties": dict.fromkeys(_OWN_LABELS, False)}
_DIGEST: Schema = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_DURATION: Schema = {"type": "string", "pattern": r"^(\d+(ms|s|m|h|d))+$"}
_PROXY: Schema = {"type": "string", "pattern": r"^$|^https?://\S+$"}
_COUNTED: Schema = {
    "oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+%$"}]
}
_ANY: Schema = {"type": "object"}
_ONE: Schema = {
    "properties": {
        "replicas": {"const": 1},
        "scaling": {"properties": {"enabled": {"const": False}}},
    }
}
# Nothing else may write the file of an embedded store.
_ONE_WRITER: Schema = {
    "if": {"properties": {"store": {"properties": {"existingSecret": {"const": ""}}}}},
    "then": _ONE,
}
# Without Redis no gateway knows the turns of the others.
_ONE_GATEWAY: Schema = {
    "if": {"properties": {"streams": {"properties": {"existingSecret": {"const": ""}}}}},
    "then": _ONE,
}
_LIST: Schema = {"type": "array", "items": {"type": "object"}}


def schema() -> str:
    """`values.schema.json`: a wrong key or type is an error that names it."""
    made = _object(
        {
            "fullnameOverride": {
                "type": "string",
                "pattern": "^([a-z]([-a-z0-9]{0,51}[a-z0-9])?)?$",
            },
            "commonLabels": _LABELS,
            "everyPod": _pod_block(of_all=True),
            "listen": {"enum": ["0.0.0.0", "[::]"]},
            "images": _object(
                {
                    "prefix": _TEXT,
                    "tag": _TEXT,
                    "digests": _object(
                        dict.fromkeys(("mesh", "inference", "inference-cpu"), _DIGEST)
                    ),
                    "pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
                    "pullSecrets": {"type": "array", "items": _TEXT},
                }
            ),
            "gateway": _service(
                "gateway",
                storage=True,
                targets=["turns"],
                pepper=_object({"existingSecret": _TEXT}),
                adminToken=_object({"existingSecret": _TEXT}),
            ),
            "context-assembly": _service("context-assembly", storage=True),
            "memory": _service("memory", storage=True),
            "tokenizer": _service("tokenizer", targets=["tokensPerSecond"]),
            "tool-runner": _service("tool-runner", targets=["runningTools"], egress=_LIST),
            "moderation": _service(
                "moderation", targets=["charactersPerSecond"], policyConfigMap=_TEXT
            ),
            "inference": _inference(),
            "jobs": _object({"resources": _resources(), "pod": _pod_block()}),
            "migrations": _object({"enabled": _FLAG}),
            "keda": _object({"enabled": _FLAG, "pollingSeconds": _whole(1)}),
            "podDeletionCosts": _object({"enabled": _FLAG}),
            "edge": _edge(),
            "networkPolicies": _network_policies(),
            "tracing": _object({"endpoint": {"type": "string", "pattern": r"^$|^https?://\S+$"}}),
            "monitor": _object({"enabled": _FLAG, "interval": _DURATION, "labels": _TEXTS}),
            "dashboards": _object({"enabled": _FLAG, "labels": _TEXTS}),
            "openshift": _object({"enabled": _FLAG}),
            "proxy": _object({"http": _PROXY, "https": _PROXY, "noProxy": _TEXT}),
            "privateCA": _object({"configMap": _TEXT, "key": {"type": "string", "minLength": 1}}),
            "inferencePool": _inference_pool(),
            "roles": _object({"enabled": _FLAG}),
            # Helm's own.
            "global": _ANY,
            "meshlib": _ANY,
        }
    )
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "chatmesh values"}
    return json.dumps(head | made, indent=2) + "\n"


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    made: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return made | ({"required": list(required)} if required else {})


def _whole(least: int, most: int | None = None) -> Schema:
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def _config(service: str) -> Schema:
    """The fields of a config class, but for what the chart decides, as pydantic describes them."""
    kind, decided = _CONFIGS[service]
    described = kind.model_json_schema()
    fields = {
        name: _plain(_inlined(field, described.get("$defs", {})))
        for name, field in described["properties"].items()
        if name not in decided | _DECIDED
    }
    return _object(fields)


def _inlined(field: Schema, kinds: Schema) -> Schema:
    """A list with the schema of its members in place of its name."""
    member = field.get("items", {})
    if "$ref" not in member:
        return field
    kind = kinds[member["$ref"].rpartition("/")[2]]
    members = {
        name: {"enum": kinds[each["$ref"].rpartition("/")[2]]["enum"]}
        if "$ref" in each
        else _plain(each)
        for name, each in kind["properties"].items()
    }
    return field | {"items": _object(members, tuple(kind["required"]))}


def _plain(field: Schema) -> Schema:
    """Without titles and defaults; references are to enums alone."""
    if "$ref" in field or "allOf" in field:
        return {"type": "string", "enum": ["block", "parallel", "off"]}
    return {key: value for key, value in field.items() if key not in {"title", "default"}}


def _placing() -> Schema:
    return {
        "nodeSelector": _TEXTS,
        "tolerations": _LIST,
        "affinity": _ANY,
        "priorityClassName": _TEXT,
        "podAnnotations": _TEXTS,
        "resources": _resources(),
        "pdb": _object({"enabled": _FLAG, "maxUnavailable": _COUNTED, "minAvailable": _COUNTED}),
        "serviceAccount": _object({"name": _TEXT, "annotations": _TEXTS}),
        "pod": _pod_block(),
    }


def _resources() -> Schema:
    kinds = ("requests", "limits")
    return _object({kind: {"type": "object", "additionalProperties": _QUANTITY} for kind in kinds})


def _rolling_update() -> Schema:
    return _object({"maxSurge": _COUNTED, "maxUnavailable": _COUNTED})


def _pod_block(*, of_all: bool = False) -> Schema:
    """What a PodTemplateSpec has; the API server knows what may be in it."""
    spec: Schema = dict(_ANY)
    if of_all:
        # A container in every job would keep it from ending.
        spec["properties"] = dict.fromkeys(("containers", "initContainers"), False)
    return _object({"metadata": _object({"labels": _LABELS, "annotations": _TEXTS}), "spec": spec})


def _enabled_needs(made: Schema, **needed: Schema) -> Schema:
    """What an object must have where its `enabled` is true."""
    on = {"properties": {"enabled": {"const": True}}, "required": ["enabled"]}
    return made | {"if": on, "then": {"properties": needed, "required": list(needed)}}


def _scaling(targets: list[str], *, least: int) -> Schema:
    positive = {"type": "number", "exclusiveMinimum": 0}
    return _object(
        {
            "enabled": _FLAG,
            "minReplicas": _whole(least),
            "maxReplicas": _whole(1),
            "cooldownSeconds": _whole(0),
            "stabilizationSeconds": _whole(0, 3600),
            "cpuPercent": _whole(1, 100),
            "targets": _object(dict.fromkeys(targets, positive)),
        },
        ("enabled", "minReplicas", "maxReplicas"),
    )


def _service(
    service: str, *, storage: bool = False, targets: list[str] | None = None, **more: Schema
) -> Schema:
    fields: Schema = {"config": _config(service), **_placing(), **more}
    fields["replicas"] = _whole(0)
    if storage:
        fields["storage"] = _object({"size": _SIZE, "storageClass": _TEXT, "existingClaim": _TEXT})
        key = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
        fields["store"] = _object({"existingSecret": _TEXT, "key": key, "egress": _LIST})
    if service == "gateway":
        key = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
        fields["streams"] = _object({"existingSecret": _TEXT, "key": key, "egress": _LIST})
    if targets:
        fields["scaling"] = _scaling(targets, least=1)
    if not storage:
        fields["rollingUpdate"] = _rolling_update()
    rules = [*([_ONE_WRITER] if storage else []), *([_ONE_GATEWAY] if service == "gateway" else [])]
    return _object(fields) | ({"allOf": rules} if rules else {})


def _inference() -> Schema:
    return _object(
        {
            "config": _config("inference"),
            "gpuTolerations": _LIST,
            "weights": _object(
                {
                    **dict.fromkeys(("cacheClaim", "secret", "serviceAccount"), _TEXT),
                    **dict.fromkeys(("environment", "podLabels"), _TEXTS),
                    "preload": _FLAG,
                    "resources": _resources(),
                }
            ),
            "pod": _pod_block(),
            "pools": {"type": "array", "minItems": 1, "items": _pool()},
        }
    )


def _pool() -> Schema:
    sources = {
        "bundled": {"const": True},
        "hub": {"type": "string", "pattern": r"^[\w.-]+(/[\w.-]+)?(@[\w./-]+)?$"},
        "objectStorage": {"type": "string", "pattern": "^(s3|gs|az)://[^/]+/.+$"},
        "claim": {"type": "string", "minLength": 1},
        "image": {"type": "string", "minLength": 1},
    }
    source = _object({**sources, "path": _TEXT})
    source["oneOf"] = [{"required": [kind]} for kind in sources]
    # Of the others all is fetched, or there already.
    source["dependencies"] = {
        "path": {"anyOf": [{"required": [kind]} for kind in ("claim", "image")]}
    }
    model = _object(
        {
            "name": {"type": "string", "minLength": 1},
            "source": source,
            "contextTokens": _whole(1),
            "callsTools": _FLAG,
            "reasons": _FLAG,
            "summarises": _FLAG,
        },
        ("name", "source", "contextTokens"),
    )
    fields = {
        "name": {"type": "string", "pattern": _NAME},
        "model": model,
        "replicas": _whole(0),
        "config": _config("inference"),
        "gpu": _gpu(),
        "tensorParallel": _whole(1),
        "pipelineParallel": _whole(1),
        "nodes": _whole(1),
        "rdma": _object({"resource": _EXTENDED_RESOURCE, "count": _whole(1)}, ("resource",)),
        "quantization": _TEXT,
        "engineArgs": _ANY,
        "cache": _object({"claim": _TEXT}),
        "shmSize": _QUANTITY,
        "loadSeconds": _whole(1),
        "nodeSeconds": _whole(0),
        "image": _TEXT,
        "holdSeconds": _whole(0),
        "rollingUpdate": _rolling_update(),
        "scaling": _scaling(["queuedTokens", "slotsPercent", "kvPercent"], least=0),
    }
    made = _object(fields | _placing(), ("name", "model", "replicas"))
    # One node has nobody to talk to by its network's device.
    several = {"properties": {"nodes": {"minimum": 2}}, "required": ["nodes"]}
    return made | {"dependencies": {"rdma": several}}


def _gpu() -> Schema:
    gpu = _object(
        {
            "preset": {"enum": ["a100", "h100"]},
            "products": {"type": "array", "items": _TEXT, "minItems": 1},
            "resource": _EXTENDED_RESOURCE,
            "count": _whole(1),
            "claims": {"type": "array", "items": _claim(), "minItems": 1},
        }
    )
    counted = {"anyOf": [{"required": [name]} for name in ("count", "resource")]}
    return gpu | {"minProperties": 1, "dependencies": {"claims": {"not": counted}}}


def _claim() -> Schema:
    """One of a pod's resourceClaims."""
    kinds = ("resourceClaimName", "resourceClaimTemplateName")
    made = _object({"name": _TEXT, **dict.fromkeys(kinds, _TEXT)}, ("name",))
    return made | {"oneOf": [{"required": [kind]} for kind in kinds]}


def _edge() -> Schema:
    host: Schema = {"type": "string", "minLength": 1}
    hosts: Schema = {"type": "array", "items": host}
    route = _enabled_needs(
        _object({"enabled": _FLAG, "parentRefs": _LIST, "hostnames": hosts, "annotations": _TEXTS}),
        parentRefs={"minItems": 1},
    )
    service = {
        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
        "annotations": _TEXTS,
        "loadBalancerClass": _TEXT,
        "loadBalancerSourceRanges": {"type": "array", "items": host},
        "externalTrafficPolicy": {"enum": ["", "Cluster", "Local"]},
    }
    balanced = _object(service) | {
        "if": {
            "anyOf": [
                _filled("loadBalancerClass", minLength=1),
                _filled("loadBalancerSourceRanges", minItems=1),
            ]
        },
        "then": {"properties": {"type": {"const": "LoadBalancer"}}},
    }
    ingress = {"enabled": _FLAG, "className": _TEXT, "host": _TEXT, "moreHosts": hosts}
    ingress |= {"tlsSecret": _TEXT, "annotations": _TEXTS}
    return _object(
        {
            "service": balanced,
            "httpRoute": route,
            "grpcRoute": route,
            "ingress": _enabled_needs(_object(ingress), host=host),
        }
    )


def _filled(name: str, **least: int) -> Schema:
    """Where it is there and not empty."""
    return {"properties": {name: least}, "required": [name]}


def _inference_pool() -> Schema:
    named: Schema = {"type": "string", "minLength": 1}
    picker = {"name": _TEXT, "port": _whole(1, 65535)}
    picker["failureMode"] = {"enum": ["FailClose", "FailOpen"]}
    return _enabled_needs(
        _object({"enabled": _FLAG, "endpointPicker": _object(picker), "callers": _LIST}),
        endpointPicker={"properties": {"name": named}, "required": ["name"]},
    )


def _network_policies() -> Schema:
    peers = dict.fromkeys(("edge", "outside", "scrape", "dns", "keda", "tracing"), _LIST)
    addresses = _object({"ports": {"type": "array", "items": _whole(1, 65535)}, "to": _LIST})
    outside = dict.fromkeys(("apiServer", "modelSource"), addresses)
    return _object({"enabled": _FLAG, **outside, **peers})


def render(values: str, *options: str) -> str:
    """The chart's manifests with one of its values files."""
    command = ["helm", "template", RELEASE, str(CHART), "--namespace", NAMESPACE]
    command += ["-f", str(CHART / f"{values}.yaml"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Knob:
    """A field of a config class: its name, its default as Python writes it, and its comment."""

    name: str
    default: str
    words: str


def knobs(service: str) -> list[Knob]:
    """What `config` of a service may hold, its own fields before those that all services have."""
    kind, decided = _CONFIGS[service]
    found = [knob for one in (kind, ServiceConfig) for knob in _fields(one)]
    names = set[str]()
    kept = []
    for knob in found:
        if knob.name not in names | decided | _DECIDED:
            kept.append(knob)
        names.add(knob.name)
    return kept


def _fields(kind: type[ServiceConfig]) -> Iterator[Knob]:
    """From the source: comments are nowhere else."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (read,) = ast.parse(source).body
    assert isinstance(read, ast.ClassDef)
    for node in read.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        before = list(takewhile(_is_comment, reversed(lines[: node.lineno - 1])))
        words = " ".join(line.strip().lstrip("# ") for line in reversed(before))
        yield Knob(node.target.id, _default(kind, node.target.id), words)


def _is_comment(line: str) -> bool:
    return line.strip().startswith("#")


def _default(kind: type[ServiceConfig], name: str) -> str:
    """As it is written in values."""
    default = kind.model_fields[name].get_default(call_default_factory=True)
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, PydanticUndefinedType) or default is None:
        return ""
    if isinstance(default, frozenset):
        default = sorted(default)
    return f"`{json.dumps(default, default=str)}`"


def config_tables() -> str:
    """For the README: every field of every service's config."""
    tables = []
    for service in _CONFIGS:
        place = "inference.config" if service == "inference" else f"{service}.config"
        rows = [f"| {one.name} | {one.default} | {one.words} |" for one in knobs(service)]
        tables.append("\n".join([f"| {place} | default | |", "|---|---|---|", *rows]))
    return "\n\n".join(tables)


def readme() -> str:
    """As helm-docs writes it. It does not follow the link to the library: it gets a copy."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "chatmesh"
        shutil.copytree(CHART, copied, ignore=shutil.ignore_patterns("charts", "README.md"))
        command = ["helm-docs", "--chart-search-root", folder, "--sort-values-order", "file"]
        command += ["--log-level", "warning"]
        subprocess.run(command, check=True)
        made = (copied / "README.md").read_text()
    assert _CONFIG_MARK in made
    return made.replace(_CONFIG_MARK, config_tables())


def dashboards() -> dict[str, Any]:
    """What dashboards.py has; neither file is of a package."""
    return runpy.run_path(str(HERE / "dashboards.py"))


def main() -> None:
    (CHART / "values.schema.json").write_text(schema())
    (CHART / "README.md").write_text(readme())
    dashboards()["write"](CHART / "dashboards")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for values in RENDERS:
        (GOLDEN / f"{values}.yaml").write_text(render(values))
    print(f"wrote the schema, the README, the dashboards and {len(RENDERS)} renders: see git diff")


if __name__ == "__main__":
    main()
