"""What people and pods may do by the roles that the chart makes."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from services.gateway.config import GatewayConfig
from tests.charts.conftest import CHART, Manifest, named, pods, rendered

Rule = dict[str, Any]
PRICED = ("--set", "podDeletionCosts.enabled=true")
# By these a person reaches into any pod: its files, its memory, and every port of it.
INTO_PODS = {"pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"}
TOKEN, ADMIN = "chatmesh-admin-token", "chatmesh-gateway-admin"


def rules(name: str, *options: str) -> Sequence[Rule]:
    found: Sequence[Rule] = named(rendered("values", *options), "Role")[f"chatmesh-{name}"]["rules"]
    return found


def granted(name: str, *options: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Resource, verb and the names to which that is limited; no name: all."""
    for rule in rules(name, *options):
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield resource, verb, rule.get("resourceNames", ())


def test_who_makes_keys_reaches_their_port_and_their_token_and_nothing_else() -> None:
    wanted: list[tuple[str, str, Sequence[str]]] = [
        ("services", "get", ()),
        ("services", "list", ()),
        ("services/proxy", "get", [f"{ADMIN}:admin"]),
        ("services/proxy", "create", [f"{ADMIN}:admin"]),
        ("secrets", "get", [TOKEN]),
    ]
    assert list(granted("keys")) == wanted


def test_who_looks_reaches_one_port_of_metrics_and_no_pod_and_no_secret() -> None:
    reached = {each[0]: (each[1], each[2]) for each in granted("viewer") if "/" in each[0]}
    assert reached == {
        "pods/log": ("get", ()),
        "services/proxy": ("get", [f"{ADMIN}:metrics"]),
    }
    assert "secrets" not in {resource for resource, _, _ in granted("viewer")}
    assert {verb for _, verb, _ in granted("viewer")} == {"get", "list", "watch"}


@pytest.mark.parametrize(
    ("options", "uses", "seen"),
    [
        ((), "", set()),
        (
            ("edge.grpcRoute.enabled=true", "edge.grpcRoute.parentRefs[0].name=front"),
            "grpcRoute",
            {"httproutes", "grpcroutes"},
        ),
        (
            ("edge.httpRoute.enabled=true", "edge.httpRoute.parentRefs[0].name=front"),
            "httpRoute",
            {"httproutes", "grpcroutes"},
        ),
        (("edge.ingress.enabled=true", "edge.ingress.host=a.example"), "ingress", {"ingresses"}),
        (("keda.enabled=true",), "keda", set()),
    ],
)
def test_the_viewer_sees_the_ways_in_that_are_used_and_doctor_is_told_which(
    options: Sequence[str], uses: str, seen: set[str]
) -> None:
    given = tuple(word for one in options for word in ("--set", one))
    routes = {"httproutes", "grpcroutes", "ingresses"}
    for role in ("viewer", "operator"):
        assert {each[0] for each in granted(role, *given)} & routes == seen
    service = named(rendered("values", *given), "Service")[ADMIN]
    assert service["metadata"]["annotations"]["chatmesh.io/uses"] == uses


@pytest.mark.parametrize("values", ["values", "values-local", "values-aks"])
def test_no_role_reaches_into_pods(values: str) -> None:
    for name, role in named(rendered(values, *PRICED), "Role").items():
        for rule in role["rules"]:
            assert not INTO_PODS & set(rule["resources"]), name
            assert "*" not in {*rule["resources"], *rule["verbs"], *rule["apiGroups"]}, name


def test_the_gateway_patches_pods_only_where_that_is_asked_for() -> None:
    assert not [each for each in granted("gateway") if each[0] == "pods"]
    assert ("pods", "patch", ()) in granted("gateway", *PRICED)


def test_the_roles_name_a_service_a_port_and_a_secret_that_are_there() -> None:
    manifests = rendered("values")
    service = named(manifests, "Service")[ADMIN]
    gateway = pods(manifests)["Deployment/chatmesh-gateway"]
    (container,) = gateway["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {one["name"]: ports[one["targetPort"]] for one in service["spec"]["ports"]} == {
        "admin": 8001,
        "metrics": 9090,
    }
    assert service["spec"]["selector"].items() <= gateway["metadata"]["labels"].items()
    assert service["metadata"]["annotations"]["chatmesh.io/token-secret"] == TOKEN
    settings = named(manifests, "ConfigMap")["chatmesh-gateway"]["data"]
    config = GatewayConfig(
        admin_address=settings["GATEWAY_ADMIN_ADDRESS"],
        admin_token_file=settings["GATEWAY_ADMIN_TOKEN_FILE"],
    )
    assert config.admin_address == f"0.0.0.0:{ports['admin']}"
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "admin-token"]
    assert str(config.admin_token_file) == f"{mount['mountPath']}/token"
    (volume,) = [one for one in gateway["spec"]["volumes"] if one["name"] == "admin-token"]
    assert volume["secret"]["secretName"] == TOKEN


def public(manifests: Sequence[Manifest]) -> Iterator[object]:
    """The target ports of what the world may be led to."""
    led = named(manifests, "Service")["chatmesh"]
    for kind in ("HTTPRoute", "GRPCRoute"):
        for route in named(manifests, kind).values():
            for rule in route["spec"]["rules"]:
                assert {one["name"] for one in rule["backendRefs"]} == {"chatmesh"}
    yield from (port["targetPort"] for port in led["spec"]["ports"])


@pytest.mark.parametrize("values", ["values", "values-aks"])
def test_no_public_way_leads_to_the_administration(values: str) -> None:
    assert set(public(rendered(values))) == {"http", "grpc"}


@pytest.mark.parametrize(
    ("pepper", "token", "made"),
    [
        ("", "", ["pepper=chatmesh-pepper", f"token={TOKEN}"]),
        ("mine", "", [f"token={TOKEN}"]),
        ("", "mine", ["pepper=chatmesh-pepper"]),
        ("mine", "mine", None),
    ],
)
def test_the_secrets_that_nobody_has_made_are_made(
    pepper: str, token: str, made: list[str] | None
) -> None:
    given = f"gateway.pepper.existingSecret={pepper},gateway.adminToken.existingSecret={token}"
    options = ("--set", given)
    manifests = rendered("values", *options)
    jobs = named(manifests, "Job")
    if made is None:
        assert "chatmesh-bootstrap" not in jobs
    else:
        (container,) = jobs["chatmesh-bootstrap"]["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["services.cluster.bootstrap", "chatmesh", *made]
    wanted = token or TOKEN
    annotations = named(manifests, "Service")[ADMIN]["metadata"]["annotations"]
    assert annotations["chatmesh.io/token-secret"] == wanted
    assert ("secrets", "get", [wanted]) in granted("keys", *options)


def test_without_roles_none_is_made_and_the_port_is_there_all_the_same() -> None:
    manifests = rendered("values", "--set", "roles.enabled=false")
    assert not {"chatmesh-viewer", "chatmesh-operator", "chatmesh-keys"} & set(
        named(manifests, "Role")
    )
    assert ADMIN in named(manifests, "Service")


def test_the_token_is_in_no_manifest() -> None:
    """Two renders are alike: what would be made up by a template would differ."""
    command = ["helm", "template", "chatmesh", str(CHART)]
    shown = {
        subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
        for _ in range(2)
    }
    assert len(shown) == 1
    assert "kind: Secret\n" not in shown.pop()
