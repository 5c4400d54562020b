"""The replicas of a service as Kubernetes tells them. Imported only where Kubernetes is."""

import asyncio
from collections.abc import AsyncIterator, Iterable
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
from services.shared.peers import Peer, Peers

_log = structlog.get_logger()
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# How long a watch lasts.
_WATCH_SECONDS = 300
# A replica that is alone is replaced by another within this, on a busy node too: it lets its calls
# end, goes, and the next one starts.
_PATIENCE_SECONDS = 45


@asynccontextmanager
async def followed_slices(service: str, port: int) -> AsyncIterator[Peers]:
    """The replicas of a headless service in this pod's namespace, by its EndpointSlices.

    Until they are known, or if they may not be read, the service's name is all that is known of it.
    """
    peers = Peers([Peer(f"{service}:{port}")], _PATIENCE_SECONDS)
    config.load_incluster_config()
    async with ApiClient() as api:
        follower = Follower(DiscoveryV1Api(api), own_namespace(), Followed(service, port), peers)
        async with in_background(follower.follow):
            yield peers


def own_namespace() -> str:
    return _NAMESPACE.read_text().strip()


@dataclass(frozen=True, slots=True)
class Followed:
    """A headless service and its port; a watch that ended is begun anew after `again_seconds`."""

    service: str
    port: int
    again_seconds: float = 1


class Follower:
    """Lists a service's EndpointSlices and watches them, for ever."""

    def __init__(self, api: DiscoveryV1Api, namespace: str, of: Followed, peers: Peers) -> None:
        self._list = api.list_namespaced_endpoint_slice
        self._namespace = namespace
        self._of = of
        self._peers = peers

    async def follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except (ApiException, ClientError, TimeoutError) as error:
                status = getattr(error, "status", None)
                _log.warning("endpoint slices unread", of=self._of.service, status=status)
            await asyncio.sleep(self._of.again_seconds)

    async def _follow_once(self) -> None:
        chosen = {"label_selector": f"kubernetes.io/service-name={self._of.service}"}
        listed = await self._list(self._namespace, **chosen)
        slices = {one.metadata.name: one for one in listed.items}
        self._peers.become(*found(slices.values(), self._of.port))
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
                self._peers.become(*found(slices.values(), self._of.port))


def found(slices: Iterable[Any], port: int) -> tuple[list[Peer], int]:
    """Of `V1EndpointSlice`s: who takes new calls, and how many more start; not who leaves."""
    endpoints = [each for one in slices for each in one.endpoints or ()]
    staying = [each for each in endpoints if not each.conditions.terminating]
    ready = [each for each in staying if each.conditions.ready is not False]
    peers = {
        Peer(_at(address, port), each.target_ref.name if each.target_ref else "")
        for each in ready
        for address in each.addresses
    }
    return sorted(peers), len(staying) - len(ready)


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
