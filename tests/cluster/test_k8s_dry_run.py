"""Every manifest of k8s/ before the API server of KUBECONFIG's cluster; nothing of it is kept."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.charts.conftest import Manifest
from tests.charts.test_k8s import manifests

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG") or not shutil.which("kubectl"),
    reason="needs kubectl, and a cluster that KUBECONFIG names",
)
GIVEN = [
    pytest.param(file, manifest, id=f"{file}-{manifest['kind']}-{manifest['metadata']['name']}")
    for file, manifest in manifests()
]


def kubectl(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    whole = ["kubectl", "--request-timeout=30s", *command]
    return subprocess.run(whole, input=given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def space() -> Iterator[str]:
    """A namespace of our own: those that the manifests name may be somebody's."""
    name = f"dry-run-{secrets.token_hex(4)}"
    made = kubectl(["create", "namespace", name])
    assert made.returncode == 0, made.stderr
    yield name
    kubectl(["delete", "namespace", name, "--wait=false"])


def undefined(done: subprocess.CompletedProcess[str]) -> bool:
    """The second is said where kubectl remembers a definition that has gone."""
    said = ("no matches for kind", "could not find the requested resource")
    return any(words in done.stderr for words in said)


def taken(manifest: Manifest, space: str) -> subprocess.CompletedProcess[str]:
    metadata = dict(manifest["metadata"])
    if "namespace" in metadata:
        metadata["namespace"] = space
    command = ["apply", "--dry-run=server", "--validate=strict", "--filename", "-"]
    return kubectl(command, json.dumps({**manifest, "metadata": metadata}))


@pytest.mark.parametrize(("file", "manifest"), GIVEN)
def test_the_api_server_takes_it(file: str, manifest: Manifest, space: str) -> None:
    done = taken(manifest, space)
    if undefined(done):
        kind = f"{manifest['kind']} of {manifest['apiVersion']}"
        pytest.skip(f"k8s/{file} is not checked: this cluster has no definition of {kind}")
    assert done.returncode == 0, done.stderr
    assert "(server dry run)" in done.stdout


@pytest.mark.parametrize(("file", "manifest"), GIVEN)
def test_the_api_server_refuses_it_with_a_field_that_there_is_not(
    file: str, manifest: Manifest, space: str
) -> None:
    """That it was looked at, and not waved through."""
    done = taken({**manifest, "spex": {}}, space)
    if undefined(done):
        pytest.skip(f"k8s/{file} is not checked")
    assert done.returncode != 0
    assert "spex" in done.stderr
