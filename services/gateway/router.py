"""Which replica generates: the least busy one; another if it fails before its first piece."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.gateway.fleet import Fleet, Replica, ReplicaStart
from services.inference.api import Calling, Generation, Parsed, Piece
from services.shared.errors import MeshError

_MOST_ATTEMPTS = 3
# The statuses after which another replica, or the same one after a restart, may succeed.
_GONE, _FULL = "UNAVAILABLE", "RESOURCE_EXHAUSTED"


class Router:
    """`Generates` over a whole fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        """A replica that fails after its first piece fails the generation: nothing is repeated."""
        tried: set[ReplicaStart] = set()
        failure: MeshError | None = None
        while True:
            replica = await self._replica(generation, tried, failure)
            tried.add((replica, replica.starts))
            begun = False
            try:
                with replica.working():
                    async with aclosing(replica.inference.generate(generation)) as pieces:
                        async for piece in pieces:
                            begun = True
                            yield piece
                return
            except MeshError as error:
                if begun or error.status not in {_GONE, _FULL}:
                    raise
                failure = error
            finally:
                self._fleet.changed.notify()

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        replica = await self._fleet.pick(model, 0)
        return await replica.inference.parse(model, prompt_ids, output_ids, calling, stop)

    async def _replica(
        self, generation: Generation, tried: set[ReplicaStart], failure: MeshError | None
    ) -> Replica:
        if failure and len(tried) == _MOST_ATTEMPTS:
            raise failure
        # When replicas are full, their own queues are waiting already: another wait helps nobody.
        wait = failure is None or failure.status == _GONE
        try:
            return await self._fleet.pick(
                generation.model, len(generation.prompt_ids), tried, wait=wait
            )
        except MeshError as error:
            # The last replica's own failure says more than that no other replica is there.
            raise failure or error from None
