"""The rendered NetworkPolicies, evaluated for every pair of pods and port, against the code."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.charts.conftest import ROOT, Manifest, from_bucket, named, pods, rendered
from tests.charts.test_golden import RENDERS
from tests.charts.test_groups import BIG

# Two pools of groups: each keeps to itself.
GROUPS = (
    "values",
    "--set-json",
    f"inference.pools={json.dumps([BIG, {**BIG, 'name': 'other'}])}",
)
SERVICES = (
    "gateway",
    "context-assembly",
    "tokenizer",
    "inference",
    "tool-runner",
    "moderation",
    "memory",
)


@dataclass(frozen=True, slots=True)
class Pod:
    service: str
    labels: Mapping[str, str]
    ports: Mapping[str, int]
    namespace: str = "chat"
    # Of a group of pods that are one replica: its name; empty: it is none's.
    group: str = ""


def calls() -> set[tuple[str, str]]:
    """Who calls whom, by what their wiring imports."""
    found = set()
    for service in SERVICES:
        wiring = ROOT / "services" / service.replace("-", "_") / "wiring.py"
        for called in re.findall(r"from services\.(\w+)\.client import", wiring.read_text()):
            found.add((service, called.replace("_", "-")))
    return found


def mesh(manifests: list[Manifest]) -> list[Pod]:
    made = []
    for name, pod in pods(manifests).items():
        kind, _, rest = name.partition("/")
        if kind not in {"Deployment", "LeaderWorkerSet"}:
            continue
        (container,) = pod["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        labels = pod["metadata"]["labels"]
        group = rest.split()[0] if kind == "LeaderWorkerSet" else ""
        if group:
            ports["of its group"] = 29501
        made.append(Pod(labels["chatmesh.io/service"], labels, ports, group=group))
    return made


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    pairs = selector.get("matchLabels", {}).items()
    sets = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in sets)
    return all(labels.get(key) == value for key, value in pairs) and all(
        labels.get(one["key"]) in one["values"] for one in sets
    )


def admits(peers: list[Manifest], pod: Pod) -> bool:
    for peer in peers:
        if "ipBlock" in peer:
            continue  # addresses outside: no pod of the mesh is meant
        spaces = {"kubernetes.io/metadata.name": pod.namespace}
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], spaces):
                continue
        elif pod.namespace != "chat":
            continue
        if selects(peer.get("podSelector", {}), pod.labels):
            return True
    return False


def open_ports(rules: list[Manifest], side: str, peer: Pod, target: Pod) -> set[int]:
    found: set[int] = set()
    for rule in rules:
        if side in rule and not admits(rule[side], peer):
            continue
        for port in rule.get("ports", [{"port": name} for name in target.ports]):
            number = (
                target.ports.get(port["port"]) if isinstance(port["port"], str) else port["port"]
            )
            found |= {number} if number else set()
    return found


def allowed(manifests: list[Manifest], source: Pod, target: Pod) -> set[int]:
    """The ports of the target that both sides' policies leave open to the source."""
    policies = named(manifests, "NetworkPolicy").values()
    ends = []
    for pod, side, other in ((source, "egress", target), (target, "ingress", source)):
        mine = [p["spec"] for p in policies if selects(p["spec"]["podSelector"], pod.labels)]
        if pod.namespace != "chat":
            ends.append(set(target.ports.values()))
            continue
        assert mine, pod.service
        key = "to" if side == "egress" else "from"
        ports = set[int]()
        for spec in mine:
            ports |= open_ports(spec.get(side, []), key, other, target)
        ends.append(ports)
    return (ends[0] & ends[1]) & set(target.ports.values())


def pairs(manifests: list[Manifest]) -> Iterator[tuple[Pod, Pod]]:
    made = mesh(manifests)
    return ((source, target) for source in made for target in made if source is not target)


@pytest.mark.parametrize("given", [*((values,) for values in RENDERS), GROUPS], ids=str)
def test_pods_talk_along_the_codes_graph_and_no_other_way(given: tuple[str, ...]) -> None:
    manifests: Any = rendered(*given)
    graph = calls()
    assert ("gateway", "inference") in graph
    checked = 0
    for source, target in pairs(manifests):
        expected = set()
        if (source.service, target.service) in graph:
            expected = {target.ports["grpc"]} if "grpc" in target.ports else set()
        if source.group and source.group == target.group:
            expected = set(target.ports.values())  # torch, NCCL and ZeroMQ take what is free
        assert allowed(manifests, source, target) == expected, (source.service, target.service)
        checked += 1
    assert checked >= 42


@pytest.mark.parametrize("values", ["values-local", "values-aks"])
def test_strangers_reach_the_gateways_public_ports_and_metrics_alone(values: str) -> None:
    manifests: Any = rendered(values)
    stranger = Pod("stranger", {}, {}, namespace="elsewhere")
    keda = Pod("keda", {}, {}, namespace="keda")
    for target in mesh(manifests):
        metrics = {target.ports["metrics"]}
        public = set[int]()
        if target.service == "gateway":
            public = {target.ports["http"], target.ports["grpc"]}
        assert allowed(manifests, stranger, target) == metrics | public, target.service
        scaler = {target.ports["scaler"]} if public and values == "values-aks" else set()
        assert allowed(manifests, keda, target) == metrics | public | scaler


def test_jobs_reach_no_service_and_nobody_reaches_them() -> None:
    manifests: Any = rendered("values", *from_bucket(cache="weights"))
    jobs = {
        name: Pod(name, pod["metadata"]["labels"], {"any": 1})
        for name, pod in pods(manifests).items()
        if name.startswith("Job/")
    }
    assert len(jobs) == 7
    for name, job in jobs.items():
        for service in mesh(manifests):
            # `helm test` asks the gateway, as strangers do; and it is no stranger to the policies.
            asks = name == "Job/chatmesh-test" and service.service == "gateway"
            public = {service.ports[one] for one in ("http", "grpc")} if asks else set[int]()
            assert allowed(manifests, job, service) == public
            assert not allowed(manifests, service, job)
    policies = named(manifests, "NetworkPolicy")
    out = {
        name: {port["port"] for rule in policy["spec"].get("egress", ()) for port in rule["ports"]}
        for name, policy in policies.items()
        if any(selects(policy["spec"]["podSelector"], job.labels) for job in jobs.values())
    }
    assert out == {
        "chatmesh-bootstrap": {53, 443, 6443},
        "chatmesh-migrations": {53, 443, 6443},
        "chatmesh-migrate": set(),
        "chatmesh-test": {53, "http", "grpc"},
        next(name for name in out if "preload" in name): {53, 443},
    }


def test_without_policies_none_is_made() -> None:
    manifests = rendered("values", "--set", "networkPolicies.enabled=false")
    assert not named(manifests, "NetworkPolicy")
