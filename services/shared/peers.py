"""Where a service's replicas are, as they come and go."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

KUBERNETES = "kubernetes:"
# Within this time a restarted replica at a fixed address takes calls again.
_RESTART_SECONDS = 5
# Kubernetes replaces a replica that is the only one within this time, on a busy node too: the old
# one lets its calls end and goes, and only then the next one starts.
_REPLACEMENT_SECONDS = 45


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """One replica's address, `host:port`. `pod` is its pod's name, where Kubernetes knows it."""

    address: str
    pod: str = ""


class Peers:
    """The replicas of a service that take new calls."""

    def __init__(self, known: Iterable[Peer], patience_seconds: float = 0) -> None:
        # How long a call may wait for a replica when there is none. 0: it fails at once.
        self.patience_seconds = patience_seconds
        self.known = tuple(sorted(known))
        # How many more are starting and take no calls yet.
        self.coming = 0
        self._changed = asyncio.Event()

    def become(self, known: Iterable[Peer], coming: int = 0) -> None:
        found = tuple(sorted(known))
        if (found, coming) != (self.known, self.coming):
            self.known, self.coming = found, coming
            self._changed.set()

    async def changed(self) -> None:
        """Returns at the next change, or at once if there was one since the last call of this."""
        await self._changed.wait()
        self._changed.clear()


@asynccontextmanager
async def followed(address: str) -> AsyncIterator[Peers]:
    """The replicas at `address`, followed while within.

    `host:port` is one name, which gRPC resolves. `kubernetes:<service>:<port>` is a headless
    service, whose replicas are those of its EndpointSlices. Until these are read, and for as long
    as they may not be read, the service's name stands for all replicas.
    """
    if not address.startswith(KUBERNETES):
        yield Peers([Peer(address)], _RESTART_SECONDS)
        return
    # Importing it takes half a second, and is needed only where Kubernetes is.
    from services.shared.endpoint_slices import slices_followed  # noqa: PLC0415

    service, _, port = address.removeprefix(KUBERNETES).rpartition(":")
    peers = Peers([Peer(f"{service}:{port}")], _REPLACEMENT_SECONDS)

    def learn(pods: Mapping[str, str], starting: int) -> None:
        peers.become((Peer(where, pod) for where, pod in pods.items()), starting)

    async with slices_followed(service, int(port), learn):
        yield peers
