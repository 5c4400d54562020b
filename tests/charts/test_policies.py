"""What every cluster's administrator looks for, over every values file."""

import json
import re

import pytest

from services import __version__
from tests.charts.conftest import Manifest, from_bucket, named, pods, rendered
from tests.charts.test_golden import RENDERS
from tests.charts.test_groups import BIG

MULTINODE = ("values", "--set-json", f"inference.pools={json.dumps([BIG])}")
FETCHED = ("values", *from_bucket(cache="weights"))
ALL = [(values,) for values in RENDERS] + [MULTINODE, FETCHED]
# With these no pod has business in a namespace of the restricted policy.
_FREE = {"emptyDir", "configMap", "secret", "persistentVolumeClaim", "image", "projected"}


def every_pod(given: tuple[str, ...]) -> list[tuple[str, Manifest]]:
    return list(pods(rendered(*given)).items())


@pytest.mark.parametrize("given", ALL, ids=lambda given: given[0] + "+" * (len(given) - 1))
def test_pods_are_restricted(given: tuple[str, ...]) -> None:
    for name, pod in every_pod(given):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            assert not spec.get(forbidden), name
        for volume in spec.get("volumes", ()):
            assert set(volume) - {"name"} <= _FREE, name
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in context, name


@pytest.mark.parametrize("given", ALL, ids=lambda given: given[0] + "+" * (len(given) - 1))
def test_images_have_versions_and_containers_limits(given: tuple[str, ...]) -> None:
    for name, pod in every_pod(given):
        spec = pod["spec"]
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert re.fullmatch(r"[^:]+:\d+\.\d+\.\d+", container["image"]), name
            assert "memory" in container["resources"].get("limits", {}), name
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name


@pytest.mark.parametrize("values", RENDERS)
def test_services_have_probes_a_budget_and_time_to_leave(values: str) -> None:
    manifests = rendered(values)
    budgets = named(manifests, "PodDisruptionBudget")
    for name, deployment in named(manifests, "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert "grpc" in container[probe], name
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        assert budgets[name]["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        environment = named(manifests, "ConfigMap")[name]["data"]
        leaving = sum(
            float(value)
            for key, value in environment.items()
            if key.endswith(("_DRAIN_SECONDS", "_GRACE_SECONDS"))
        )
        grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace > leaving, name
        loading = container["startupProbe"]["failureThreshold"]
        assert deployment["spec"]["progressDeadlineSeconds"] > loading + grace - 10, name


@pytest.mark.parametrize("values", RENDERS)
def test_only_who_follows_endpoints_has_a_token(values: str) -> None:
    manifests = rendered(values)
    with_token = {
        name.partition("/")[2]
        for name, pod in pods(manifests).items()
        if pod["spec"]["automountServiceAccountToken"]
    }
    rights = {f"chatmesh-{name}" for name in ("gateway", "context-assembly", "tool-runner")}
    assert with_token == rights | {"chatmesh-bootstrap", "chatmesh-migrations"}
    for account in named(manifests, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False
    kinds = {manifest["kind"] for manifest in manifests}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Namespace"}
    assert all(m["metadata"].get("namespace") == "chat" for m in manifests)


@pytest.mark.parametrize("values", ["values-aks", "values-gke", "values-eks"])
def test_what_is_scaled_says_no_replicas(values: str) -> None:
    manifests = rendered(values)
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in named(manifests, "ScaledObject").values()
    }
    assert scaled == {
        f"chatmesh-{name}"
        for name in ("tokenizer", "moderation", "tool-runner", "inference-large", "inference-small")
    }
    for name, deployment in named(manifests, "Deployment").items():
        assert ("replicas" in deployment["spec"]) == (name not in scaled), name


def test_without_keda_services_scale_by_cpu_and_pools_stay() -> None:
    manifests = rendered("values-aks", "--set", "keda.enabled=false")
    scalers = named(manifests, "HorizontalPodAutoscaler")
    scaled = {name: one["spec"]["metrics"][0]["resource"]["name"] for name, one in scalers.items()}
    assert scaled == dict.fromkeys(
        ("chatmesh-tokenizer", "chatmesh-moderation", "chatmesh-tool-runner"), "cpu"
    )
    assert not named(manifests, "ScaledObject")
    assert named(manifests, "Deployment")["chatmesh-inference-large"]["spec"]["replicas"] == 2


def test_pools_ask_for_their_gpus_and_nodes() -> None:
    large = named(rendered("values-aks"), "Deployment")["chatmesh-inference-large"]
    spec = large["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    wanted = {one["key"]: one["values"] for term in terms for one in term["matchExpressions"]}
    assert "NVIDIA-H100-80GB-HBM3" in wanted["nvidia.com/gpu.product"]
    # GKE and Karpenter label nodes before there is one, and without the GPU operator.
    assert "nvidia-h100-80gb" in wanted["cloud.google.com/gke-accelerator"]
    assert wanted["karpenter.k8s.aws/instance-gpu-name"] == ["h100"]
    assert all(len(term["matchExpressions"]) == 1 for term in terms)
    assert {"nvidia.com/gpu", "sku"} <= {toleration["key"] for toleration in spec["tolerations"]}
    assert container["image"].endswith(f"/inference:{__version__}")
    assert large["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_rollout_has_time_for_a_node_to_come() -> None:
    """A small model starts sooner than a node with its accelerator does."""
    model = {"name": "m", "source": {"bundled": True}, "contextTokens": 4096}
    small = {"name": "small", "model": model, "replicas": 1, "loadSeconds": 60}
    pools = [{**small, "gpu": {"preset": "h100"}}, {**small, "name": "here"}]
    told = json.dumps({"pools": pools})
    made = named(rendered("values", "--set-json", f"inference={told}"), "Deployment")
    deadline = {
        name: made[f"chatmesh-inference-{name}"]["spec"]["progressDeadlineSeconds"]
        for name in ("small", "here")
    }
    assert deadline["small"] - deadline["here"] == 900


def test_a_cache_of_compiled_code_fits_one_engine_and_its_arguments() -> None:
    def key(*options: str) -> str:
        maps = named(rendered("values-aks", *options), "ConfigMap")
        place: str = maps["chatmesh-inference-small"]["data"]["VLLM_CACHE_ROOT"]
        return place

    assert key() == key("--set", "tokenizer.config.threads=3")
    other = {
        key("--set", "images.tag=another"),
        key("--set", "inference.pools[1].gpu.preset=h100"),
        key("--set-json", 'inference.pools[1].engineArgs={"max_num_seqs":8}'),
    }
    assert len(other | {key()}) == 4


def test_a_new_config_rolls_the_pods_that_read_it_and_no_others() -> None:
    before = pods(rendered("values"))
    after = pods(rendered("values", "--set", "moderation.config.cached_texts=5"))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"Deployment/chatmesh-moderation"}
