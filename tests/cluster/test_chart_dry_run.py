"""The chart's renders before the API server of KUBECONFIG's cluster; nothing of them is kept."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import pytest
import yaml
from kubernetes import client, config

from tests.charts.combinations import HOW_MANY, Drawing
from tests.charts.conftest import CHART, Manifest, migrations, refused_or_rendered
from tests.cluster.site import give_back_volumes

pytestmark = pytest.mark.skipif(
    not os.environ.get("KUBECONFIG") or not shutil.which("kubectl") or not shutil.which("helm"),
    reason="needs kubectl, helm, and a cluster that KUBECONFIG names",
)
FILES = sorted(path.stem for path in CHART.glob("values*.yaml"))
ADMIN = "admin-of-one-namespace"
# What no cluster has of itself, and where its definition comes from.
EXTENSIONS = {
    "ScaledObject": "KEDA",
    "PodMonitor": "the Prometheus operator",
    "HTTPRoute": "Gateway API",
    "GRPCRoute": "Gateway API",
    "LeaderWorkerSet": "LeaderWorkerSet",
    "InferencePool": "Gateway API Inference Extension",
}


def kubectl(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    whole = ["kubectl", "--request-timeout=60s", *command]
    return subprocess.run(whole, input=given, capture_output=True, text=True, check=False)


@cache
def known() -> frozenset[str]:
    """The kinds that the cluster has."""
    told = kubectl("api-resources", "--no-headers", "-o", "wide")
    assert told.returncode == 0, told.stderr
    words = [line.split() for line in told.stdout.splitlines()]
    return frozenset(
        words[number + 1]
        for words in words
        for number in range(len(words) - 1)
        if words[number] in {"true", "false"}
    )


@contextmanager
def namespace() -> Iterator[str]:
    """One of our own, and who may do in it what the role `admin` allows, and no more."""
    name = f"dry-run-{secrets.token_hex(4)}"
    for command in (
        ("create", "namespace", name),
        ("-n", name, "create", "rolebinding", "admin", "--clusterrole=admin", f"--user={ADMIN}"),
    ):
        made = kubectl(*command)
        assert made.returncode == 0, made.stderr
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def space() -> Iterator[str]:
    with namespace() as name:
        yield name


@pytest.fixture
def empty_space() -> Iterator[str]:
    """For what is made: claims go later than they are deleted, and hold volumes until then."""
    config.load_kube_config()
    with namespace() as name:
        yield name
    give_back_volumes(client.CoreV1Api(), name)


def of(values: Manifest) -> Sequence[Manifest]:
    """What the chart makes of values, and the jobs that one of its jobs begins."""
    shown, refused = refused_or_rendered(values)
    assert not refused, refused
    found = [one for one in yaml.safe_load_all(shown) if one]
    for one in list(found):
        component = one["metadata"]["labels"].get("app.kubernetes.io/component")
        if (one["kind"], component) == ("Job", "migrations"):
            found += migrations(one)
    return found


def placed(manifests: Sequence[Manifest], space: str) -> str:
    """Those of kinds that the cluster has, as one list; roles first, since bindings name them."""
    here = [
        {**one, "metadata": {**one["metadata"], "namespace": space}}
        for one in manifests
        if one["kind"] in known()
    ]
    here.sort(key=lambda one: one["kind"] != "Role")
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": here})


def refused(manifests: Sequence[Manifest], space: str, *options: str) -> str:
    """What the API server says against them; empty: it takes them all."""
    given = placed(manifests, space)
    command = ("apply", "--dry-run=server", "--validate=strict", "--filename", "-", *options)
    done = kubectl(*command, given=given)
    if done.returncode:
        return done.stderr
    assert done.stdout.count("(server dry run)") == len(json.loads(given)["items"])
    return ""


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_the_cluster_knows_the_kind(kind: str) -> None:
    if kind not in known():
        pytest.skip(f"no {kind} is checked: the cluster has no definitions of {EXTENSIONS[kind]}")


@pytest.mark.parametrize("file", FILES)
def test_every_values_file_is_taken(file: str, space: str) -> None:
    given = yaml.safe_load((CHART / f"{file}.yaml").read_text())
    assert not refused(of(given), space)


@pytest.mark.parametrize("seed", range(HOW_MANY))
def test_what_is_drawn_from_the_schema_is_taken(seed: int, space: str) -> None:
    assert not refused(of(Drawing(seed).values), space)


def test_a_field_that_there_is_not_is_refused(space: str) -> None:
    """That it was looked at, and not waved through."""
    (first, *rest) = of({})
    assert "spex" in refused([{**first, "spex": {}}, *rest], space)


@pytest.mark.parametrize("file", ["values", "values-local"])
def test_an_admin_of_one_namespace_may_install(file: str, empty_space: str) -> None:
    """All is made, since nobody binds a role that is not there; nothing of it runs.

    Who grants a role must have its rights. KEDA's and others' kinds are their operators' to grant.
    """
    given = yaml.safe_load((CHART / f"{file}.yaml").read_text()) | {"keda": {"enabled": False}}
    manifests = placed([one for one in of(given) if one["kind"] not in EXTENSIONS], empty_space)
    command = ("--validate=strict", "--filename", "-", f"--as={ADMIN}")
    made = kubectl("apply", *command, given=manifests)
    assert not made.returncode, made.stderr
    assert made.stdout.count(" created") == len(json.loads(manifests)["items"])


def test_an_admin_of_one_namespace_may_not_grant_everything(space: str) -> None:
    """That the check before this one is made at all. Nodes are no admin's of a namespace."""
    (role, *_) = (one for one in of({}) if one["kind"] == "Role")
    wide = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}
    assert "attempting to grant" in refused([{**role, "rules": [wide]}], space, f"--as={ADMIN}")
