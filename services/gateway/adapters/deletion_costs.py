"""Tells Kubernetes which replica it may remove: the one with the fewest streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import ClientError
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api

from services.gateway.fleet import Fleet
from services.shared.endpoint_slices import own_namespace

_log = structlog.get_logger()
_COST = "controller.kubernetes.io/pod-deletion-cost"


class DeletionCosts:
    """Writes each replica's streams on its pod, where they have changed."""

    def __init__(self, fleet: Fleet, api: CoreV1Api, namespace: str) -> None:
        self._fleet = fleet
        self._api = api
        self._namespace = namespace
        self._written: dict[str, int] = {}

    async def write(self) -> None:
        costs = {
            replica.peer.pod: max(replica.load.running + replica.load.waiting, replica.in_flight)
            for state in self._fleet.pools.values()
            for replica in state.reported
            if replica.peer.pod
        }
        self._written = {pod: cost for pod, cost in self._written.items() if pod in costs}
        for pod, cost in costs.items():
            if self._written.get(pod) != cost:
                await self._write(pod, cost)

    async def _write(self, pod: str, cost: int) -> None:
        body = {"metadata": {"annotations": {_COST: str(cost)}}}
        try:
            await self._api.patch_namespaced_pod(pod, self._namespace, body)
        except (ApiException, ClientError) as error:
            # It may just have gone.
            status = getattr(error, "status", None)
            _log.warning("deletion cost not written", pod=pod, status=status)
            return
        self._written[pod] = cost


@asynccontextmanager
async def open_deletion_costs(fleet: Fleet) -> AsyncIterator[DeletionCosts]:
    config.load_incluster_config()
    async with ApiClient() as api:
        yield DeletionCosts(fleet, CoreV1Api(api), own_namespace())
