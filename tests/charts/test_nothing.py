"""0, false, "" and empty lists are values: each that the schema allows is what is rendered."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.charts.conftest import CHART, Manifest, generate, refused_or_rendered

Place = tuple[str, ...]
EMPTY: tuple[object, ...] = (0, False, "", [])
# A pool with every field that has an opinion of its own, so that each can be taken from it.
POOL: Manifest = {
    "name": "a",
    "replicas": 1,
    "image": "r.example/a:1.0.0",
    "gpu": {"preset": "a100", "count": 1},
    "quantization": "fp8",
    "model": {
        "name": "m",
        "source": {"claim": "c", "path": "p"},
        "contextTokens": 4096,
        "callsTools": True,
        "reasons": True,
        "summarises": True,
    },
    "cache": {"claim": "c"},
    "holdSeconds": 7,
    "nodeSeconds": 7,
    "shmSize": "1Gi",
    "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "priorityClassName": "p",
    "pdb": {"enabled": True, "maxUnavailable": 1},
    "serviceAccount": {"name": "", "annotations": {}},
    "scaling": {
        "enabled": True,
        "minReplicas": 1,
        "maxReplicas": 2,
        "cooldownSeconds": 7,
        "stabilizationSeconds": 7,
        "targets": {"slotsPercent": 80},
    },
}
# Where the default is nothing already, something to take away.
FULL: Manifest = {
    "fullnameOverride": "other",
    "keda": {"enabled": True},
    "monitor": {"enabled": True},
    "podDeletionCosts": {"enabled": True},
    "dashboards": {"enabled": True},
    "openshift": {"enabled": True},
    "tracing": {"endpoint": "http://c:4317"},
    "images": {"tag": "1.0.0", "pullSecrets": ["s"], "digests": {"mesh": "sha256:" + 64 * "a"}},
    "proxy": {"http": "http://p:1", "https": "http://p:2", "noProxy": "x"},
    "privateCA": {"configMap": "ca"},
    "inferencePool": {
        "enabled": True,
        "endpointPicker": {"name": "epp"},
        "callers": [{"podSelector": {}}],
    },
    "edge": {
        "service": {
            "type": "LoadBalancer",
            "loadBalancerClass": "c",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "externalTrafficPolicy": "Local",
        },
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "e"}], "hostnames": ["h.example"]},
        "grpcRoute": {"enabled": True, "parentRefs": [{"name": "e"}], "hostnames": ["h.example"]},
        "ingress": {
            "enabled": True,
            "className": "c",
            "host": "h.example",
            "moreHosts": ["i.example"],
            "tlsSecret": "t",
        },
    },
    "moderation": {"policyConfigMap": "p"},
    "gateway": {"pepper": {"existingSecret": "s"}},
    "inference": {
        "config": {"summarises": True, "tool_parser": "t", "reasoning_parser": "r"},
        "weights": {"cacheClaim": "c", "secret": "s", "serviceAccount": "a"},
        "pools": [
            POOL,
            {
                "name": "b",
                "replicas": 1,
                "config": {"summarises": True, "drain_seconds": 3},
                "model": {"name": "other", "source": {"hub": "a/b"}, "contextTokens": 1},
            },
        ],
    },
}
FULL |= {
    service: FULL.get(service, {})
    | {"priorityClassName": "p", "tolerations": [{"key": "k", "operator": "Exists"}]}
    for service in (
        "gateway",
        "context-assembly",
        "tokenizer",
        "tool-runner",
        "moderation",
        "memory",
    )
}
for _service in ("tokenizer", "tool-runner", "moderation"):
    FULL[_service]["scaling"] = {
        "enabled": True,
        "minReplicas": 1,
        "maxReplicas": 2,
        "cooldownSeconds": 7,
        "stabilizationSeconds": 7,
    }
for _service in ("gateway", "context-assembly", "memory"):
    FULL[_service]["storage"] = {"storageClass": "s"}
# Where nothing is said of a pool, this is what holds: the same empty value.
POOL_DEFAULTS = {
    "image": "",
    "quantization": "",
    "priorityClassName": "",
    "tolerations": [],
    "rollingUpdate/maxSurge": 0,
    "model/callsTools": False,
    "model/reasons": False,
    "model/summarises": False,
    "model/source/path": "",
    "cache/claim": "",
    "scaling/enabled": False,
    "serviceAccount/name": "",
}
# Nothing is rendered of these: Helm's own, and the words of others that the API server judges.
OPAQUE = {("global",), ("meshlib",)}


def places(schema: Manifest | bool, at: Place = ()) -> Iterator[tuple[Place, object]]:
    """Every place in the values but the services' config, with each empty value that it takes."""
    if at in OPAQUE or at[-1:] == ("config",) or isinstance(schema, bool):
        return
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from places(inner, (*at, name))
    elif at == ("inference", "pools"):
        yield from places(schema["items"], (*at, "0"))
    else:
        takes = jsonschema.Draft7Validator(schema).is_valid
        yield from ((at, value) for value in EMPTY if takes(value))


