"""Whether a cluster has what an install needs, by the values that it is to have."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from services.cluster.needs import merged, needs_of
from services.cluster.precheck import Readiness, checks
from services.cluster.view import Cluster
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.release import NAMESPACE, node
from tests.unit.cluster.test_commands import kubeconfig, type_in

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "chatmesh"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
FINE, MISSING, UNSURE = Readiness.FINE, Readiness.MISSING, Readiness.UNSURE
GROUPS = {
    "keda.enabled": "keda.sh",
    "monitor.enabled": "monitoring.coreos.com",
    "edge.httpRoute.enabled": "gateway.networking.k8s.io",
    "edge.grpcRoute.enabled": "gateway.networking.k8s.io",
    "inferencePool.enabled": "inference.networking.k8s.io",
}


def nested(path: str, value: object) -> dict[str, Any]:
    for step in reversed(path.split(".")):
        value = {step: value}
    assert isinstance(value, dict)
    return value


def storage_class(name: str, *, default: bool) -> Json:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {DEFAULT: "true"} if default else {}},
        "provisioner": "disk.example",
    }


def namespace(level: str = "restricted") -> Json:
    labels = {"pod-security.kubernetes.io/enforce": level}
    metadata = {"name": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def named(kind: str, name: str) -> Json:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {}}
    more: Json = {"spec": {}, "status": {}} if kind == "PersistentVolumeClaim" else {}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


@pytest.fixture(autouse=True)
def _cluster(api: ApiServer) -> None:
    """One that a plain install needs no more than."""
    api.add(
        namespace(), storage_class("standard", default=True), storage_class("fast", default=False)
    )


def verdicts(cluster: Cluster, values: Mapping[str, Any]) -> Mapping[str, tuple[Readiness, str]]:
    return {one.what: (one.verdict, one.told) for one in checks(cluster, needs_of(values))}


def test_a_plain_install_needs_nothing_but_a_namespace_rights_and_a_volume(
    cluster: Cluster,
) -> None:
    assert {what: verdict for what, (verdict, _) in verdicts(cluster, {}).items()} == {
        "version": FINE,
        "namespace chat": FINE,
        "rights": FINE,
        "storage class standard": FINE,
    }


@pytest.mark.parametrize(
    ("version", "verdict"),
    [(("1", "30"), MISSING), (("1", "31"), FINE), (("1", "31+"), FINE), (("2", "0"), FINE)],
)
def test_an_old_cluster_is_refused(
    api: ApiServer, cluster: Cluster, version: tuple[str, str], verdict: Readiness
) -> None:
    api.version = version
    assert verdicts(cluster, {})["version"][0] is verdict


@pytest.mark.parametrize("switch", GROUPS)
def test_definitions_are_needed_where_they_are_used(
    api: ApiServer, cluster: Cluster, switch: str
) -> None:
    values = nested(switch, value=True)
    told = {v[1]: v[0] for v in verdicts(cluster, values).values()}
    assert [one for one in told.values() if one is MISSING] == [MISSING]
    assert any(words.startswith(f"{GROUPS[switch]} is not there: ") for words in told)
    api.groups = [GROUPS[switch]]
    assert MISSING not in {verdict for verdict, _ in verdicts(cluster, values).values()}


def test_a_pool_over_several_nodes_needs_its_controller(api: ApiServer, cluster: Cluster) -> None:
    values = {"inference": {"pools": [{"name": "large", "nodes": 2}]}}
    assert verdicts(cluster, values)["LeaderWorkerSet"][0] is MISSING
    api.groups = ["leaderworkerset.x-k8s.io"]
    assert verdicts(cluster, values)["LeaderWorkerSet"][0] is FINE


def test_rights_that_lack_are_named(api: ApiServer, cluster: Cluster) -> None:
    api.denied = {("create", "roles"), ("create", "pods/eviction"), ("patch", "scaledobjects")}
    verdict, told = verdicts(cluster, {})["rights"]
    assert verdict is MISSING
    assert "create roles.rbac.authorization.k8s.io, create pods/eviction" in told
    assert "scaledobjects" not in told
    assert (
        "patch scaledobjects.keda.sh" in verdicts(cluster, {"keda": {"enabled": True}})["rights"][1]
    )


@pytest.mark.parametrize(
    ("wanted", "what", "verdict"),
    [
        ("", "storage class standard", FINE),
        ("fast", "storage class fast", FINE),
        ("gone", "storage class gone", MISSING),
    ],
)
def test_volumes_need_their_class(
    cluster: Cluster, wanted: str, what: str, verdict: Readiness
) -> None:
    values = {"memory": {"storage": {"storageClass": wanted}}}
    assert verdicts(cluster, values)[what][0] is verdict


def test_without_a_default_class_one_is_to_be_named(api: ApiServer, cluster: Cluster) -> None:
    api.remove("storageclasses", "standard")
    verdict, told = verdicts(cluster, {})["storage class"]
    assert (verdict, "there are: fast" in told) == (MISSING, True)
    stores = ("gateway", "context-assembly", "memory")
    kept = {name: {"storage": {"existingClaim": "mine"}} for name in stores}
    api.add(named("PersistentVolumeClaim", "mine"))
    assert verdicts(cluster, kept)["claim mine"][0] is FINE
    assert "storage class" not in verdicts(cluster, kept)
    served = {name: {"store": {"existingSecret": "url"}} for name in stores}
    assert "storage class" not in verdicts(cluster, served)


@pytest.mark.parametrize(
    ("values", "what", "kind"),
    [
        (nested("inference.weights.secret", "hub"), "secret hub", "Secret"),
        (nested("images.pullSecrets", ["pull"]), "secret pull", "Secret"),
        (nested("gateway.pepper.existingSecret", "mine"), "secret mine", "Secret"),
        (nested("inference.weights.serviceAccount", "id"), "serviceaccount id", "ServiceAccount"),
        (nested("moderation.policyConfigMap", "rules"), "configmap rules", "ConfigMap"),
        (nested("gateway.streams.existingSecret", "redis"), "secret redis", "Secret"),
        (nested("memory.store.existingSecret", "facts"), "secret facts", "Secret"),
        (nested("privateCA.configMap", "roots"), "configmap roots", "ConfigMap"),
        (nested("tokenizer.serviceAccount.name", "me"), "serviceaccount me", "ServiceAccount"),
        (
            {"inference": {"pools": [{"name": "a", "model": {"source": {"claim": "models"}}}]}},
            "claim models",
            "PersistentVolumeClaim",
        ),
    ],
)
def test_what_the_values_name_must_be_there(
    api: ApiServer, cluster: Cluster, values: Mapping[str, Any], what: str, kind: str
) -> None:
    assert verdicts(cluster, values)[what] == (MISSING, "the values name it, and it is not there")
    api.add(named(kind, what.split()[1]))
    assert verdicts(cluster, values)[what][0] is FINE
    api.forbidden = {f"{kind.lower()}s"}
    assert verdicts(cluster, values)[what] == (UNSURE, "you may not look")


def gpu_node(name: str, product: str, count: int) -> Json:
    made = node(name)
    made["metadata"]["labels"] = {"nvidia.com/gpu.product": product}
    return made | {"status": {"allocatable": {"nvidia.com/gpu": str(count)}}}


@pytest.mark.parametrize(
    ("gpu", "verdict", "told"),
    [
        ({"preset": "h100", "count": 8}, FINE, "1 nodes have 8 of nvidia.com/gpu"),
        ({"preset": "h100", "count": 16}, UNSURE, "no node has enough of it"),
        ({"products": ["NVIDIA-H100-80GB-HBM3"]}, FINE, "1 nodes have 1"),
        ({"preset": "a100"}, UNSURE, "products that are: NVIDIA-H100-80GB-HBM3"),
        ({"products": ["NVIDIA-H100"]}, UNSURE, "it wants 1 of NVIDIA-H100"),
        ({"resource": "nvidia.com/mig-3g.40gb", "preset": "h100"}, UNSURE, "no node has enough"),
    ],
)
def test_gpus_are_looked_for_by_their_labels(
    api: ApiServer, cluster: Cluster, gpu: Json, verdict: Readiness, told: str
) -> None:
    api.add(node("plain") | {"status": {}}, gpu_node("large", "NVIDIA-H100-80GB-HBM3", 8))
    values = {"inference": {"pools": [{"name": "large", "gpu": gpu}]}}
    found, words = verdicts(cluster, values)["GPUs of pool large"]
    assert (found, told in words) == (verdict, True), words


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("cloud.google.com/gke-accelerator", "nvidia-h100-80gb"),
        ("karpenter.k8s.aws/instance-gpu-name", "h100"),
    ],
)
def test_clouds_have_labels_of_their_own_for_accelerators(
    api: ApiServer, cluster: Cluster, label: str, value: str
) -> None:
    """As the chart's pools look for them."""
    made = gpu_node("large", "", 8)
    made["metadata"]["labels"] = {label: value}
    api.add(made)

    def verdict(preset: str) -> Readiness:
        values = {"inference": {"pools": [{"name": "large", "gpu": {"preset": preset}}]}}
        return verdicts(cluster, values)["GPUs of pool large"][0]

    assert (verdict("h100"), verdict("a100")) == (FINE, UNSURE)


