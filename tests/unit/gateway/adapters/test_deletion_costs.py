"""What is written on the pods of replicas."""

from dataclasses import replace
from typing import Any

import pytest
from kubernetes.aio.client import ApiException

from services.gateway.adapters.deletion_costs import DeletionCosts
from tests.unit.gateway.test_fleet import LOAD, A, B, site


class Pods:
    """Keeps the annotations; some pods are gone."""

    def __init__(self, *gone: str) -> None:
        self._gone = gone
        self.written: list[tuple[str, str]] = []

    async def patch_namespaced_pod(self, name: str, namespace: str, body: Any) -> None:
        assert namespace == "chat"
        if name in self._gone:
            raise ApiException(status=404)
        (cost,) = body["metadata"]["annotations"].values()
        self.written.append((name, cost))


@pytest.mark.parametrize("gone", [(), ("pod-a",)])
async def test_only_what_has_changed_is_written(gone: tuple[str, ...]) -> None:
    pods = Pods(*gone)
    async with site(A, B) as here:
        here.replicas[A].tell(replace(LOAD, running=3, waiting=1))
        here.replicas[B].tell()
        await here.until(A, B)
        costs = DeletionCosts(here.fleet, pods, "chat")
        await costs.write()
        expected = [("pod-a", "4"), ("pod-b", "0")]
        assert pods.written == [one for one in expected if one[0] not in gone]
        await costs.write()
        here.replicas[B].tell(replace(LOAD, running=2))
        await here.until_running(B, 2)
        await costs.write()
        assert pods.written[-1] == ("pod-b", "2")
        assert len(pods.written) == len(expected) + 1 - len(gone)
