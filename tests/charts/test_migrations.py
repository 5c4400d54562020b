"""The job that brings stores to the newest schema before an install or upgrade."""

import pytest

from tests.charts.conftest import Manifest, migrations, named, pods, rendered

STORES = ("gateway", "context-assembly", "memory")


def begun(*options: str) -> dict[str, Manifest]:
    """The jobs that it begins, by name."""
    (job,) = (
        job
        for name, job in named(rendered("values", *options), "Job").items()
        if name == "chatmesh-migrations"
    )
    return {each["metadata"]["name"]: each for each in migrations(job)}


def test_each_store_has_one() -> None:
    assert set(begun()) == {f"chatmesh-migrate-{store}" for store in STORES}
    without = rendered("values", "--set", "migrations.enabled=false")
    assert not [one for one in without if "migrat" in one["metadata"]["name"]]


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


def test_it_is_not_tried_again_as_a_whole() -> None:
    """Each store's job is tried again; what it said in the end is said at once."""
    jobs = named(rendered("values"), "Job")
    assert jobs["chatmesh-migrations"]["spec"]["backoffLimit"] == 0
    assert all(job["spec"]["backoffLimit"] == 2 for job in begun().values())


def test_hooks_need_nothing_that_the_release_has_not_made_yet() -> None:
    """Volumes of hooks are their own, their accounts are hooks of less weight."""
    manifests = rendered("values")
    hooks = [one for one in manifests if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    jobs = dict(named(hooks, "Job"))
    del jobs["chatmesh-test"]  # it runs when the release is there
    assert set(jobs) == {"chatmesh-bootstrap", "chatmesh-migrations"}
    for job in [*jobs.values(), *begun().values()]:
        spec = job["spec"]["template"]["spec"]
        account = spec.get("serviceAccountName")
        for kind in ("ServiceAccount", "Role", "RoleBinding"):
            assert not account or account in named(hooks, kind)
        (container,) = spec["containers"]
        assert "envFrom" not in container
        assert all("valueFrom" not in one for one in container.get("env", ()))
    for job in jobs.values():
        assert job["spec"]["template"]["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}]
        before = [one for one in hooks if one["metadata"]["name"] == job["metadata"]["name"]]
        weights = {
            one["kind"]: one["metadata"]["annotations"]["helm.sh/hook-weight"] for one in before
        }
        assert int(weights.pop("Job")) > max(map(int, weights.values()))


def test_no_pod_of_a_job_is_found_by_a_service_or_a_budget() -> None:
    manifests = rendered("values")
    labels = [pod["metadata"]["labels"] for name, pod in pods(manifests).items() if "Job/" in name]
    selectors = [one["spec"]["selector"] for one in named(manifests, "Service").values()]
    budgets = named(manifests, "PodDisruptionBudget").values()
    selectors += [one["spec"]["selector"]["matchLabels"] for one in budgets]
    assert labels
    assert not [s for s in selectors for one in labels if s.items() <= one.items()]
