"""Names of any length: no two objects of a kind have one, and Kubernetes takes them all."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import yaml

from tests.charts.conftest import Manifest, migrations, pods, refusal, refused_or_rendered

# A Service's is the narrowest: RFC 1035.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
RELEASES = (10, 30, 42, 53)


def release(length: int) -> str:
    return ("r" * length)[:length]


def values(length: int) -> Manifest:
    """Two of everything, with names of that length that differ in the last character alone."""

    def named(last: str) -> str:
        return "x" * (length - 1) + last

    pools = [
        {
            "name": named(last)[-30:],
            "replicas": 1,
            "nodes": nodes,
            "scaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 2},
            "model": {
                "name": f"M/{named(last)}",
                "source": source | ({"hub": f"a/{named(last)}"} if "hub" in source else {}),
                "contextTokens": 1024,
            },
        }
        for last, nodes, source in (
            ("a", 1, {"hub": ""}),
            ("b", 1, {"hub": ""}),
            ("c", 2, {"claim": "c"}),
            ("d", 2, {"image": "r.example/m:1"}),
        )
    ]
    return {
        "keda": {"enabled": True},
        "monitor": {"enabled": True},
        "dashboards": {"enabled": True},
        "inferencePool": {"enabled": True, "endpointPicker": {"name": "epp"}},
        "inference": {"pools": pools, "weights": {"cacheClaim": "weights"}},
        "edge": {
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "e"}]},
            "grpcRoute": {"enabled": True, "parentRefs": [{"name": "e"}]},
            "ingress": {"enabled": True, "host": "h.example"},
        },
    }


def made(name: str, given: Manifest) -> Sequence[Manifest]:
    shown, refused = refused_or_rendered(given, name)
    assert not refused, refused
    return [one for one in yaml.safe_load_all(shown) if one]


def all_of(manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """With those that a job begins."""
    for one in manifests:
        yield one
        if one["kind"] == "Job" and "migrations" in str(
            one["spec"]["template"]["spec"]["containers"]
        ):
            yield from migrations(one)


@pytest.mark.parametrize("of_release", RELEASES)
@pytest.mark.parametrize("length", [1, 29, 30, 60])
def test_no_two_of_a_kind_have_one_name(of_release: int, length: int) -> None:
    manifests = list(all_of(made(release(of_release), values(length))))
    counted = Counter((one["kind"], one["metadata"]["name"]) for one in manifests)
    assert not [name for name, times in counted.items() if times > 1]
    assert all(NAME.fullmatch(name) for _, name in counted), counted
    for one in manifests:
        assert all(LABEL.fullmatch(value) for value in one["metadata"]["labels"].values())
    groups = [name for kind, name in counted if kind == "LeaderWorkerSet"]
    # Its pods' label has a group's number and ten digits of a hash more.
    assert len(groups) == 2
    assert all(len(f"{name}-99-0123456789") <= 63 for name in groups)


@pytest.mark.parametrize("length", [1, 30, 60])
def test_no_two_containers_volumes_or_mounts_of_a_pod_have_one_name(length: int) -> None:
    for name, pod in pods(made("chatmesh", values(length))).items():
        containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
        for given in (containers, pod["spec"].get("volumes", ())):
            names = [one["name"] for one in given]
            assert len(names) == len(set(names)), name
            assert all(NAME.fullmatch(one) for one in names), names
        for container in containers:
            paths = [one["mountPath"] for one in container.get("volumeMounts", ())]
            assert len(paths) == len(set(paths)), name
            assert not [path for path in paths if ":" in path]


@pytest.mark.parametrize("of_release", RELEASES)
def test_every_address_is_that_of_a_service(of_release: int) -> None:
    manifests = made(release(of_release), values(30))
    services = {one["metadata"]["name"] for one in manifests if one["kind"] == "Service"}
    told = json.dumps([one["data"] for one in manifests if one["kind"] == "ConfigMap"])
    called = set(re.findall(r"kubernetes:([-a-z0-9]+):\d+", told))
    assert len(called) == 9
    assert called <= services
    for one in manifests:
        if one["kind"] == "ScaledObject":
            (trigger,) = one["spec"]["triggers"]
            assert trigger["metadata"]["scalerAddress"].split(".")[0] in services
    names = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    for name, pod in pods(manifests).items():
        for container in pod["spec"]["containers"]:
            for source in container.get("envFrom", ()):
                if "configMapRef" in source:
                    assert ("ConfigMap", source["configMapRef"]["name"]) in names, name


def test_a_model_with_a_colon_in_its_name_may_be_on_a_volume() -> None:
    model = {"name": "llama3:70b", "source": {"claim": "c", "path": "m"}, "contextTokens": 1024}
    pool = {"name": "a", "replicas": 1, "model": model}
    found = pods(made("chatmesh", {"inference": {"pools": [pool]}}))
    mounts = found["Deployment/chatmesh-inference-a"]["spec"]["containers"][0]["volumeMounts"]
    (path,) = [one["mountPath"] for one in mounts if one["name"].startswith("model-")]
    assert ":" not in path


def test_a_pools_name_is_cut_by_nobody() -> None:
    """Beyond 30 characters it is refused: it is part of a label of 63."""
    given = values(10)
    given["inference"]["pools"][0]["name"] = "x" * 31
    assert "/inference/pools/0/name" in refusal(given)


@pytest.mark.parametrize("name", ["1chat", "a.b"])
def test_a_release_after_which_no_service_can_be_named_is_refused(name: str) -> None:
    assert "fullnameOverride" in refusal({}, name)
    shown, _ = refused_or_rendered({"fullnameOverride": "chat"}, name)
    names = {one["metadata"]["name"] for one in yaml.safe_load_all(shown) if one}
    assert {"chat", "chat-gateway", "chat-pepper"} - {"chat-pepper"} <= names
    assert not [one for one in names if one.startswith(name)]
