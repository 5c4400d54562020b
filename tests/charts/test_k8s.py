"""What k8s/ can promise without a cloud: it parses, and it agrees with the chart and with the code.

Values of other people's charts are not checked against those charts: they are not to be had here.
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml
from hcl2.utils import SerializationOptions
from prometheus_client import CollectorRegistry

from services import __version__
from services.gateway.adapters.in_memory import NobodyElse
from services.gateway.adapters.metered import GatewayGauges
from services.gateway.admission import Admission
from services.gateway.fleet import Fleet, Pool, Replica
from services.gateway.http.app import PROTOCOLS
from services.inference import api as inference
from services.inference.api import Load, Report
from services.shared.errors import MeshError
from services.shared.peers import Peer
from tests.charts.conftest import CHART, ROOT, Manifest, generate, named, pods, rendered

K8S = ROOT / "k8s"
YAML = sorted(K8S.rglob("*.yaml"))
TERRAFORM = sorted([*K8S.rglob("*.tf"), *K8S.rglob("*.tfvars")])
SIZES = {
    "Standard_NC24ads_A100_v4": 1,
    "Standard_ND96amsr_A100_v4": 8,
    "Standard_NC40ads_H100_v5": 1,
    "Standard_ND96isr_H100_v5": 8,
}
# What the scrape of a PodMonitor says of the pod; a metric's own label of such a name is renamed.
TARGET = {"namespace", "pod", "container", "job", "instance", "endpoint"}


def manifests() -> Iterator[tuple[str, Manifest]]:
    """What goes to an API server, by file; kind's own config and values do not."""
    for path in YAML:
        for document in yaml.safe_load_all(path.read_text()):
            if "kind" in document and not document["apiVersion"].startswith("kind.x-k8s.io/"):
                yield str(path.relative_to(K8S)), document


def values(place: str) -> Any:
    return yaml.safe_load((K8S / place).read_text())


@cache
def parsed(path: Path) -> Any:
    plain = SerializationOptions(
        strip_string_quotes=True, explicit_blocks=False, with_comments=False
    )
    return hcl2.loads(path.read_text(), serialization_options=plain)


def blocks(kind: str) -> Mapping[str, Any]:
    """Of all files, by name; a resource's is `<type>.<name>`."""
    found: dict[str, Any] = {}
    for block in (one for path in TERRAFORM for one in parsed(path).get(kind, ())):
        for name, body in block.items():
            if kind == "resource":
                found |= {f"{name}.{inner}": fields for inner, fields in body.items()}
            else:
                found[name] = body
    return found


@dataclass(frozen=True, slots=True)
class NodePool:
    labels: Mapping[str, str]
    taints: Sequence[str]
    gpus: int = 0

    def takes(self, spec: Manifest) -> bool:
        (container,) = spec["containers"]
        wanted = int(container["resources"].get("limits", {}).get("nvidia.com/gpu", 0))
        tolerated = all(tolerates(spec.get("tolerations", ()), taint) for taint in self.taints)
        chosen = spec.get("nodeSelector", {}).items() <= self.labels.items()
        return wanted <= self.gpus and tolerated and chosen and self._is_among(products(spec))

    def _is_among(self, wanted: Sequence[str]) -> bool:
        return not wanted or self.labels.get("nvidia.com/gpu.product") in wanted


