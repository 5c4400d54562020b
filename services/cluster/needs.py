"""What a release needs of its cluster, by the values that it is to be installed with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]
Right = tuple[str, str, str]
_STORES = ("gateway", "context-assembly", "memory")
_SERVICES = (*_STORES, "tokenizer", "tool-runner", "moderation")
# By verb, what an install makes and changes, and what it grants people: nobody grants what they do
# not have.
_MADE: Sequence[tuple[str, str]] = (
    ("", "configmaps"),
    ("", "persistentvolumeclaims"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "deployments"),
    ("batch", "jobs"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
_GRANTED: Sequence[Right] = (
    ("get", "", "pods/log"),
    ("get", "", "pods/proxy"),
    ("create", "", "pods/eviction"),
    ("get", "", "services/proxy"),
    ("create", "", "services/proxy"),
    ("patch", "apps", "deployments/scale"),
    ("list", "discovery.k8s.io", "endpointslices"),
    ("watch", "discovery.k8s.io", "endpointslices"),
    ("deletecollection", "batch", "jobs"),
)


# The chart's presets as clouds write them; the GPU operator's label holds the preset's name.
PRODUCT = "nvidia.com/gpu.product"
_CLOUDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "cloud.google.com/gke-accelerator": {
        "A100": ("nvidia-tesla-a100", "nvidia-a100-80gb"),
        "H100": ("nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
    },
    "karpenter.k8s.aws/instance-gpu-name": {"A100": ("a100",), "H100": ("h100",)},
}


@dataclass(frozen=True, slots=True)
class Accelerators:
    """What each replica of a pool wants."""

    resource: str
    count: int
    # Names of products, whole; or `A100` or `H100`, which a product's name holds. None: any.
    products: Sequence[str]
    preset: str

    @property
    def shown(self) -> str:
        return " or ".join(self.products) or self.preset or self.resource

    def suits(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with such labels has them."""
        product = labels.get(PRODUCT, "")
        if self.products:
            return product in self.products
        named = (labels.get(key) in _CLOUDS[key].get(self.preset, ()) for key in _CLOUDS)
        return self.preset in product or any(named)


@dataclass(frozen=True, slots=True)
class Needs:
    uses: frozenset[str]
    # Empty text: the default one.
    storage_classes: frozenset[str]
    # Kind and name of what the values take for granted.
    objects: frozenset[tuple[str, str]]
    accelerators: Mapping[str, Accelerators] = field(default_factory=dict)
    image_volumes: bool = False
    locks_memory: bool = False

    def definitions(self) -> Iterator[tuple[str, str, str]]:
        """What it is called, its API group, and what brings it."""
        gateway = ("Gateway API", "gateway.networking.k8s.io", "k8s/README.md, step 7")
        known = {
            "keda": ("KEDA", "keda.sh", "k8s/README.md, step 6, or keda.enabled: false"),
            "groups": (
                "LeaderWorkerSet",
                "leaderworkerset.x-k8s.io",
                "install its controller, or pools of one node each",
            ),
            "httpRoute": gateway,
            "grpcRoute": gateway,
            "monitor": (
                "Prometheus operator",
                "monitoring.coreos.com",
                "k8s/README.md, step 4, or monitor.enabled: false",
            ),
            "inferencePool": (
                "Gateway API Inference Extension",
                "inference.networking.k8s.io",
                "install its definitions, or inferencePool.enabled: false",
            ),
        }
        yield from dict.fromkeys(known[use] for use in known if use in self.uses)

    def rights(self) -> Sequence[Right]:
        made = [*_MADE]
        granted = [*_GRANTED]
        further = {
            "networkPolicies": ("networking.k8s.io", "networkpolicies"),
            "ingress": ("networking.k8s.io", "ingresses"),
            "httpRoute": ("gateway.networking.k8s.io", "httproutes"),
            "grpcRoute": ("gateway.networking.k8s.io", "grpcroutes"),
            "monitor": ("monitoring.coreos.com", "podmonitors"),
            "keda": ("keda.sh", "scaledobjects"),
            "groups": ("leaderworkerset.x-k8s.io", "leaderworkersets"),
            "inferencePool": ("inference.networking.k8s.io", "inferencepools"),
        }
        made += [where for use, where in further.items() if use in self.uses]
        if "deletionCosts" in self.uses:
            granted.append(("patch", "", "pods"))
        if "groups" in self.uses:
            granted.append(("patch", "leaderworkerset.x-k8s.io", "leaderworkersets/scale"))
        verbs = ("create", "get", "patch", "delete")
        return [*((verb, *where) for where in made for verb in verbs), *granted]


