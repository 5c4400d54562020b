"""The replicas of a service as Kubernetes tells them. Imported only where Kubernetes is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiohttp import ClientError
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, DiscoveryV1Api
from kubernetes.aio.watch import Watch

from services.shared.background import in_background

_log = structlog.get_logger()
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# The API server ends a watch after this time, and another one begins.
_WATCH_SECONDS = 300

# Called with the replicas that take new calls, `host:port` and pod's name, and with the number of
# those that are starting: at first, and whenever either may have changed.
Learn = Callable[[Mapping[str, str], int], None]


@asynccontextmanager
async def slices_followed(service: str, port: int, learn: Learn) -> AsyncIterator[None]:
    """While within, tells `learn` the replicas of a headless service in this pod's namespace.

    If its EndpointSlices may not be read, that is logged and tried again, and nothing is told.
    """
    config.load_incluster_config()
    async with ApiClient() as api:
        headless = HeadlessService(service, port)
        follower = Follower(DiscoveryV1Api(api), own_namespace(), headless, learn)
        async with in_background(follower.follow):
            yield


def own_namespace() -> str:
    return _NAMESPACE.read_text().strip()


@dataclass(frozen=True, slots=True)
class HeadlessService:
    """A service without an address of its own: its callers connect to its pods."""

    name: str
    port: int
    # How long to wait, after a watch has ended or failed, until the slices are listed again.
    again_seconds: float = 1


class Follower:
    """Lists a service's EndpointSlices and then watches them, again and again."""

    def __init__(
        self, api: DiscoveryV1Api, namespace: str, service: HeadlessService, learn: Learn
    ) -> None:
        self._list = api.list_namespaced_endpoint_slice
        self._namespace = namespace
        self._service = service
        self._learn = learn

    async def follow(self) -> None:
        """Never returns."""
        while True:
            try:
                await self._follow_once()
            except (ApiException, ClientError, TimeoutError) as error:
                status = getattr(error, "status", None)
                _log.warning("endpoint slices unread", of=self._service.name, status=status)
            await asyncio.sleep(self._service.again_seconds)

    async def _follow_once(self) -> None:
        chosen = {"label_selector": f"kubernetes.io/service-name={self._service.name}"}
        listed = await self._list(self._namespace, **chosen)
        slices = {one.metadata.name: one for one in listed.items}
        self._learn(*replicas(slices.values(), self._service.port))
        since = {
            "resource_version": listed.metadata.resource_version,
            "timeout_seconds": _WATCH_SECONDS,
        }
        async with Watch() as watch:
            async for event in watch.stream(self._list, self._namespace, **chosen, **since):
                one = event["object"]
                if event["type"] == "DELETED":
                    slices.pop(one.metadata.name, None)
                else:
                    slices[one.metadata.name] = one
                self._learn(*replicas(slices.values(), self._service.port))


def replicas(slices: Iterable[Any], port: int) -> tuple[dict[str, str], int]:
    """Of `V1EndpointSlice`s: the pods that take new calls, by address, and how many are starting.

    Pods that are leaving are in neither.
    """
    endpoints = [each for one in slices for each in one.endpoints or ()]
    staying = [each for each in endpoints if not each.conditions.terminating]
    ready = [each for each in staying if each.conditions.ready is not False]
    pods = {
        _with_port(address, port): each.target_ref.name if each.target_ref else ""
        for each in ready
        for address in each.addresses
    }
    return pods, len(staying) - len(ready)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
