"""Values that nobody wrote: drawn from the chart's own schema, the same ones every time."""

import json
import random
from collections.abc import Sequence
from typing import Any

import jsonschema

from tests.charts.conftest import Manifest, generate

Place = tuple[str, ...]
HOW_MANY = 40
# How often a key that need not be there is: what holds others more often than they.
_SHARE, _SHARE_OF_OBJECTS = 0.35, 0.85
_PEER = {"namespaceSelector": {"matchLabels": {"a": "b"}}}
_RULE = {"ports": [{"port": 443}], "to": [_PEER]}
_CLAIM = {"name": "gpu", "resourceClaimTemplateName": "h100"}
_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
            ]
        }
    }
}
_POD_SPECS: Sequence[Manifest] = (
    {"schedulerName": "mine", "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
    {"nodeSelector": {"disk": "ssd"}, "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]},
    {"affinity": _AFFINITY, "terminationGracePeriodSeconds": 0},
    {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]},
)
# What a schema calls a text or an object, and Kubernetes is narrower about.
_SAMPLES: dict[str, Sequence[Any]] = {
    "fullnameOverride": ("", "chat", "x" * 53),
    "prefix": ("", "registry.example/chatmesh/"),
    "tag": ("", "1.2.3"),
    "mesh": ("sha256:" + "0a" * 32,),
    "inference": ("sha256:" + "0b" * 32,),
    "inference-cpu": ("sha256:" + "0c" * 32,),
    "pullSecrets": ([], ["registry"]),
    "tolerations": ([], [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]),
    "gpuTolerations": ([], [{"key": "k", "operator": "Exists"}]),
    "affinity": ({}, _AFFINITY),
    "spec": _POD_SPECS,
    "interval": ("15s", "1m"),
    "endpoint": ("", "http://collector.observability:4317"),
    "egress": ([], [_RULE]),
    "ports": ([], [443, 6443]),
    "to": ([], [{"ipBlock": {"cidr": "0.0.0.0/0"}}], [_PEER]),
    **dict.fromkeys(("edge", "outside", "scrape", "dns", "keda", "callers"), ([], [_PEER])),
    "parentRefs": ([{"name": "front", "namespace": "edge"}],),
    "hostnames": ([], ["chat.example"], ["a.example", "b.example"]),
    "moreHosts": ([], ["b.example"]),
    "host": ("chat.example",),
    "loadBalancerClass": ("", "example.com/internal"),
    "loadBalancerSourceRanges": ([], ["10.0.0.0/8"]),
    "http": ("", "http://proxy.example:3128"),
    "https": ("", "http://proxy.example:3128"),
    "noProxy": ("", "corp.example"),
    "key": ("ca.crt", "roots.pem"),
    "size": ("1Gi", "500M"),
    "hub": ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B@v1.0"),
    "objectStorage": ("s3://models/qwen", "az://models/qwen/8b"),
    "image": ("", "registry.example/model:1"),
    "path": ("", "qwen/8b"),
    "resource": ("nvidia.com/gpu", "nvidia.com/mig-3g.40gb"),
    "products": (["NVIDIA-H100-NVL"],),
    "claims": ([_CLAIM],),
    "quantization": ("", "fp8"),
    "engineArgs": ({}, {"max_num_seqs": 8}, {"enforce_eager": True}),
    "shmSize": ("1Gi", "0"),
    "contextTokens": (1, 4096, 1048576),
    # Below every limit that the chart sets itself: Kubernetes refuses others.
    "requests": ({}, {"cpu": "10m", "memory": "16Mi"}),
    "limits": ({}, {"memory": "1Gi"}, {"cpu": 1, "memory": "8Gi", "ephemeral-storage": "1Gi"}),
    "environment": ({}, {"AWS_REGION": "eu-1", "HF_HOME": ""}),
}
_WORDS = ("", "a-name")
_TEXTS = ("http://a.example", "sqlite:a", "1Gi", "5%", "a/b")
# Objects that are drawn whole, and not key by key.
_WHOLE = {"spec", "requests", "limits", "environment", "affinity", "engineArgs"}
_MODELS = ("m", "Qwen/Qwen3-8B", "llama3:70b", "a.b_c/" + "d" * 60)


class Drawing:
    """One set of values. `places` are the keys that it has."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.places: set[Place] = set()
        self.values: Manifest = self._drawn(generate_schema(), ())
        self._make_sense()

    def _drawn(self, schema: Any, at: Place) -> Any:
        key = at[-1] if at else ""
        whole = schema.get("type") != "object" or key in _WHOLE
        if key in _SAMPLES and whole:
            return self._sample(schema, at)
        if "properties" in schema:
            return self._object(schema, at)
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return self._drawn(self._random.choice(schema[choice]), at)
        return self._leaf(schema, at)

    def _sample(self, schema: Any, at: Place) -> Any:
        takes = jsonschema.Draft7Validator(schema).is_valid
        fitting = [one for one in _SAMPLES[at[-1]] if takes(one)]
        assert fitting, at
        return self._random.choice(fitting)

    def _object(self, schema: Any, at: Place) -> Manifest:
        made = {}
        for name, inner in schema["properties"].items():
            share = _SHARE_OF_OBJECTS if "properties" in (inner or ()) else _SHARE
            wanted = name in schema.get("required", ()) or self._random.random() < share
            if wanted and inner is not False and (*at, name) not in {("global",), ("meshlib",)}:
                made[name] = self._drawn(inner, (*at, name))
                self.places.add((*at, name))
        return made

    def _leaf(self, schema: Any, at: Place) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0]
        if "enum" in schema or "const" in schema:
            return self._random.choice(schema.get("enum") or [schema["const"]])
        if kind == "string":
            return self._text(schema, at)
        if kind == "array":
            # Of pools, which are made sense of below; other lists have samples.
            return [self._drawn(schema["items"], (*at, "0"))] if at[-1] == "pools" else []
        least = int(schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1))
        most = min(int(schema.get("maximum", least + 3)), least + 3)
        chosen = {
            "boolean": self._random.random() < 0.5,
            "object": self._random.choice(({}, {"a": "b"})),
            "integer": self._random.randint(least, max(least, most)),
        }
        return chosen["integer" if kind == "number" else kind] if kind != "null" else None

    def _text(self, schema: Any, at: Place) -> str:
        takes = jsonschema.Draft7Validator(schema).is_valid
        for samples in (_WORDS, _TEXTS):
            if fitting := [one for one in samples if takes(one)]:
                return self._random.choice(fitting)
        raise AssertionError(f"no sample for {at}: {schema}")

    def _make_sense(self) -> None:
        """What the schema does not say, and a sentence of the chart would: see validate.yaml."""
        for service in ("tokenizer", "tool-runner", "moderation"):
            self._ordered(self.values.get(service, {}))
        for service in ("context-assembly", "memory"):
            keeping = self.values.get(service, {})
            if "replicas" in keeping and not keeping.get("store", {}).get("existingSecret"):
                keeping["replicas"] = 1
        gateway = self.values.get("gateway", {})
        shared = (gateway.get(each, {}).get("existingSecret") for each in ("store", "streams"))
        self._ordered(gateway)
        if not all(shared):
            gateway["replicas"] = 1
            gateway.get("scaling", {})["enabled"] = False
        one = self._random
        routers = self.values.get("inferencePool", {})
        if routers.get("enabled"):
            routers["endpointPicker"] = {"name": "{pool}-epp"}
        edge = self.values.get("edge", {})
        for way in ("httpRoute", "grpcRoute"):
            if edge.get(way, {}).get("enabled"):
                edge[way]["parentRefs"] = _SAMPLES["parentRefs"][0]
        service = edge.get("service", {})
        if service.get("type") != "LoadBalancer":
            service.pop("loadBalancerClass", None)
            service.pop("loadBalancerSourceRanges", None)
        if edge.get("ingress", {}).get("enabled"):
            edge["ingress"]["host"] = _SAMPLES["host"][0]
        inference = self.values.setdefault("inference", {})
        inference.get("config", {}).pop("tensor_parallel_size", None)
        pools = inference.setdefault("pools", [self._a_pool()])
        pools += [self._a_pool() for _ in range(one.randint(0, 2))]
        for number, pool in enumerate(pools):
            pool["name"] = f"{'p' * one.randint(1, 28)}{number}"
            pool["model"]["name"] = one.choice(_MODELS)
            pool["model"]["source"] = one.choice(
                (
                    {"bundled": True},
                    {"hub": "Qwen/Qwen3-8B"},
                    {"objectStorage": "s3://models/qwen/8b/"},
                    {"claim": "models", "path": "a"},
                    {"image": "registry.example/m:1"},
                )
            )
            self._ordered(pool)
            self._fitted(pool)

    def _a_pool(self) -> Manifest:
        schema = generate_schema()["properties"]["inference"]["properties"]["pools"]["items"]
        made: Manifest = self._drawn(schema, ("inference", "pools", "0"))
        return made

    def _ordered(self, values: Manifest) -> None:
        if scaling := values.get("scaling"):
            scaling["maxReplicas"] = scaling["minReplicas"] + 4
            if not scaling["minReplicas"]:
                values.pop("holdSeconds", None)
        if rolling := values.get("rollingUpdate"):
            rolling |= {"maxSurge": 1, "maxUnavailable": self._random.choice((0, 1, "10%"))}

    def _fitted(self, pool: Manifest) -> None:
        """As many accelerators as the engine wants."""
        pool.get("config", {}).pop("tensor_parallel_size", None)
        if pool.get("nodes", 1) == 1:
            pool.pop("rdma", None)
        wanted = pool.get("tensorParallel", 1) * pool.get("pipelineParallel", 1)
        gpu = pool.get("gpu")
        if gpu is None:
            return
        if not gpu:
            gpu["preset"] = "h100"
        nodes = pool.get("nodes", 1)
        if "claims" in gpu:
            gpu.pop("count", None)
            gpu.pop("resource", None)
            return
        if wanted % nodes:
            pool["tensorParallel"] = nodes * pool.get("tensorParallel", 1)
            wanted *= nodes
        gpu["count"] = wanted // nodes


def generate_schema() -> Any:
    return json.loads(generate().schema())