def products(spec: Manifest) -> Sequence[str]:
    """The GPUs of which a pod must have one."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = spec.get("affinity", {}).get("nodeAffinity", {}).get(required, {})
    found = [e for term in terms.get("nodeSelectorTerms", ()) for e in term["matchExpressions"]]
    return [value for e in found if e["key"] == "nvidia.com/gpu.product" for value in e["values"]]


def tolerates(tolerations: Sequence[Manifest], taint: str) -> bool:
    key, value, effect = re.split("[=:]", taint)
    return any(
        one["key"] == key
        and one.get("effect", effect) == effect
        and (one.get("operator") == "Exists" or one.get("value") == value)
        for one in tolerations
    )


@cache
def node_pools() -> Mapping[str, NodePool]:
    """As AKS makes them of the Terraform: it adds the label `mode` itself."""
    gpu = blocks("resource")["azurerm_kubernetes_cluster_node_pool.gpu"]
    taint = blocks("locals")["gpu_taint"]
    mode = "kubernetes.azure.com/mode"
    made = {
        "system": NodePool({mode: "system"}, ["CriticalAddonsOnly=true:NoSchedule"]),
        "mesh": NodePool({mode: "user"}, ()),
    }
    for name, size in blocks("locals")["gpu_sizes"].items():
        labels = {mode: gpu["mode"].lower(), "nvidia.com/gpu.product": size["product"]}
        made[name] = NodePool(labels, [taint], size["gpus"])
    return made


@pytest.mark.parametrize("path", YAML + TERRAFORM, ids=lambda path: str(path.relative_to(K8S)))
def test_every_file_parses(path: Path) -> None:
    read = list(yaml.safe_load_all(path.read_text())) if path in YAML else [parsed(path)]
    assert read
    assert all(isinstance(document, dict) for document in read)


def test_the_readme_names_every_file() -> None:
    told = (K8S / "README.md").read_text()
    for path in K8S.rglob("*"):
        if path.is_file() and path != K8S / "README.md":
            assert f"]({path.relative_to(K8S)})" in told, path


def test_variables_and_outputs_say_what_they_are() -> None:
    assert {name for name, one in blocks("variable").items() if not one.get("description")} == set()
    assert {name for name, one in blocks("output").items() if not one.get("description")} == set()
    given = set(parsed(K8S / "aks" / "example.tfvars"))
    needed = {name for name, one in blocks("variable").items() if "default" not in one}
    assert needed <= given <= set(blocks("variable"))


def test_gpu_pools_are_the_four_sizes_from_no_node_and_without_a_driver() -> None:
    sizes = blocks("locals")["gpu_sizes"].values()
    assert {size["vm_size"]: size["gpus"] for size in sizes} == SIZES
    gpu = blocks("resource")["azurerm_kubernetes_cluster_node_pool.gpu"]
    assert gpu["vm_size"] == "${local.gpu_sizes[each.key].vm_size}"
    assert gpu["gpu_driver"] == "None"
    assert (gpu["auto_scaling_enabled"], gpu["min_count"]) == (True, 0)
    product = gpu["node_labels"]["nvidia.com/gpu.product"]
    assert product == "${local.gpu_sizes[each.key].product}"
    (cluster,) = (one for name, one in blocks("resource").items() if name.endswith("cluster.mesh"))
    systems = {gpu["os_sku"], cluster["default_node_pool"][0]["os_sku"]}
    assert len(systems) == 1  # the operator's drivers are built for one


def test_the_gpu_taint_is_tolerated_by_the_charts_pools_and_the_operators_daemons() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    operator = values("gpu-operator/values.yaml")
    gpu = blocks("resource")["azurerm_kubernetes_cluster_node_pool.gpu"]
    assert "local.gpu_taint" in str(gpu["node_taints"])
    taint = blocks("locals")["gpu_taint"]
    assert tolerates(defaults["inference"]["gpuTolerations"], taint)
    # The operator's daemons stand on spot nodes as well.
    for one in (taint, blocks("locals")["spot_taint"]):
        assert tolerates(operator["daemonsets"]["tolerations"], one)
        assert tolerates(operator["node-feature-discovery"]["worker"]["tolerations"], one)


def test_every_pod_of_values_aks_has_a_node_pool() -> None:
    made = {"mesh", *parsed(K8S / "aks" / "example.tfvars")["gpu_pools"]}
    asked = set()
    for name, pod in pods(rendered("values-aks")).items():
        fitting = {pool for pool, one in node_pools().items() if one.takes(pod["spec"])}
        wanted = products(pod["spec"])
        asked |= set(wanted)
        assert fitting & made, name
        assert ("mesh" in fitting) == (not wanted), name
    known = {one.labels.get("nvidia.com/gpu.product", "") for one in node_pools().values()} - {""}
    assert known <= asked  # the chart's presets know all four


def test_the_charts_routes_and_certificates_fit_the_edge() -> None:
    by_kind: dict[str, list[Manifest]] = {}
    for _, one in manifests():
        by_kind.setdefault(one["kind"], []).append(one)
    (edge,) = by_kind["Gateway"]
    listeners = {one["name"]: one for one in edge["spec"]["listeners"]}
    issuers = {one["metadata"]["name"]: one for one in by_kind["ClusterIssuer"]}
    assert edge["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] in issuers
    for one in by_kind["ClusterIssuer"]:
        for solver in one["spec"].get("acme", {}).get("solvers", ()):
            (parent,) = solver["http01"]["gatewayHTTPRoute"]["parentRefs"]
            assert listeners[parent["sectionName"]]["port"] == 80
    for kind, name in (("HTTPRoute", "https"), ("GRPCRoute", "grpc")):
        allowed = listeners[name]["allowedRoutes"]
        (route,) = named(rendered("values-aks"), kind).values()
        assert route["spec"]["parentRefs"] == [{"name": "edge", "namespace": "edge"}]
        assert route["spec"]["hostnames"] == [listeners[name]["hostname"]]
        assert allowed["kinds"] == [{"kind": kind}]
        space = {"kubernetes.io/metadata.name": generate().NAMESPACE}
        assert allowed["namespaces"]["selector"]["matchLabels"] == space


@pytest.mark.parametrize("cloud", ["aks", "gke", "eks"])
def test_the_claim_that_a_clouds_values_name_is_there(cloud: str) -> None:
    """Of the class that the values speak of, in the namespace of the mesh, for many nodes."""
    file = CHART / f"values-{cloud}.yaml"
    weights = yaml.safe_load(file.read_text())["inference"]["weights"]
    place = f"{cloud}/weights.yaml"
    (claim,) = [m for at, m in manifests() if at == place and m["kind"] == "PersistentVolumeClaim"]
    assert claim["metadata"]["name"] == weights["cacheClaim"]
    assert claim["metadata"]["namespace"] == generate().NAMESPACE
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert f"storage class {claim['spec']['storageClassName']}" in file.read_text()
    for _, made in manifests():
        if made["kind"] == "StorageClass":
            assert made["parameters"]["uid"] == str(user_of_pods())


def user_of_pods() -> int:
    (spec,) = {
        str(pod["spec"]["securityContext"]["runAsUser"])
        for pod in pods(rendered("values-eks")).values()
    }
    return int(spec)


def test_what_values_aks_takes_for_granted_is_there() -> None:
    chart = yaml.safe_load((CHART / "values.yaml").read_text())
    (keda,) = chart["networkPolicies"]["keda"]
    space = keda["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert f"--namespace {space} " in (K8S / "README.md").read_text()


@cache
def exported() -> Mapping[str, frozenset[str]]:
    """Every series that the services make, with its labels: all that measures, made once."""
    found = dict(series(_moment()))
    for path in (ROOT / "services").rglob("*.py"):
        if not re.search(r"prometheus_client import .*(Counter|Gauge|Histogram)", path.read_text()):
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for kind in vars(module).values():
            if not inspect.isclass(kind) or kind.__module__ != module.__name__:
                continue
            needs = inspect.signature(kind.__init__).parameters.keys() - {"self"}
            if "registry" in needs:
                given: dict[str, Any] = dict.fromkeys(needs, ())
                given["registry"] = registry = CollectorRegistry()
                kind(**given)
                found |= dict(series(registry))
    return found


def _moment() -> CollectorRegistry:
    unused: Any = None
    fleet = Fleet([Pool("p", "")], unused, unused)
    peer = Peer("a:1")
    fleet.pools["p"].replicas[peer] = replica = Replica(peer, unused)
    replica.report = Report((), Load(0, 0, 0, 1, 0.0, draining=False))
    registry = CollectorRegistry()
    registry.register(
        GatewayGauges(
            Admission(max_turns=1),
            fleet,
            NobodyElse(),
            lambda: False,
        )
    )
    return registry


def series(registry: CollectorRegistry) -> Iterator[tuple[str, frozenset[str]]]:
    for collector in list(registry._collector_to_names):
        if labels := getattr(collector, "_labelnames", ()):
            collector.labels(*labels)  # type: ignore[attr-defined]
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, frozenset(sample.labels)


def rules() -> list[Manifest]:
    (found,) = [one for _, one in manifests() if one["kind"] == "PrometheusRule"]
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_what_is_exported(rule: Manifest) -> None:
    recorded = {one["record"] for one in rules() if "record" in one}
    used = set(re.findall(r"\bchatmesh:[\w:]+", rule["expr"]))
    assert used <= recorded
    known = set(TARGET)
    selectors = re.findall(r"\b(chatmesh_\w+)(?:\{([^}]*)\})?", rule["expr"])
    for name, matchers in selectors:
        assert name in exported(), name
        own = {f"exported_{one}" if one in TARGET else one for one in exported()[name]}
        known |= own
        assert set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', matchers)) <= own | TARGET
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert set(labels.replace(" ", "").split(",")) <= known
    assert selectors or used


def test_rules_name_routes_and_outcomes_that_there_are() -> None:
    paths = {protocol.path for protocol in PROTOCOLS}
    for rule in rules():
        for pattern in re.findall(r'route=~"([^"]+)"', rule["expr"]):
            matched = {path for path in paths if re.fullmatch(pattern, path)}
            assert matched == {"/v1/chat/completions", "/v1/responses"}
        for outcomes in re.findall(r'outcome=~?"([^"]+)"', rule["expr"]):
            for outcome in set(outcomes.split("|")) - {"finished", "aborted", "bug"}:
                assert issubclass(getattr(inference, outcome), MeshError)


def test_alerts_say_how_bad_it_is_and_what_to_do() -> None:
    for rule in (one for one in rules() if "alert" in one):
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert {"summary", "description"} <= rule["annotations"].keys(), rule["alert"]


def test_krews_manifest_names_this_version_and_one_archive_for_each_platform() -> None:
    (plugin,) = [one for place, one in manifests() if place == "krew/chatmesh.yaml"]
    assert plugin["spec"]["version"] == f"v{__version__}"
    assert len(plugin["spec"]["shortDescription"]) <= 50
    platforms = plugin["spec"]["platforms"]
    names = ["{os}-{arch}".format(**one["selector"]["matchLabels"]) for one in platforms]
    assert len(set(names)) == len(names) == 3
    for name, one in zip(names, platforms, strict=True):
        assert one["uri"].endswith(f"/v{__version__}/kubectl-chatmesh-{name}.tar.gz")
        assert one["bin"] == "kubectl-chatmesh"
        assert re.fullmatch("[0-9a-f]{64}", one["sha256"])