def given(place: Place) -> Manifest:
    """FULL, as a copy, with what the place needs to matter."""
    made: Manifest = json.loads(json.dumps(FULL))
    service = made.get(place[0], {})
    if place[:2] == ("gateway", "scaling"):
        shared = {"existingSecret": "url"}
        service |= {
            "store": shared,
            "streams": shared,
            "scaling": dict(made["tokenizer"]["scaling"]),
        }
    scaled = service if "scaling" in service else made["inference"]["pools"][0]
    if place[-1] in {"replicas", "cpuPercent"}:
        made["keda"] = {"enabled": False}
    if place[-1] == "replicas":
        scaled["scaling"]["enabled"] = False
    if place[1] in {"store", "streams"}:
        holder(made, place)["existingSecret"] = "url"
    if place[-1] == "maxSurge" and "0" not in place:
        service["rollingUpdate"] = {"maxUnavailable": 1}
    return made


def holder(values: Manifest, place: Place) -> Manifest:
    """The mapping in which the place's last key is; made where it is missing."""
    inner: Any = values
    for step in place[:-1]:
        inner = inner[int(step)] if step.isdigit() else inner.setdefault(step, {})
    assert isinstance(inner, dict)
    return inner


@cache
def default(place: Place) -> object:
    """What holds where nothing is said; None: something that is no empty value."""
    if "0" in place:
        return POOL_DEFAULTS.get("/".join(place[3:]))
    inner: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for step in place:
        inner = inner.get(step) if isinstance(inner, dict) else None
    return inner


def every() -> list[tuple[Place, object]]:
    schema = json.loads(generate().schema())
    return [
        (place, value)
        for place, value in places(schema)
        if not (default(place) == value and type(default(place)) is type(value))
    ]


@pytest.mark.parametrize(("place", "value"), every(), ids=str)
def test_an_empty_value_is_not_taken_for_none(place: Place, value: object) -> None:
    """What is rendered is another thing than where nothing is said, or a sentence names it."""
    told, silent = given(place), given(place)
    holder(told, place)[place[-1]] = value
    holder(silent, place).pop(place[-1], None)
    rendered, refused = refused_or_rendered(told)
    if refused:
        assert place[-1] in refused
        return
    assert rendered != refused_or_rendered(silent)[0]


@pytest.mark.parametrize("service", sorted({*generate()._CONFIGS}))
def test_every_field_of_a_config_may_be_empty(service: str) -> None:
    fields = json.loads(generate().schema())["properties"][service]["properties"]["config"]
    told: dict[str, list[object]] = {}
    for (name,), value in places(fields):
        told.setdefault(name, []).append(value)
    assert told
    for turn in range(max(map(len, told.values()))):
        config = {name: values[turn] for name, values in told.items() if turn < len(values)}
        manifests = list(yaml.safe_load_all(_config_render(service, config)))
        component = "inference-b" if service == "inference" else service
        (found,) = (
            one["data"]
            for one in manifests
            if one
            and one["kind"] == "ConfigMap"
            and one["metadata"]["name"] == f"other-{component}"
        )
        for name, value in config.items():
            variable = f"{service.replace('-', '_')}_{name}".upper()
            written = value if isinstance(value, str) else json.dumps(value)
            assert found[variable] == written, variable


def _config_render(service: str, config: Manifest) -> str:
    made: Manifest = json.loads(json.dumps(FULL))
    if service == "inference":
        made["inference"]["pools"][1]["config"] = config
    else:
        made[service]["config"] = config
    rendered, refused = refused_or_rendered(made)
    assert rendered, refused
    return rendered


def test_a_pool_is_rolled_slept_and_scaled_by_zeros() -> None:
    pool = {
        "name": "demo",
        "replicas": 1,
        "model": {"name": "m", "source": {"bundled": True}, "contextTokens": 4096},
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        "holdSeconds": 0,
        "config": {"drain_seconds": 0, "grace_seconds": 0, "summarises": False},
        "scaling": {
            "enabled": True,
            "minReplicas": 1,
            "maxReplicas": 2,
            "cooldownSeconds": 0,
            "stabilizationSeconds": 0,
        },
    }
    told = {
        "keda": {"enabled": True},
        "inference": {"config": {"summarises": True}, "pools": [pool]},
    }
    rendered, _ = refused_or_rendered(told)
    found = {
        (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(rendered) if one
    }
    deployment = found["Deployment", "chatmesh-inference-demo"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert deployment["template"]["spec"]["terminationGracePeriodSeconds"] == 10
    settings = found["ConfigMap", "chatmesh-inference-demo"]["data"]
    assert settings["INFERENCE_SUMMARISES"] == "false"
    assert (settings["INFERENCE_DRAIN_SECONDS"], settings["INFERENCE_GRACE_SECONDS"]) == ("0", "0")
    (known,) = json.loads(found["ConfigMap", "chatmesh-gateway"]["data"]["GATEWAY_INFERENCE_POOLS"])
    assert known["hold_seconds"] == 0
    scaled = found["ScaledObject", "chatmesh-inference-demo"]["spec"]
    assert scaled["cooldownPeriod"] == 0
    behaviour = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 0


@pytest.mark.parametrize("policy", ["edge", "scrape", "dns", "apiServer"])
def test_an_empty_list_of_peers_lets_nobody(policy: str) -> None:
    """In a NetworkPolicy an empty list means everybody."""
    given: object = {"to": []} if policy == "apiServer" else []
    rendered, _ = refused_or_rendered({"networkPolicies": {policy: given}})
    rules = [
        rule
        for one in yaml.safe_load_all(rendered)
        if one and one["kind"] == "NetworkPolicy"
        for side in ("ingress", "egress")
        for rule in one["spec"].get(side) or ()
    ]
    assert rules
    assert [] not in [peers for rule in rules for peers in rule.values()]
