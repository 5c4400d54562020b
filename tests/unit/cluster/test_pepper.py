"""The secret under which keys are hashed is made once."""

import base64

import pytest
from kubernetes.client import ApiException

from services.cluster.pepper import make
from services.cluster.view import Cluster
from tests.fakes.kubernetes import ApiServer
from tests.fakes.release import NAMESPACE, RELEASE, labels

NAME = "chatmesh-pepper"


def made(cluster: Cluster) -> bool:
    return make(cluster.core, NAMESPACE, NAME, RELEASE)


def test_it_is_32_random_bytes_and_belongs_to_the_gateway(api: ApiServer, cluster: Cluster) -> None:
    assert made(cluster)
    secret = api.find("secrets", NAME)
    assert secret["metadata"]["labels"] == labels("gateway")
    pepper = base64.b64decode(secret["data"]["pepper"])
    assert len(pepper) == 32
    api.remove("secrets", NAME)
    assert made(cluster)
    assert base64.b64decode(api.find("secrets", NAME)["data"]["pepper"]) != pepper


def test_one_that_is_there_is_left_alone(api: ApiServer, cluster: Cluster) -> None:
    made(cluster)
    before = dict(api.find("secrets", NAME)["data"])
    assert not made(cluster)
    assert api.find("secrets", NAME)["data"] == before


def test_a_refusal_ends_the_hook(api: ApiServer, cluster: Cluster) -> None:
    api.forbidden = {"secrets"}
    with pytest.raises(ApiException, match="cannot create resource"):
        made(cluster)
