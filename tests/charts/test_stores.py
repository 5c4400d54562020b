"""Stores on servers: their URLs are in secrets alone."""

import json

import pytest
import yaml

from tests.charts.conftest import (
    CHART,
    Manifest,
    named,
    pods,
    refusal,
    refused_or_rendered,
    rendered,
)

STORES = {
    "gateway": "GATEWAY_ACCOUNTS_URL",
    "context-assembly": "CONTEXT_ASSEMBLY_TURNS_URL",
    "memory": "MEMORY_STORE_URL",
}


def on_server(service: str, **more: object) -> tuple[str, ...]:
    told = {"store": {"existingSecret": "kept-there", "key": "dsn", **more}}
    return ("--set-json", f"{service}={json.dumps(told)}")


def store_of(pod: Manifest) -> tuple[Manifest, Manifest]:
    """Its volume, and where its container has it."""
    (container,) = pod["spec"]["containers"]
    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "store")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "store")
    return volume, mount


@pytest.mark.parametrize("service", STORES)
def test_a_url_is_read_from_a_secret_by_the_service_and_by_what_migrates(service: str) -> None:
    manifests = rendered("values", *on_server(service))
    found = pods(manifests)
    for name in (f"Deployment/chatmesh-{service}", f"Job/chatmesh-migrate-{service}"):
        volume, mount = store_of(found[name])
        assert volume["secret"] == {"secretName": "kept-there", "defaultMode": 0o440}
        assert mount["mountPath"] == "/etc/chatmesh/store"
        assert mount["readOnly"]
    settings = named(manifests, "ConfigMap")[f"chatmesh-{service}"]["data"]
    assert settings[STORES[service]] == "file:/etc/chatmesh/store/dsn"
    (migrating,) = found[f"Job/chatmesh-migrate-{service}"]["spec"]["containers"]
    assert migrating["env"] == [{"name": STORES[service], "value": "file:/etc/chatmesh/store/dsn"}]
    assert not found[f"Job/chatmesh-migrate-{service}"]["spec"].get("affinity")


@pytest.mark.parametrize("service", STORES)
def test_a_server_needs_no_volume_and_no_wait_for_it(service: str) -> None:
    claims = named(rendered("values", *on_server(service)), "PersistentVolumeClaim")
    assert set(claims) == {f"chatmesh-{other}" for other in STORES if other != service}
    for options, strategy in ((on_server(service), "RollingUpdate"), ((), "Recreate")):
        deployment = named(rendered("values", *options), "Deployment")[f"chatmesh-{service}"]
        assert deployment["spec"]["strategy"]["type"] == strategy


def test_only_who_keeps_something_on_a_server_reaches_it_and_what_migrates() -> None:
    rule = {"ports": [{"port": 6432}]}
    policies = named(rendered("values", *on_server("memory", egress=[rule])), "NetworkPolicy")
    reaching = {
        name for name, policy in policies.items() if rule in policy["spec"].get("egress", ())
    }
    assert reaching == {"chatmesh-memory", "chatmesh-migrate"}
    assert "egress" not in named(rendered("values"), "NetworkPolicy")["chatmesh-migrate"]["spec"]


@pytest.mark.parametrize("service", ["context-assembly", "memory"])
def test_several_share_a_server_and_none_a_volume(service: str) -> None:
    base = yaml.safe_load((CHART / "values.yaml").read_text())
    base[service]["replicas"] = 3
    assert "replicas" in refusal(base)
    base[service]["store"]["existingSecret"] = "kept-there"
    shown, refused = refused_or_rendered(base)
    assert not refused
    assert f"name: chatmesh-{service}" in shown
