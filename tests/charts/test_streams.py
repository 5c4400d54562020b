"""Where gateways find the Redis that they share, and that they may reach it."""

import yaml

from tests.charts.conftest import named, pods, refusal, refused_or_rendered, rendered

SECRET = "gateway.streams.existingSecret=shared"


def test_without_a_secret_turns_are_in_memory() -> None:
    made = rendered("values")
    (config,) = (
        each["data"]
        for each in named(made, "ConfigMap").values()
        if "GATEWAY_STREAMS_URL" in each.get("data", {})
    )
    assert config["GATEWAY_STREAMS_URL"] == "memory:"


def test_the_url_of_redis_is_a_file_of_a_secret() -> None:
    """A variable would show it to whoever may look at pods."""
    made = rendered("values", "--set", SECRET, "--set", "gateway.streams.key=redis-url")
    (config,) = (
        each["data"]
        for each in named(made, "ConfigMap").values()
        if "GATEWAY_STREAMS_URL" in each.get("data", {})
    )
    assert config["GATEWAY_STREAMS_URL"] == "file:/etc/chatmesh/streams/redis-url"
    (pod,) = (pod for name, pod in pods(made).items() if name.endswith("chatmesh-gateway"))
    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "streams")
    assert volume["secret"]["secretName"] == "shared"
    (container,) = pod["spec"]["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "streams")
    assert mount["mountPath"] == "/etc/chatmesh/streams"
    assert mount["readOnly"]


def test_gateways_may_reach_redis_only_where_there_is_one() -> None:
    def ports(*options: str) -> set[object]:
        policies = named(rendered("values", *options), "NetworkPolicy")
        (policy,) = (each for name, each in policies.items() if name.endswith("-gateway"))
        rules = policy["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule.get("ports", ())}

    assert {6379, 26379} & ports() == set()
    assert {6379, 26379} <= ports("--set", SECRET)


def test_several_gateways_need_redis_and_a_server_for_accounts() -> None:
    shared = {"existingSecret": "there"}
    several = {"replicas": 3, "streams": shared, "store": shared}
    for missing in ("streams", "store"):
        gateway = {**several, missing: {"existingSecret": ""}}
        assert "/gateway/replicas" in refusal({"gateway": gateway}), missing
    _, refused = refused_or_rendered({"gateway": several})
    assert not refused


def test_where_all_is_thrice_every_service_is_spread_and_guarded() -> None:
    made = rendered("values-ha")
    deployments = named(made, "Deployment")
    for service in ("gateway", "context-assembly", "memory", "tokenizer", "moderation"):
        (deployment,) = (each for name, each in deployments.items() if name.endswith(service))
        assert deployment["spec"]["replicas"] == 3
        assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert any(name.endswith(service) for name in named(made, "PodDisruptionBudget"))


def test_gateways_that_share_both_may_be_scaled_by_turns() -> None:
    shared = {"existingSecret": "there"}
    both = {"streams": shared, "store": shared, "scaling": {"enabled": True}}
    for missing in ("streams", "store"):
        gateway = {**both, missing: {"existingSecret": ""}}
        assert "/gateway/scaling/enabled" in refusal({"gateway": gateway}), missing
    shown, refused = refused_or_rendered({"gateway": both, "keda": {"enabled": True}})
    assert not refused
    made = [each for each in yaml.safe_load_all(shown) if each]
    assert "replicas" not in named(made, "Deployment")["chatmesh-gateway"]["spec"]
    scaled = named(made, "ScaledObject")["chatmesh-gateway"]["spec"]
    (trigger,) = scaled["triggers"]
    assert (trigger["metadata"]["service"], trigger["metadata"]["turns"]) == ("gateway", "100")
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 8)