def test_memory_is_locked_only_where_pod_security_lets_it(api: ApiServer, cluster: Cluster) -> None:
    values = {"inference": {"pools": [{"name": "large", "rdma": {"resource": "rdma/ib"}}]}}
    assert verdicts(cluster, values)["namespace chat"][0] is MISSING
    api.add(namespace("privileged"))
    assert verdicts(cluster, values)["namespace chat"][0] is FINE


def test_what_an_admin_of_one_namespace_may_not_look_at_is_unsure_and_no_failure(
    api: ApiServer, cluster: Cluster
) -> None:
    api.forbidden = {"namespaces", "storageclasses", "nodes"}
    values = {"inference": {"pools": [{"name": "large", "gpu": {"preset": "h100"}}]}}
    found = verdicts(cluster, values)
    unsure = {what for what, (verdict, _) in found.items() if verdict is UNSURE}
    assert unsure == {"namespace", "storage", "accelerators"}
    assert MISSING not in {verdict for verdict, _ in found.values()}


@pytest.mark.parametrize("file", sorted(CHART.glob("values*.yaml")), ids=lambda file: file.name)
def test_the_charts_own_values_are_read(cluster: Cluster, file: Path) -> None:
    values = yaml.safe_load(file.read_text())
    # One that is laid over another need not say anything of pools.
    pools = values.get("inference", {}).get("pools", [])
    needs = needs_of(values)
    assert set(needs.accelerators) == {pool["name"] for pool in pools if pool.get("gpu")}
    assert ("keda" in needs.uses) == values.get("keda", {}).get("enabled", False)
    assert list(checks(cluster, needs))


