"""Jobs that bring stores to the newest schema before an upgrade replaces anything."""

import pytest

from tests.charts.conftest import Manifest, named, pods, rendered

STORES = ("gateway", "context-assembly", "memory")


def jobs(*options: str) -> dict[str, Manifest]:
    found = named(rendered("values", *options), "Job")
    return {name: job for name, job in found.items() if "migrate" in name}


def test_each_store_has_one() -> None:
    assert set(jobs()) == {f"chatmesh-migrate-{store}" for store in STORES}
    assert not jobs("--set", "migrations.enabled=false")


@pytest.mark.parametrize("store", STORES)
def test_it_migrates_the_file_that_its_service_opens(store: str) -> None:
    manifests = rendered("values")
    job = pods(manifests)[f"Job/chatmesh-migrate-{store}"]
    deployment = pods(manifests)[f"Deployment/chatmesh-{store}"]
    (migrating,), (serving,) = (pod["spec"]["containers"] for pod in (job, deployment))
    assert migrating["args"] == [*serving["args"], "--migrate"]
    assert migrating["image"] == serving["image"]
    (variable,) = migrating["env"]
    settings = named(manifests, "ConfigMap")[f"chatmesh-{store}"]["data"]
    assert settings[variable["name"]] == variable["value"]
    mounts = [
        next(one for one in container["volumeMounts"] if one["name"] == "store")
        for container in (migrating, serving)
    ]
    assert mounts[0] == mounts[1]
    claims = [
        next(one for one in pod["spec"]["volumes"] if one["name"] == "store")
        for pod in (job, deployment)
    ]
    assert claims[0] == claims[1]
    # A volume that one node may write is where its pod is.
    (near,) = job["spec"]["affinity"]["podAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    wanted = near["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert wanted.items() <= deployment["metadata"]["labels"].items()


@pytest.mark.parametrize("store", STORES)
def test_it_needs_nothing_that_the_release_has_not_made_yet(store: str) -> None:
    """At an upgrade the claim is there, and nothing else is asked for; Argo CD leaves it out."""
    job = jobs()[f"chatmesh-migrate-{store}"]
    annotations = job["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-upgrade"
    assert annotations["argocd.argoproj.io/hook"] == "Skip"
    spec = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    (container,) = spec["containers"]
    assert not {"envFrom", "configMapRef", "secretRef"} & set(container)
    assert all("valueFrom" not in one for one in container["env"])


def test_no_pod_of_a_job_is_found_by_a_service_or_a_budget() -> None:
    manifests = rendered("values")
    labels = [pod["metadata"]["labels"] for name, pod in pods(manifests).items() if "Job/" in name]
    selectors = [one["spec"]["selector"] for one in named(manifests, "Service").values()]
    budgets = named(manifests, "PodDisruptionBudget").values()
    selectors += [one["spec"]["selector"]["matchLabels"] for one in budgets]
    assert labels
    assert not [s for s in selectors for one in labels if s.items() <= one.items()]
