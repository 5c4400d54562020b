"""A release broken in eight places: `kubectl chatmesh doctor` names each with its remedy."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import watch

from services.cluster.doctor import examine
from services.cluster.finding import Finding
from tests.cluster.site import ROOT, Site, Values, image, run, scripted_pool, values

pytestmark = [pytest.mark.timeout(1200)]
NOT_THERE = "chatmesh/not-there:1"
ABSENT = {"name": "absent", "contextTokens": 4096}
# Where, a part of what is said to be wrong, a part of the remedy.
BROKEN = [
    ("inference-no-gpu", "no node has the GPU", "nvidia.com/gpu.product"),
    ("inference-no-image", NOT_THERE, "images.prefix"),
    ("inference-no-model", "neither a model's directory", "model.source"),
    ("inference-empty-model", "no config.json", "model.source"),
    ("inference-half-model", "no weights", "model.source"),
    ("inference-dies", "the engine dies while it loads", "logs"),
    ("inference-bad-values", "INFERENCE_ENGINE_ARGS", "`config`"),
    ("memory", "its volume is full", "free space"),
]


def real_pool(name: str, **changes: Any) -> Values:
    """As values-local.yaml has it, in a state that it never gets out of."""
    pool = scripted_pool(name)
    del pool["image"]
    return pool | {"replicas": 1, "loadSeconds": 300} | changes


def absent_from(path: str) -> Values:
    return {"model": ABSENT | {"source": {"claim": "models", "path": path}}}


def broken() -> Values:
    pools = [
        scripted_pool(replicas=1),
        real_pool("no-gpu", gpu={"preset": "h100", "count": 1}),
        real_pool("no-image", image=NOT_THERE),
        real_pool("no-model", **absent_from("nowhere")),
        real_pool("empty-model", **absent_from("empty")),
        real_pool("half-model", **absent_from("half")),
        real_pool("dies", engineArgs={"kv_cache_memory_bytes": 4096}),
        real_pool("bad-values", engineArgs={"no_such_argument": 1}),
    ]
    # What migrates stores would not let it in.
    migrations = {"enabled": False}
    full = {"storage": {"existingClaim": "full"}}
    return values(inference={"pools": pools}, memory=full, migrations=migrations)


@pytest.fixture(scope="module")
def release(here: Site) -> Iterator[Site]:
    claim(here, "models", "ReadWriteMany")
    fill(here)
    with full_volume(here):
        here.helm("install", values=broken())
        yield here
        here.helm("uninstall")


def claim(here: Site, name: str, mode: str, **more: str) -> None:
    spec = {"accessModes": [mode], "resources": {"requests": {"storage": "1Mi"}}, **more}
    manifest = {"metadata": {"name": name}, "spec": spec}
    here.core.create_namespaced_persistent_volume_claim(here.namespace, manifest)


def fill(here: Site) -> None:
    """Lays an empty directory and half a model on the claim."""
    command = "mkdir -p /models/empty /models/half && touch /models/half/config.json"
    container = {
        "name": "fill",
        "image": image("scripted"),
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "containers": [container],
        "volumes": [volume],
        "restartPolicy": "Never",
        "securityContext": security | {"fsGroup": 10001},
    }
    here.core.create_namespaced_pod(here.namespace, {"metadata": {"name": "fill"}, "spec": spec})
    here.until_pods(
        lambda pods: pods["fill"].status.phase == "Succeeded", field_selector="metadata.name=fill"
    )


@contextmanager
def full_volume(here: Site) -> Iterator[None]:
    """A claim on a file system of 256 KiB with nothing left; needs a node that is this machine."""
    if not here.core.list_node(label_selector="chatmesh.io/node=real").items:
        pytest.skip("needs a node that is this machine, as ../shared/cluster has it")
    folder = Path("/var/tmp") / here.namespace
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "tmpfs", str(folder))
    try:
        with (folder / "rubbish").open("wb") as rubbish:
            command = ["cat", "/dev/zero"]
            full = subprocess.run(command, stdout=rubbish, stderr=subprocess.DEVNULL, check=False)
        assert full.returncode, "the file system did not fill up"
        spec = {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "full",
            "hostPath": {"path": str(folder)},
        }
        here.core.create_persistent_volume({"metadata": {"name": here.namespace}, "spec": spec})
        claim(here, "full", "ReadWriteOnce", storageClassName="full", volumeName=here.namespace)
        yield
        here.until_pods(lambda pods: not pods, label_selector="app.kubernetes.io/component=memory")
    finally:
        here.core.delete_persistent_volume(here.namespace)
        run("umount", "-l", str(folder))
        folder.rmdir()


@pytest.mark.parametrize(("where", "what", "remedy"), BROKEN)
def test_what_is_broken_is_named_with_its_remedy(
    release: Site, where: str, what: str, remedy: str
) -> None:
    found = awaited(release, where, what)
    assert remedy in found.remedy
    release.tell(f"{where}: {found.what} -> {found.remedy}")


def awaited(release: Site, where: str, what: str) -> Finding:
    """What doctor says of it, once it has come so far."""
    seen: list[Finding] = []
    until = time.monotonic() + 300
    pods = release.core.list_namespaced_pod
    while time.monotonic() < until:
        # Looks again at each change of a pod, and when nothing has changed for a while.
        for _ in watch.Watch().stream(pods, release.namespace, timeout_seconds=5):
            seen = list(examine(release.cluster, release.cluster.view()).findings)
            for one in seen:
                if one.where.startswith(where) and what in one.what:
                    return one
    raise AssertionError(f"not among {[(one.where, one.what) for one in seen]}")


def test_the_command_says_the_same_and_fails(release: Site) -> None:
    command = [str(ROOT / ".venv/bin/kubectl-chatmesh"), "-n", release.namespace, "doctor"]
    done = subprocess.run([*command, "-o", "json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    named = {one["where"].partition(",")[0] for one in json.loads(done.stdout)}
    assert named >= {where for where, _, _ in BROKEN}


def test_status_shows_what_is_not_ready_and_why(release: Site) -> None:
    told = json.loads(release.plugin("status", "-o", "json"))
    pools = {pool["name"]: pool for pool in told["pools"]}
    assert {pod["phase"] for pod in pools["no-gpu"]["pods"]} == {"Pending"}
    assert pools["no-image"]["pods"][0]["phase"] in {"ErrImagePull", "ImagePullBackOff"}


def test_a_pod_that_fails_can_be_drained(release: Site) -> None:
    """What is broken has no stream to wait for, and its budget does not hold it."""
    victim = release.replicas("inference-no-model")[0].name
    assert f"{victim} is gone after" in release.plugin("drain", victim)