@pytest.mark.parametrize(
    "values",
    [
        {"inference": None},
        {"inference": {"pools": "many"}},
        {"inference": {"pools": [None, 3, {"name": "a", "model": "x", "nodes": "two"}]}},
        {"gateway": {"storage": None, "pepper": "x"}, "edge": []},
        {"images": {"pullSecrets": None}},
    ],
)
def test_values_of_wrong_kinds_are_left_to_the_schema(
    cluster: Cluster, values: Mapping[str, Any]
) -> None:
    assert verdicts(cluster, values)["rights"][0] is FINE


def test_values_files_are_laid_over_each_other_as_helm_does() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": {"f": 1}}
    above = {"a": {"c": [3]}, "d": {"x": 1}, "e": None, "g": None}
    assert merged(below, above) == {"a": {"b": 1, "c": [3]}, "d": {"x": 1}}


def typed(api: ApiServer, folder: Path, *words: str) -> Result:
    return type_in(kubeconfig(folder / "config", api.url), "check", "--pre", *words)


def test_the_command_fails_where_something_is_missing(api: ApiServer, tmp_path: Path) -> None:
    assert typed(api, tmp_path).exit_code == 0
    (tmp_path / "one.yaml").write_text("keda: {enabled: true}")
    (tmp_path / "two.yaml").write_text("")
    files = ("-f", str(tmp_path / "one.yaml"), "-f", str(tmp_path / "two.yaml"))
    ended = typed(api, tmp_path, *files, "-o", "json")
    assert ended.exit_code == 1
    (missing,) = [one for one in json.loads(ended.output) if one["verdict"] == "missing"]
    assert missing["what"] == "KEDA"
    assert "KEDA" in typed(api, tmp_path, *files).output


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "just words"])
def test_a_file_that_holds_no_values_is_named(api: ApiServer, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    ended = typed(api, tmp_path, "-f", str(tmp_path / "mine.yaml"))
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: {tmp_path / 'mine.yaml'}")
