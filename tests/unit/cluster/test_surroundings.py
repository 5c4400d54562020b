"""What is wrong around a release's pods is named with its remedy."""

from collections.abc import Sequence

import pytest

from services import __version__
from services.cluster.doctor import examine
from services.cluster.finding import Finding
from services.cluster.view import Cluster
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.measured import gateway_metrics
from tests.fakes.release import (
    NAMESPACE,
    RELEASE,
    admin_service,
    claim,
    deployment,
    event,
    labels,
    pod,
    scaled_object,
)

POOL = "inference-large"
NEIGHBOUR, FAR = "0.1.0", "0.9.0"


def found(cluster: Cluster) -> Sequence[Finding]:
    return examine(cluster, cluster.view()).findings


def resting_pool(*objects: Json) -> tuple[Json, ...]:
    return deployment(POOL, wanted=0, ready=0, updated=0), *objects


def condition(kind: str, status: str, message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": kind, "message": message}


@pytest.mark.parametrize("paused", ["paused_replicas", "paused"])
def test_a_pool_that_was_put_to_sleep_by_hand(
    api: ApiServer, cluster: Cluster, paused: str
) -> None:
    api.add(*resting_pool(scaled_object(POOL, **{paused: "0"})), admin_service("keda"))
    api.add(deployment("gateway"), pod("gateway"))
    api.metrics["chatmesh-gateway-0"] = gateway_metrics({"large": {}}, held={"large": 3})
    assert found(cluster) == [
        Finding(
            POOL,
            "it was put to sleep by hand, and no request wakes it; 3 turns wait for it",
            "kubectl chatmesh wake large",
        )
    ]


@pytest.mark.parametrize("uses", ["", "keda"])
def test_a_pool_that_sleeps_and_that_nothing_scales(
    api: ApiServer, cluster: Cluster, uses: str
) -> None:
    api.add(*resting_pool(), admin_service(uses))
    (finding,) = found(cluster)
    assert finding.what == "it has no replica, and nothing scales it"
    assert finding.remedy == "kubectl chatmesh wake large"


def test_a_pool_that_sleeps_until_it_is_needed_is_well(api: ApiServer, cluster: Cluster) -> None:
    api.add(*resting_pool(scaled_object(POOL)), admin_service("keda"))
    assert not found(cluster)


def test_what_keda_says_of_a_scaler_that_it_does_not_reach(
    api: ApiServer, cluster: Cluster
) -> None:
    said = condition("Ready", "False", "ScaledObject doesn't have correct triggers specification")
    api.add(deployment(POOL), pod(POOL), scaled_object(POOL, said), admin_service("keda"))
    (finding,) = found(cluster)
    assert finding.what == f"KEDA cannot scale it: {said['message']}"
    assert "networkPolicies.keda" in finding.remedy


def test_a_cluster_where_no_keda_runs(api: ApiServer, cluster: Cluster) -> None:
    untouched = scaled_object(POOL)
    untouched["status"] = {}
    api.add(deployment(POOL), pod(POOL), untouched, admin_service("keda"))
    (finding,) = found(cluster)
    assert finding.what.startswith("no KEDA operator has taken its ScaledObject up")


def test_what_the_release_does_not_use_is_not_asked_for(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), pod("gateway"), admin_service())
    api.forbidden = {"scaledobjects", "httproutes", "grpcroutes", "ingresses"}
    examined = examine(cluster, cluster.view())
    assert (examined.findings, examined.unseen) == ([], [])


def test_what_is_used_and_may_not_be_seen_is_told(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("gateway"), pod("gateway"), admin_service("keda,httpRoute"))
    api.forbidden = {"scaledobjects", "httproutes", "persistentvolumeclaims"}
    examined = examine(cluster, cluster.view())
    assert examined.findings == []
    assert examined.unseen == [
        f"{kind}: you may not list them"
        for kind in ("scaledobjects", "httproutes", "persistentvolumeclaims")
    ]


def route(kind: str, *parents: Json) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "chatmesh-http", "namespace": NAMESPACE, "labels": labels("http")},
        "spec": {},
        "status": {"parents": list(parents)},
    }


def parent(*conditions: Json) -> Json:
    return {"parentRef": {"name": "edge"}, "conditions": list(conditions)}


