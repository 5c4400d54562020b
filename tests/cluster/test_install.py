"""As README says: real vLLM in a pod, the printed request, a tool call, and what stays."""

import re
import subprocess
import time
from typing import Any

import pytest
import yaml

from tests.charts.test_schema import WRONG
from tests.cluster.site import RELEASE, Site, local_values

pytestmark = [pytest.mark.timeout(900)]
# In every namespace, and the pod that this suite makes.
GIVENS = {"configmap/kube-root-ca.crt", "serviceaccount/default", "pod/traffic"}


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_value_is_refused(here: Site, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(field)):
        here.helm("install", values=wrong)


def test_until_then_nothing_was_made(here: Site) -> None:
    assert there(here) == set()


def test_the_printed_request_is_answered_by_real_vllm_and_a_tool(here: Site) -> None:
    began = time.monotonic()
    here.install(local_values())
    installed = time.monotonic() - began
    pods = here.kubectl("get", "pods", "-o", "name")
    assert len(re.findall(rf"pod/{RELEASE}-", pods)) == 7
    with here.forwarded() as address:
        command = printed_request(here, address)
        answer = subprocess.run(
            command, shell=True, capture_output=True, text=True, timeout=120, check=True
        ).stdout
    assert answer.count("data: ") > 2
    assert "391" in spoken(answer)
    ran = here.cluster.metrics(here.replicas("tool-runner")[0].name)
    assert ran.total("chatmesh_tool_runner_calls_total") >= 1
    here.tell(
        f"helm install with values-local.yaml to ready: {installed:.0f} s; to the answer "
        f"{time.monotonic() - began:.0f} s"
    )


def test_helm_test_says_that_it_answers_and_leaves_nothing(here: Site) -> None:
    before = there(here)
    assert re.search(r"Phase:\s+Succeeded", here.helm("test", "--timeout=300s"))
    assert there(here) == before


def test_uninstalled_it_leaves_its_volumes_and_secrets_and_says_so(here: Site) -> None:
    notes = here.helm("status", "-o", "yaml")
    here.helm("uninstall", "--wait")
    here.until_pods(lambda pods: set(pods) == {"traffic"})
    left = there(here)
    assert left == {
        *(f"persistentvolumeclaim/{RELEASE}-{name}" for name in STORED),
        *(f"secret/{RELEASE}-{name}" for name in SECRETS),
    }
    secrets = (f"delete secret {RELEASE}-{name}" for name in SECRETS)
    for words in (f"delete pvc -l app.kubernetes.io/instance={RELEASE}", *secrets):
        assert words in notes


STORED = ("gateway", "context-assembly", "memory")
SECRETS = ("pepper", "admin-token")


def there(here: Site) -> set[str]:
    """Everything in the namespace but events and what is always there."""
    kinds = here.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if not kind.startswith(("events", "pods.metrics")))
    names = here.kubectl("get", wanted, "-o", "name", "--ignore-not-found").split()
    plain = {re.sub(r"\.[a-z0-9.-]+/", "/", name) for name in names}
    return plain - GIVENS


def printed_request(here: Site, address: str) -> str:
    """As the notes have it, but for the port, which may be taken here."""
    notes: str = yaml.safe_load(here.helm("status", "-o", "yaml"))["info"]["notes"]
    command = notes[notes.index("curl -N") :]
    lines = command.splitlines()
    asked = "\n".join(lines[:2]).replace("Bearer KEY", f"Bearer {here.key}")
    assert "http://127.0.0.1:8000" in asked
    return asked.replace("http://127.0.0.1:8000", address)


def spoken(stream: str) -> str:
    pieces = re.findall(r'"content":\s?"((?:[^"\\]|\\.)*)"', stream)
    return "".join(pieces)
