"""The secrets of a release are made once."""

import base64

import pytest
from kubernetes.client import ApiException

from services.cluster.bootstrap import make
from services.cluster.view import Cluster
from services.gateway.admin_token import AdminToken
from tests.fakes.kubernetes import ApiServer
from tests.fakes.release import NAMESPACE, RELEASE, labels

NAME = "chatmesh-pepper"


def made(cluster: Cluster, key: str = "pepper") -> bool:
    return make(cluster.core, NAMESPACE, NAME, RELEASE, key)


@pytest.mark.parametrize(("key", "length"), [("pepper", 32), ("token", 43)])
def test_it_is_random_and_belongs_to_the_gateway(
    api: ApiServer, cluster: Cluster, key: str, length: int
) -> None:
    assert made(cluster, key)
    secret = api.find("secrets", NAME)
    assert secret["metadata"]["labels"] == labels("gateway")
    first = base64.b64decode(secret["data"][key])
    assert len(first) == length
    api.remove("secrets", NAME)
    assert made(cluster, key)
    assert base64.b64decode(api.find("secrets", NAME)["data"][key]) != first


def test_the_token_is_one_that_the_gateway_takes(api: ApiServer, cluster: Cluster) -> None:
    made(cluster, "token")
    token = base64.b64decode(api.find("secrets", NAME)["data"]["token"])
    AdminToken(lambda: token).check(token.decode("ascii"))


def test_one_that_is_there_is_left_alone(api: ApiServer, cluster: Cluster) -> None:
    made(cluster)
    before = dict(api.find("secrets", NAME)["data"])
    assert not made(cluster)
    assert api.find("secrets", NAME)["data"] == before


def test_a_refusal_ends_the_hook(api: ApiServer, cluster: Cluster) -> None:
    api.forbidden = {"secrets"}
    with pytest.raises(ApiException, match="cannot create resource"):
        made(cluster)
