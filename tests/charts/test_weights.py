"""A model from elsewhere: fetched before the pods that need it, and where they look for it."""

import json
from collections.abc import Mapping

import pytest

from tests.charts.conftest import Manifest, from_bucket, named, pods, rendered

FOLDER = "/var/cache/weights/s3/models/qwen3/8b"
COMMAND = ["services.shared.weights", "s3://models/qwen3/8b/", FOLDER]
SOURCES = {
    "bundled": {"bundled": True},
    "volume": {"claim": "models", "path": "m"},
    "image": {"image": "registry.example.invalid/m:1"},
    "hub": {"hub": "Qwen/Qwen3-8B@v1.0"},
}


def fetching(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["initContainers"]
    assert isinstance(container, dict)
    return container


def preload(made: Mapping[str, Manifest]) -> Manifest:
    (found,) = (pod for name, pod in made.items() if "preload-qwen-qwen3-8b-" in name)
    return found


def cache(pod: Manifest) -> Manifest:
    (found,) = [one for one in pod["spec"]["volumes"] if one["name"] == "weights"]
    assert isinstance(found, dict)
    return found


def one_pool_each(**weights: object) -> dict[str, Manifest]:
    """The pods of a release with a pool of every other kind of source, by name."""
    made = [
        {
            "name": name,
            "replicas": 1,
            "model": {"name": name, "source": source, "contextTokens": 8192},
            "resources": {"limits": {"memory": "64Gi"}},
        }
        for name, source in SOURCES.items()
    ]
    told = {"pools": made, "weights": weights}
    found = pods(rendered("values", "--set-json", f"inference={json.dumps(told)}"))
    return {name.partition("/chatmesh-")[2]: pod for name, pod in found.items()}


def test_the_pool_gets_all_and_the_tokenizer_all_but_weights() -> None:
    manifests = rendered("values", *from_bucket(cache=""))
    made, settings = pods(manifests), named(manifests, "ConfigMap")
    pool = made["Deployment/chatmesh-inference-big"]
    assert fetching(pool)["args"] == COMMAND
    assert settings["chatmesh-inference-big"]["data"]["INFERENCE_MODEL"] == FOLDER
    tokenizer = made["Deployment/chatmesh-tokenizer"]
    assert fetching(tokenizer)["args"] == [*COMMAND, "--without-weights"]
    told = settings["chatmesh-tokenizer"]["data"]["TOKENIZER_MODELS"]
    assert told == f'{{"Qwen/Qwen3-8B":"{FOLDER}"}}'
    for pod in (pool, tokenizer):
        places = [fetching(pod), pod["spec"]["containers"][0]]
        for container in places:
            mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
            assert mounts["weights"] == "/var/cache/weights"
        assert cache(pod)["emptyDir"] == {}
    # Nobody else fetches, and without a shared cache no job has anywhere to fetch to.
    assert [name for name, pod in made.items() if "initContainers" in pod["spec"]] == [
        "Deployment/chatmesh-inference-big",
        "Deployment/chatmesh-tokenizer",
    ]
    assert not [name for name in made if "preload" in name]


def test_a_pool_waits_for_its_own_model_alone() -> None:
    made = one_pool_each(cacheClaim="shared", serviceAccount="reader")
    for name in SOURCES:
        spec = made[f"inference-{name}"]["spec"]
        volumes = {one["name"] for one in spec["volumes"]} - {"tmp", "home", "shm", "engine-cache"}
        fetches = [one["args"][1] for one in spec.get("initContainers", ())]
        expected = {"hub": {"weights"}, "bundled": set()}.get(name, {f"model-{name}"})
        assert volumes == expected
        assert fetches == (["hf://Qwen/Qwen3-8B@v1.0"] if name == "hub" else [])
        account = "reader" if name == "hub" else f"chatmesh-inference-{name}"
        assert spec["serviceAccountName"] == account
    # The tokenizer has them all.
    spec = made["tokenizer"]["spec"]
    volumes = {one["name"] for one in spec["volumes"]} - {"tmp", "home"}
    assert volumes == {"weights", "model-volume", "model-image"}
    (preloading,) = (name for name in made if name.startswith("preload"))
    assert preloading.startswith("preload-hub-")


def test_a_shared_cache_is_filled_by_a_job() -> None:
    made = pods(rendered("values", *from_bucket(cache="weights")))
    job = preload(made)
    (container,) = job["spec"]["containers"]
    assert container["args"] == COMMAND
    for pod in (job, made["Deployment/chatmesh-inference-big"]):
        assert cache(pod)["persistentVolumeClaim"] == {"claimName": "weights"}


def test_another_model_or_key_is_another_job() -> None:
    """None of a job can be changed, and Helm would try."""

    def name(*options: str) -> str:
        jobs = named(rendered("values", *from_bucket(cache="weights"), *options), "Job")
        (found,) = (name for name in jobs if "preload" in name)
        return found

    assert name() == name("--set", "tokenizer.config.threads=3")
    others = {
        name("--set", "images.tag=another"),
        name("--set", "inference.weights.secret=other"),
        name("--set", "inference.pools[0].model.source.objectStorage=s3://models/qwen3/9b"),
    }
    assert len(others | {name()}) == 4


def test_keys_and_region_reach_what_fetches_alone() -> None:
    made = pods(rendered("values", *from_bucket(cache="weights")))
    pool = made["Deployment/chatmesh-inference-big"]
    job = preload(made)
    for container in (fetching(pool), job["spec"]["containers"][0]):
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
        environment = {one["name"]: one["value"] for one in container["env"]}
        assert environment["AWS_REGION"] == "eu-1"
    (engine,) = pool["spec"]["containers"]
    assert "secretRef" not in str(engine["envFrom"])
    assert "env" not in engine


def test_what_fetches_may_go_by_an_identity_of_the_clouds() -> None:
    labels = {"azure.workload.identity/use": "true"}
    options = [*from_bucket(cache="weights"), "--set", "inference.weights.serviceAccount=reader"]
    options += ["--set-json", f"inference.weights.podLabels={json.dumps(labels)}"]
    manifests = rendered("values", *options)
    made = pods(manifests)
    by = {
        name: pod for name, pod in made.items() if pod["spec"].get("serviceAccountName") == "reader"
    }
    assert {name.rpartition("-")[0] for name in by} == {
        "Deployment/chatmesh-inference",
        "Deployment/chatmesh",
        "Job/chatmesh-preload-qwen-qwen3-8b",
    }
    assert all(labels.items() <= pod["metadata"]["labels"].items() for pod in by.values())
    accounts = named(manifests, "ServiceAccount")
    assert not {"chatmesh-inference-big", "chatmesh-tokenizer", "reader"} & set(accounts)


def test_policies_let_out_those_that_fetch_and_those_alone() -> None:
    ports = ("--set-json", "networkPolicies.modelSource.ports=[443,9000]")
    policies = named(rendered("values", *from_bucket(cache="weights"), *ports), "NetworkPolicy")
    out = {
        name
        for name, policy in policies.items()
        for rule in policy["spec"].get("egress", ())
        if rule.get("ports") == [{"port": 443}, {"port": 9000}]
    }
    assert {name.rpartition("-")[0] for name in out} == {
        *("chatmesh-inference", "chatmesh"),
        "chatmesh-preload-qwen-qwen3-8b",
    }


@pytest.mark.parametrize("revision", ["", "@main", "@refs/pr/1"])
def test_a_hub_id_may_name_a_revision(revision: str) -> None:
    source = json.dumps({"hub": f"Qwen/Qwen3-8B{revision}"})
    path = f"inference.pools[0].model.source={source}"
    maps = named(rendered("values", "--set-json", path), "ConfigMap")
    model = maps["chatmesh-inference-demo"]["data"]["INFERENCE_MODEL"]
    assert model == f"/var/cache/weights/hf/Qwen/Qwen3-8B{revision}"
