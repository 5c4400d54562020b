"""How the world gets in, on every kind of edge and platform."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.charts.conftest import CHART, Manifest, named, pods, refused_or_rendered
from tests.charts.test_network import Pod, admits

ROUTE = {"enabled": True, "parentRefs": [{"name": "front"}]}
EVERYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]


def made(**values: Any) -> list[Manifest]:
    shown, refused = refused_or_rendered(values)
    assert not refused, refused
    return [one for one in yaml.safe_load_all(shown) if one]


def peers_of_http(manifests: list[Manifest]) -> list[Manifest]:
    rules = named(manifests, "NetworkPolicy")["chatmesh-gateway"]["spec"]["ingress"]
    peers = [peer for rule in rules if {"port": "http"} in rule["ports"] for peer in rule["from"]]
    return [peer for peer in peers if "'test'" not in str(peer)]


def notes(**values: Any) -> str:
    command = ["helm", "install", "chatmesh", str(CHART), "--namespace", "chat"]
    command += ["--dry-run=client", "--values", "-"]
    given = yaml.safe_dump(values)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return done.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize("which", ["pepper", "adminToken"])
def test_the_notes_name_the_secrets_that_an_uninstall_leaves_unless_they_are_ones_own(
    which: str,
) -> None:
    name = {"pepper": "chatmesh-pepper", "adminToken": "chatmesh-admin-token"}[which]
    assert f"delete secret {name}" in notes()
    assert f"delete secret {name}" not in notes(gateway={which: {"existingSecret": "ours"}})


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_what_is_open_to_the_outside_lets_the_outside_in(kind: str) -> None:
    """A load balancer's traffic comes from no pod: from a node, or from the caller itself."""
    inside = peers_of_http(made())
    assert not [peer for peer in inside if "ipBlock" in peer]
    opened = peers_of_http(made(edge={"service": {"type": kind}}))
    assert [peer for peer in opened if "ipBlock" in peer] == EVERYWHERE
    narrowed = made(edge={"service": {"type": kind}}, networkPolicies={"outside": []})
    assert peers_of_http(narrowed) == inside


def test_a_load_balancer_is_what_the_values_say() -> None:
    service = {
        "type": "LoadBalancer",
        "loadBalancerClass": "internal",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
    }
    spec = named(made(edge={"service": service}), "Service")["chatmesh"]["spec"]
    assert service.items() <= spec.items()
    # Kubernetes refuses it for ClusterIP; the schema refuses the two others.
    inside = {"type": "ClusterIP", "externalTrafficPolicy": "Local"}
    spec = named(made(edge={"service": inside}), "Service")["chatmesh"]["spec"]
    assert "externalTrafficPolicy" not in spec


def test_azures_probe_asks_where_health_is() -> None:
    probe = "service.beta.kubernetes.io/port_80_health-probe_request-path"
    edge = {"service": {"type": "LoadBalancer"}}
    annotations = named(made(edge=edge), "Service")["chatmesh"]["metadata"]["annotations"]
    assert annotations == {probe: "/healthz"}
    edge["service"]["annotations"] = {probe: "/readyz", "a": "b"}  # type: ignore[assignment]
    annotations = named(made(edge=edge), "Service")["chatmesh"]["metadata"]["annotations"]
    assert annotations == {probe: "/readyz", "a": "b"}
    assert "annotations" not in named(made(), "Service")["chatmesh"]["metadata"]


@pytest.mark.parametrize(
    ("edge", "address"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"httpRoute": {**ROUTE, "hostnames": ["chat.example"]}}, "https://chat.example"),
        ({"httpRoute": ROUTE}, "https://ADDRESS"),
        ({"ingress": {"enabled": True, "host": "chat.example"}}, "http://chat.example"),
        (
            {"ingress": {"enabled": True, "host": "chat.example", "tlsSecret": "t"}},
            "https://chat.example",
        ),
        ({"service": {"type": "LoadBalancer"}}, "http://ADDRESS"),
        ({"service": {"type": "NodePort"}}, "http://NODE:PORT"),
    ],
)
def test_the_notes_first_request_goes_to_the_edge_that_there_is(
    edge: Manifest, address: str
) -> None:
    told = notes(edge=edge)
    assert f"curl -N {address}/v1/chat/completions" in told
    assert f"  {address}/v1" in told or "port-forward" in told
    assert ("127.0.0.1" in told) == (address == "http://127.0.0.1:8000")


def test_several_hosts_and_annotations() -> None:
    ingress = {"enabled": True, "host": "a.example", "moreHosts": ["b.example"], "tlsSecret": "t"}
    route = {**ROUTE, "hostnames": ["a.example", "b.example"], "annotations": {"a": "b"}}
    manifests = made(edge={"ingress": ingress, "httpRoute": route, "grpcRoute": route})
    spec = named(manifests, "Ingress")["chatmesh-http"]["spec"]
    hosts = ["a.example", "b.example"]
    assert [rule["host"] for rule in spec["rules"]] == hosts
    assert spec["tls"] == [{"secretName": "t", "hosts": hosts}]
    for kind in ("HTTPRoute", "GRPCRoute"):
        (made_route,) = named(manifests, kind).values()
        assert made_route["metadata"]["annotations"] == {"a": "b"}
        assert made_route["spec"]["hostnames"] == hosts


