"""A pool whose model is elsewhere: what fetches it, what it says without the keys, an answer."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from services.cluster.doctor import examine
from services.cluster.view import statuses
from tests.cluster.site import Site, Values, image, labelled, local_values, merged, ready

pytestmark = [pytest.mark.timeout(900)]
MODEL = "/srv/chatmesh/services/inference/demo_model/model"
# Another one each time: a volume that is used again still holds what was fetched then.
NAME = f"demo-{secrets.token_hex(3)}"
# In the pod that traffic comes from: an S3 server (versitygw), and the hub of the tests.
SERVE_S3 = (
    f"mkdir -p /tmp/buckets/models && cp -r {MODEL} /tmp/buckets/models/{NAME} && "
    "exec /tmp/versitygw --quiet --port :7070 --access us --secret right "
    "posix --nometa /tmp/buckets"
)
SERVE_HUB = f"""
from pathlib import Path
from tests.fakes.hub import Hub, served
files = {{each.name: each.read_bytes() for each in Path("{MODEL}").iterdir() if each.is_file()}}
with served(Hub("chatmesh/{NAME}", files, token="hf_right"), "0.0.0.0", 7071):
    print("serving", flush=True)
    input()
"""
KEYS = {"AWS_ACCESS_KEY_ID": "us", "AWS_SECRET_ACCESS_KEY": "right", "HF_TOKEN": "hf_right"}
SOURCES = {
    "bucket": {"objectStorage": f"s3://models/{NAME}"},
    "hub": {"hub": f"chatmesh/{NAME}@main"},
}


@pytest.fixture(scope="module")
def sources(here: Site) -> Iterator[str]:
    """The address of the pod in which both serve the demo model."""
    program = shutil.which("versitygw")
    if not program:
        pytest.skip("versitygw missing: `make cluster-test` builds it with Go")
    (pod,) = here.until_pods(
        lambda pods: all(map(ready, pods.values())), field_selector="metadata.name=traffic"
    ).values()
    here.kubectl("cp", program, "traffic:/tmp/versitygw")
    with serving(here, "sh", "-c", SERVE_S3), serving(here, "python", "-c", SERVE_HUB) as hub:
        assert hub.stdout is not None
        assert hub.stdout.readline() == b"serving\n"
        yield pod.status.pod_ip


@contextmanager
def serving(here: Site, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    inside = ["kubectl", "-n", here.namespace, "exec", "-i", "traffic", "--", *command]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.terminate()


@pytest.fixture
def installed(here: Site) -> Iterator[Site]:
    """Who installs in it has nothing left afterwards, the claim for weights neither."""
    yield here
    here.helm("uninstall", "--wait")
    here.kubectl("delete", "secret/keys", "pvc/weights", "--ignore-not-found", "--wait")


def fetching(source: str, address: str, **changes: Any) -> Values:
    made = local_values()
    (pool,) = made["inference"]["pools"]
    pool["model"]["source"] = SOURCES[source]
    environment = {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{address}:7070",
        "AWS_ALLOW_HTTP": "true",
        "HF_ENDPOINT": f"http://{address}:7071",
    }
    told = {"secret": "keys", "environment": environment} | changes
    ports = {"modelSource": {"ports": [7070, 7071]}}
    return merged(made, {"inference": {"weights": told}, "networkPolicies": ports})


def with_keys(here: Site, **changes: str) -> None:
    secret = {"metadata": {"name": "keys"}, "stringData": KEYS | changes}
    here.core.create_namespaced_secret(here.namespace, secret)


def claim(here: Site) -> None:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    body = {"metadata": {"name": "weights"}, "spec": spec}
    here.core.create_namespaced_persistent_volume_claim(here.namespace, body)


def failed(pods: Mapping[str, Any]) -> bool:
    ends = [status.last_state.terminated for pod in pods.values() for status in statuses(pod)[:1]]
    return bool(ends) and all(ends)


@pytest.mark.parametrize("source", SOURCES)
def test_with_wrong_keys_the_doctor_names_what_cannot_be_fetched(
    installed: Site, sources: str, source: str
) -> None:
    with_keys(installed, AWS_SECRET_ACCESS_KEY="wrong", HF_TOKEN="hf_wrong")
    installed.helm("install", values=fetching(source, sources))
    for component in ("inference-demo", "tokenizer"):
        installed.until_pods(failed, label_selector=labelled(component))
    cluster = installed.cluster
    found = {one.where.split(",")[0]: one for one in examine(cluster, cluster.view()).findings}
    for component in ("inference-demo", "tokenizer"):
        assert "its model cannot be fetched: weights: " in found[component].what
        assert "403" in found[component].what
        assert "inference.weights" in found[component].remedy


@pytest.mark.parametrize("source", SOURCES)
async def test_real_vllm_answers_with_weights_from_elsewhere(
    installed: Site, sources: str, source: str
) -> None:
    with_keys(installed)
    told = await answered(installed, fetching(source, sources))
    pool, tokenizer = fetched(installed, "inference-demo"), fetched(installed, "tokenizer")
    assert "fetched model.safetensors" in pool
    assert "fetched tokenizer.json" in tokenizer
    assert "model.safetensors" not in tokenizer
    installed.tell(f"weights out of a {source}: {told}")


@pytest.mark.parametrize("source", SOURCES)
async def test_a_shared_cache_is_filled_once_for_all_pods(
    installed: Site, sources: str, source: str
) -> None:
    with_keys(installed)
    claim(installed)
    told = await answered(installed, fetching(source, sources, cacheClaim="weights"))
    jobs = installed.kubectl("get", "jobs", "-o", "name").split()
    (preload,) = (job for job in jobs if "preload-chatmesh-demo" in job)
    installed.kubectl("wait", "--for=condition=complete", preload, "--timeout=120s")
    logs = [
        *(fetched(installed, component) for component in ("inference-demo", "tokenizer")),
        installed.kubectl("logs", preload),
    ]
    assert sum("fetched model.safetensors" in log for log in logs) == 1, logs
    # Another pod finds it there, even when nobody gives it any more.
    with_wrong = {"stringData": {"AWS_SECRET_ACCESS_KEY": "wrong", "HF_TOKEN": "hf_wrong"}}
    installed.core.patch_namespaced_secret("keys", installed.namespace, with_wrong)
    installed.kubectl("rollout", "restart", "deployment/chatmesh-tokenizer")
    installed.settled("tokenizer")
    assert "taken as it was last fetched" in fetched(installed, "tokenizer")
    installed.tell(f"weights out of a {source} into a shared claim, fetched once: {told}")


async def test_real_vllm_answers_with_weights_that_are_an_image(installed: Site) -> None:
    runtime = {
        n.status.node_info.container_runtime_version for n in installed.core.list_node().items
    }
    if not any(mounts_images(version) for version in runtime):
        pytest.skip(f"no node mounts images, which containerd 2.1 does: {', '.join(runtime)}")
    made = local_values()
    (pool,) = made["inference"]["pools"]
    pool["model"]["source"] = {"image": image("model"), "path": "demo"}
    told = await answered(installed, made)
    installed.tell(f"weights as an image volume: {told}")


def mounts_images(runtime: str) -> bool:
    """As nodes tell it, such as `containerd://2.1.0`."""
    name, _, version = runtime.partition("://")
    return name == "containerd" and tuple(map(int, version.split(".")[:2])) >= (2, 1)


async def answered(here: Site, values: Values) -> str:
    """Installed, and then two turns of real vLLM."""
    began = time.monotonic()
    here.install(values)
    installed = time.monotonic() - began
    async with here.traffic(1, "What is 17 * 23?", model="chatmesh-demo") as traffic:
        await traffic.finished(2)
    assert traffic.failures() == []
    return f"ready after {installed:.0f} s, then two turns, none failed"


def fetched(here: Site, component: str) -> str:
    """What the container that fetches has said, in a pod that is not leaving."""
    (replica,) = here.replicas(component)
    return here.kubectl("logs", replica.name, "-c", "fetch-chatmesh-demo")
