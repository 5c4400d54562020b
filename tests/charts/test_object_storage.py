"""A model out of a bucket: fetched before the pods that need it, and where they look for it."""

from tests.charts.conftest import Manifest, from_bucket, named, pods, rendered

FOLDER = "/var/cache/object-storage/s3/models/qwen3/8b"
COMMAND = ["services.shared.object_storage", "s3://models/qwen3/8b/", FOLDER]


def fetching(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["initContainers"]
    assert isinstance(container, dict)
    return container


def cache(pod: Manifest) -> Manifest:
    (found,) = [one for one in pod["spec"]["volumes"] if one["name"] == "object-storage"]
    assert isinstance(found, dict)
    return found


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
            assert mounts["object-storage"] == "/var/cache/object-storage"
        assert cache(pod)["emptyDir"] == {}
    # Nobody else fetches, and without a shared cache no job has anywhere to fetch to.
    assert [name for name, pod in made.items() if "initContainers" in pod["spec"]] == [
        "Deployment/chatmesh-inference-big",
        "Deployment/chatmesh-tokenizer",
    ]
    assert not [name for name in made if "preload" in name]


def test_a_shared_cache_is_filled_by_a_job() -> None:
    made = pods(rendered("values", *from_bucket(cache="weights")))
    job = made["Job/chatmesh-preload-qwen-qwen3-8b"]
    (container,) = job["spec"]["containers"]
    assert container["args"] == COMMAND
    for pod in (job, made["Deployment/chatmesh-inference-big"]):
        assert cache(pod)["persistentVolumeClaim"] == {"claimName": "weights"}


def test_keys_and_region_reach_what_fetches_alone() -> None:
    made = pods(rendered("values", *from_bucket(cache="weights")))
    pool = made["Deployment/chatmesh-inference-big"]
    job = made["Job/chatmesh-preload-qwen-qwen3-8b"]
    for container in (fetching(pool), job["spec"]["containers"][0]):
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
        assert container["env"] == [{"name": "AWS_REGION", "value": "eu-1"}]
    (engine,) = pool["spec"]["containers"]
    assert "secretRef" not in str(engine["envFrom"])


def test_policies_let_out_those_that_fetch_and_those_alone() -> None:
    ports = ("--set-json", "networkPolicies.modelSource.ports=[443,9000]")
    policies = named(rendered("values", *from_bucket(cache="weights"), *ports), "NetworkPolicy")
    out = {
        name
        for name, policy in policies.items()
        for rule in policy["spec"]["egress"]
        if rule.get("ports") == [{"port": 443}, {"port": 9000}]
    }
    assert out == {"chatmesh-inference-big", "chatmesh-tokenizer"}
