"""A cluster's API server, and a release as it is read there."""

from collections.abc import Iterator

import pytest
from kubernetes import client

from services.cluster.view import Cluster
from tests.fakes.kubernetes import ApiServer, served
from tests.fakes.release import NAMESPACE, RELEASE


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served() as server:
        yield server


@pytest.fixture
def cluster(api: ApiServer) -> Iterator[Cluster]:
    with client.ApiClient(client.Configuration(host=api.url)) as opened:
        yield Cluster(opened, NAMESPACE, RELEASE)