def test_pods_may_listen_on_ipv6_and_reach_it() -> None:
    manifests = made(listen="[::]")
    told = json.dumps([one["data"] for one in named(manifests, "ConfigMap").values()])
    assert "0.0.0.0" not in told
    assert '"GATEWAY_HTTP_ADDRESS": "[::]:8000"' in told
    # Who may reach any address of the one family may reach any of the other.
    for policy in named(manifests, "NetworkPolicy").values():
        for rule in policy["spec"].get("egress") or ():
            cidrs = {peer["ipBlock"]["cidr"] for peer in rule.get("to", ()) if "ipBlock" in peer}
            assert ("0.0.0.0/0" in cidrs) == ("::/0" in cidrs)


def test_on_openshift_pods_have_the_ids_and_the_dns_of_the_platform() -> None:
    manifests = made(openshift={"enabled": True})
    for name, pod in pods(manifests).items():
        context = pod["spec"]["securityContext"]
        assert not context.keys() & {"runAsUser", "runAsGroup", "fsGroup"}, name
        assert context["runAsNonRoot"] is True
    stranger = Pod("dns", {}, {}, namespace="openshift-dns")
    for policy in named(manifests, "NetworkPolicy").values():
        rules = policy["spec"].get("egress") or ()
        ports = [rule["ports"] for rule in rules if admits(rule.get("to", []), stranger)]
        if rules:
            assert {"port": 5353, "protocol": "UDP"} in ports[0]


def test_roles_ask_for_no_more_than_is_used() -> None:
    """Who may install into one namespace alone cannot grant what they do not have."""

    def groups(*, keda: bool, nodes: int) -> set[str]:
        model = {"name": "m", "source": {"bundled": True}, "contextTokens": 4096}
        pool = {"name": "a", "replicas": 1, "nodes": nodes, "model": model}
        manifests = made(keda={"enabled": keda}, inference={"pools": [pool]})
        roles = named(manifests, "Role").values()
        return {group for role in roles for rule in role["rules"] for group in rule["apiGroups"]}

    usual = {"", "apps", "autoscaling", "batch", "discovery.k8s.io"}
    assert groups(keda=False, nodes=1) == usual
    assert groups(keda=True, nodes=1) == usual | {"keda.sh"}
    assert groups(keda=False, nodes=2) == usual | {"leaderworkerset.x-k8s.io"}


def test_the_gateway_which_faces_the_internet_changes_no_pods_unless_asked() -> None:
    def verbs(**values: Any) -> set[str]:
        role = named(made(**values), "Role")["chatmesh-gateway"]
        return {verb for rule in role["rules"] for verb in rule["verbs"]}

    assert verbs() == {"list", "watch"}
    assert verbs(podDeletionCosts={"enabled": True}) == {"list", "watch", "patch"}


def test_an_inference_pool_finds_the_engines_and_those_who_may_call_them() -> None:
    model = {"name": "m", "source": {"claim": "c"}, "contextTokens": 4096}
    pools = [
        {"name": "a", "replicas": 1, "model": model},
        {"name": "b", "replicas": 1, "nodes": 2, "model": model},
    ]
    router = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "router"}}}
    told = {"enabled": True, "endpointPicker": {"name": "{pool}-epp"}, "callers": [router]}
    manifests = made(inference={"pools": pools}, inferencePool=told)
    found = named(manifests, "InferencePool")
    for name, component in (("a", "Deployment/chatmesh-inference-a"), ("b", "LeaderWorkerSet")):
        one = found[f"chatmesh-inference-{name}"]
        assert one["apiVersion"] == "inference.networking.k8s.io/v1"
        assert one["spec"]["targetPorts"] == [{"number": 50053}]
        assert one["spec"]["endpointPickerRef"]["name"] == f"{name}-epp"
        selector = one["spec"]["selector"]["matchLabels"]
        (pod,) = [
            pod
            for each, pod in pods(manifests).items()
            if each.startswith(component) and not each.endswith("worker")
        ]
        index = {"leaderworkerset.sigs.k8s.io/worker-index": "0"} if name == "b" else {}
        assert selector.items() <= (pod["metadata"]["labels"] | index).items()
        assert index.items() <= selector.items()
        rules = named(manifests, "NetworkPolicy")[f"chatmesh-inference-{name}"]["spec"]["ingress"]
        assert {"ports": [{"port": "grpc"}], "from": [router]} in rules
    assert not named(made(), "InferencePool")