def needs_of(values: Values) -> Needs:
    """`values` as given to Helm, whatever they leave out being the chart's default."""
    pools = [pool for pool in _at(values, "inference", "pools") or () if isinstance(pool, Mapping)]
    return Needs(
        uses=frozenset(_uses(values, pools)),
        storage_classes=frozenset(_storage_classes(values)),
        objects=frozenset(_objects(values, pools)),
        accelerators={str(p.get("name")): _accelerators(p["gpu"]) for p in pools if p.get("gpu")},
        image_volumes=any(_at(pool, "model", "source", "image") for pool in pools),
        locks_memory=any(pool.get("rdma") for pool in pools),
    )


def merged(below: Values, above: Values) -> Values:
    """As Helm merges values files: deep in mappings, whole in lists; null takes a value away."""
    made = {**below}
    for key, value in above.items():
        under = made.get(key)
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(under, Mapping):
            made[key] = merged(under, value)
        else:
            made[key] = value
    return made


def _at(values: Any, *path: str) -> Any:
    """What is there, or None: values of wrong kinds are the schema's to refuse."""
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    return values


def _uses(values: Values, pools: Sequence[Values]) -> Iterator[str]:
    switched = {
        "keda": ("keda", "enabled"),
        "monitor": ("monitor", "enabled"),
        "httpRoute": ("edge", "httpRoute", "enabled"),
        "grpcRoute": ("edge", "grpcRoute", "enabled"),
        "ingress": ("edge", "ingress", "enabled"),
        "deletionCosts": ("podDeletionCosts", "enabled"),
        "inferencePool": ("inferencePool", "enabled"),
    }
    yield from (use for use, path in switched.items() if _at(values, *path))
    if _at(values, "networkPolicies", "enabled") is not False:
        yield "networkPolicies"
    if any(isinstance(pool.get("nodes"), int) and pool["nodes"] > 1 for pool in pools):
        yield "groups"


def _storage_classes(values: Values) -> Iterator[str]:
    for service in _STORES:
        served = _at(values, service, "store", "existingSecret")
        if not served and not _at(values, service, "storage", "existingClaim"):
            yield str(_at(values, service, "storage", "storageClass") or "")


def _objects(values: Values, pools: Sequence[Values]) -> Iterator[tuple[str, str]]:
    named = [
        ("secret", _at(values, "gateway", "pepper", "existingSecret")),
        ("secret", _at(values, "gateway", "adminToken", "existingSecret")),
        ("secret", _at(values, "gateway", "streams", "existingSecret")),
        ("secret", _at(values, "inference", "weights", "secret")),
        ("serviceaccount", _at(values, "inference", "weights", "serviceAccount")),
        ("claim", _at(values, "inference", "weights", "cacheClaim")),
        ("configmap", _at(values, "moderation", "policyConfigMap")),
        ("configmap", _at(values, "privateCA", "configMap")),
    ]
    named += [("secret", _at(values, name, "store", "existingSecret")) for name in _STORES]
    placed = [*(values.get(name) for name in _SERVICES), *pools]
    named += [("serviceaccount", _at(each, "serviceAccount", "name")) for each in placed]
    named += [("claim", _at(values, name, "storage", "existingClaim")) for name in _STORES]
    named += [("claim", _at(pool, "model", "source", "claim")) for pool in pools]
    named += [("claim", _at(pool, "cache", "claim")) for pool in pools]
    named += [("secret", name) for name in _at(values, "images", "pullSecrets") or ()]
    yield from ((kind, str(name)) for kind, name in named if name)


def _accelerators(gpu: Values) -> Accelerators:
    return Accelerators(
        resource=str(_at(gpu, "resource") or "nvidia.com/gpu"),
        count=int(_at(gpu, "count") or 1),
        products=[str(one) for one in _at(gpu, "products") or ()],
        preset=str(_at(gpu, "preset") or "").upper(),
    )
