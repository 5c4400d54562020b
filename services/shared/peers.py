"""Where a service's replicas are, as they come and go."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

KUBERNETES = "kubernetes:"
# A peer at a fixed address that was restarted takes calls again within this.
_RESTART_SECONDS = 5


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """One replica. `pod` is its name where Kubernetes told its address."""

    address: str
    pod: str = ""


class Peers:
    """Those replicas of a service that take new calls."""

    def __init__(self, known: Iterable[Peer], patience_seconds: float = 0) -> None:
        # How long a call may wait for a replica where there is none; 0: it fails at once.
        self.patience_seconds = patience_seconds
        self.known = tuple(sorted(known))
        # How many more start, and take no calls yet.
        self.coming = 0
        self._changed = asyncio.Event()

    def become(self, known: Iterable[Peer], coming: int = 0) -> None:
        found = tuple(sorted(known))
        if (found, coming) != (self.known, self.coming):
            self.known, self.coming = found, coming
            self._changed.set()

    async def changed(self) -> None:
        """Returns at the next change, or at once when there was one since the last call."""
        await self._changed.wait()
        self._changed.clear()


@asynccontextmanager
async def followed(address: str) -> AsyncIterator[Peers]:
    """The replicas at `host:port`, which gRPC resolves, or of `kubernetes:<service>:<port>`."""
    if not address.startswith(KUBERNETES):
        yield Peers([Peer(address)], _RESTART_SECONDS)
        return
    # Half a second, and only where Kubernetes is.
    from services.shared.endpoint_slices import followed_slices  # noqa: PLC0415

    service, _, port = address.removeprefix(KUBERNETES).rpartition(":")
    async with followed_slices(service, int(port)) as peers:
        yield peers