@pytest.mark.parametrize(
    ("kind", "use", "where"),
    [
        ("HTTPRoute", "httpRoute", "httproute chatmesh-http"),
        ("GRPCRoute", "grpcRoute", "grpcroute chatmesh-http"),
    ],
)
def test_a_route_that_no_gateway_takes(
    api: ApiServer, cluster: Cluster, kind: str, use: str, where: str
) -> None:
    api.add(deployment("gateway"), pod("gateway"), admin_service(use))
    api.add(route(kind, parent(condition("Accepted", "True"))))
    assert not found(cluster)
    api.add(route(kind))
    (finding,) = found(cluster)
    assert finding.where == where
    assert finding.what.startswith("no Gateway has taken it up")
    refused = condition("Accepted", "False", "No matching listener")
    api.add(route(kind, parent(refused, condition("ResolvedRefs", "True"))))
    (finding,) = found(cluster)
    assert finding.what == "gateway edge does not serve it (Accepted): No matching listener"


def test_an_ingress_and_a_load_balancer_without_an_address(
    api: ApiServer, cluster: Cluster
) -> None:
    metadata = {"name": "chatmesh-http", "namespace": NAMESPACE, "labels": labels("http")}
    ingress: Json = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata}
    public = admin_service()
    public["metadata"] |= {"name": RELEASE, "labels": labels("gateway")}
    public["spec"] = {"type": "LoadBalancer"}
    public["status"] = {"loadBalancer": {}}
    api.add(deployment("gateway"), pod("gateway"), admin_service("ingress"), ingress, public)
    api.add(event("Service", RELEASE, "SyncLoadBalancerFailed", "quota of addresses"))
    ingress_finding, balancer = found(cluster)
    assert ingress_finding.where == "ingress chatmesh-http"
    assert balancer.what == "its load balancer has no address: quota of addresses"
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    ingress["status"] = public["status"] = address
    assert not found(cluster)


def test_a_claim_says_why_nobody_makes_its_volume(api: ApiServer, cluster: Cluster) -> None:
    api.add(deployment("memory"), pod("memory"), claim("memory", "Pending", "fast"))
    name = "chatmesh-memory"
    words = 'storageclass.storage.k8s.io "fast" not found'
    api.add(event("PersistentVolumeClaim", name, "ProvisioningFailed", words))
    (finding,) = found(cluster)
    assert finding.what == f"it is Pending: {words}"
    later = event(
        "PersistentVolumeClaim",
        name,
        "WaitForFirstConsumer",
        "waiting for first consumer",
        normal=True,
        at="2026-01-01T10:00:00Z",
    )
    api.add(later)
    assert not found(cluster)


def test_a_claim_that_only_a_pod_names_and_one_whose_volume_is_gone(
    api: ApiServer, cluster: Cluster
) -> None:
    weights = claim("weights", "Pending")
    weights["metadata"] |= {"name": "weights", "labels": {}}
    strangers = claim("strangers", "Pending")
    strangers["metadata"] |= {"name": "strangers", "labels": {}}
    api.add(deployment(POOL), pod(POOL, claim="weights"), weights, strangers)
    api.add(claim("memory", "Lost"))
    told = {one.where: one.what for one in found(cluster)}
    assert set(told) == {"volume weights", "volume chatmesh-memory"}
    assert told["volume chatmesh-memory"] == "it is Lost: the volume behind it is gone"


def of_version(component: str, version: str) -> Json:
    made = deployment(component)
    made["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] = version
    return made


def test_services_of_different_releases_and_a_plugin_that_is_too_far_from_them(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(of_version("gateway", NEIGHBOUR), of_version("memory", __version__))
    api.add(pod("gateway"), pod("memory"))
    (finding,) = found(cluster)
    told = f"gateway {NEIGHBOUR}, memory {__version__}"
    assert finding.what == f"its services are of different releases: {told}"
    api.add(of_version("gateway", FAR), of_version("memory", FAR))
    (finding,) = found(cluster)
    assert finding.what == f"it is of {__version__}, and the release of {FAR}"
    api.add(of_version("gateway", "mine"), of_version("memory", "mine"))
    assert not found(cluster)
