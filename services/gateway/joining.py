"""A model's pieces, of which those that wait come as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from services.inference.api import Delta, Piece
from services.shared.background import end
from services.shared.signal import Signal

# So many pieces may wait. Beyond that the model's replica is not listened to, and it waits too.
_MOST_WAITING = 64


async def joined(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Listens to `pieces` while its own caller is still busy with the piece before.

    Each piece costs a note and an event in Redis, and an event for each reader. While all that is
    fast enough, every piece comes as it is; where the model is faster, several come as one. The
    texts of each choice, its tokens and their order stay. Whoever has made `pieces` closes it.
    """
    waiting: list[Piece] = []
    came, went = Signal(), Signal()

    async def listen() -> None:
        async for piece in pieces:
            while len(waiting) >= _MOST_WAITING:
                await went.wait()
            waiting.append(piece)
            came.notify()

    listening = asyncio.create_task(listen())
    listening.add_done_callback(lambda _: came.notify())
    try:
        while waiting or not listening.done():
            if not waiting:
                await came.wait()
                continue
            piece = _joined(waiting)
            waiting.clear()
            went.notify()
            yield piece
        # With what the pieces ended, where they failed.
        listening.result()
    finally:
        await end(listening)


def _joined(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    deltas: list[Delta] = []
    # Where in `deltas` the last of each choice stands.
    places: dict[int, int] = {}
    for delta in (delta for piece in pieces for delta in piece.deltas):
        place = places.get(delta.index)
        if place is not None and _alike(deltas[place], delta):
            deltas[place] = _longer(deltas[place], delta)
        else:
            places[delta.index] = len(deltas)
            deltas.append(delta)
    return Piece(tuple(deltas), pieces[-1].usage)


def _alike(first: Delta, second: Delta) -> bool:
    """Whether both are text alone, or reasoning alone: then nothing of their order is lost."""
    if first.calls or second.calls or first.finish_reason:
        return False
    return not ((first.text or second.text) and (first.reasoning or second.reasoning))


def _longer(first: Delta, second: Delta) -> Delta:
    return Delta(
        second.index,
        (*first.ids, *second.ids),
        first.text + second.text,
        first.reasoning + second.reasoning,
        second.calls,
        (*first.logprobs, *second.logprobs),
        second.finish_reason,
    )
