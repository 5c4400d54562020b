"""A pool whose model is in a bucket: what fetches it, what it says without the keys, an answer."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from services.cluster.doctor import findings
from services.cluster.view import statuses
from tests.cluster.site import Site, Values, labelled, local_values, merged, ready

pytestmark = [pytest.mark.timeout(900)]
MODEL = "/srv/chatmesh/services/inference/demo_model/model"
SERVE = (
    f"mkdir -p /tmp/buckets/models && cp -r {MODEL} /tmp/buckets/models/demo && "
    "exec /tmp/versitygw --quiet --port :7070 --access us --secret right "
    "posix --nometa /tmp/buckets"
)
KEYS = {"AWS_ACCESS_KEY_ID": "us", "AWS_SECRET_ACCESS_KEY": "right"}


@pytest.fixture(scope="module")
def bucket(here: Site) -> Iterator[str]:
    """The address of an S3 server (versitygw) in the pod that traffic comes from."""
    program = shutil.which("versitygw")
    if not program:
        pytest.skip("versitygw missing: `make cluster-test` builds it with Go")
    (pod,) = here.until_pods(
        lambda pods: all(map(ready, pods.values())), field_selector="metadata.name=traffic"
    ).values()
    here.kubectl("cp", program, "traffic:/tmp/versitygw")
    command = ["kubectl", "-n", here.namespace, "exec", "traffic", "--", "sh", "-c", SERVE]
    with subprocess.Popen(command) as serving:
        yield f"http://{pod.status.pod_ip}:7070"
        serving.terminate()


def bucket_values(address: str) -> Values:
    made = local_values()
    (pool,) = made["inference"]["pools"]
    pool["model"]["source"] = {"objectStorage": "s3://models/demo"}
    variables = {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true"}
    told = {"secret": "keys", "environment": variables}
    return merged(
        made,
        {
            "inference": {"objectStorage": told},
            "networkPolicies": {"modelSource": {"ports": [7070]}},
        },
    )


def with_keys(here: Site, **changes: str) -> None:
    secret = {"metadata": {"name": "keys"}, "stringData": KEYS | changes}
    here.core.create_namespaced_secret(here.namespace, secret)


def failed(pods: Mapping[str, Any]) -> bool:
    ends = [status.last_state.terminated for pod in pods.values() for status in statuses(pod)[:1]]
    return bool(ends) and all(ends)


def test_with_wrong_keys_the_doctor_names_what_cannot_be_fetched(here: Site, bucket: str) -> None:
    with_keys(here, AWS_SECRET_ACCESS_KEY="wrong")
    here.helm("install", values=bucket_values(bucket))
    for component in ("inference-demo", "tokenizer"):
        here.until_pods(failed, label_selector=labelled(component))
    found = {one.where.split(",")[0]: one for one in findings(here.cluster, here.cluster.view())}
    for component in ("inference-demo", "tokenizer"):
        assert "its model cannot be fetched: object storage: s3://models" in found[component].what
        assert "403 Forbidden" in found[component].what
        assert "inference.objectStorage" in found[component].remedy
    here.helm("uninstall", "--wait")
    here.core.delete_namespaced_secret("keys", here.namespace)


async def test_real_vllm_answers_with_weights_out_of_a_bucket(here: Site, bucket: str) -> None:
    with_keys(here)
    began = time.monotonic()
    here.install(bucket_values(bucket))
    installed = time.monotonic() - began
    async with here.traffic(1, "What is 17 * 23?", model="chatmesh-demo") as traffic:
        await traffic.finished(2)
    assert traffic.failures() == []
    pool, tokenizer = (
        here.kubectl("logs", f"deployment/chatmesh-{name}", "-c", "fetch-chatmesh-demo")
        for name in ("inference-demo", "tokenizer")
    )
    assert "fetched model.safetensors" in pool
    assert "fetched tokenizer.json" in tokenizer
    assert "model.safetensors" not in tokenizer
    here.helm("uninstall", "--wait")
    here.tell(
        f"weights out of a bucket: ready after {installed:.0f} s, then two turns, none failed"
    )
