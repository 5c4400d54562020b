"""Where gateways find the Redis that they share, and that they may reach it."""

from tests.charts.conftest import named, pods, rendered

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
