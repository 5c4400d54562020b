"""What a caller makes of a generation's pieces."""

from collections.abc import Sequence

from services.inference.api import CallDelta, Delta, FinishReason, Parsed, ParsedCall, Piece


def deltas_of(pieces: Sequence[Piece], index: int = 0) -> list[Delta]:
    """Of one choice."""
    return [delta for piece in pieces for delta in piece.deltas if delta.index == index]


def text_of(pieces: Sequence[Piece], index: int = 0) -> str:
    return "".join(delta.text for delta in deltas_of(pieces, index))


def ids_of(pieces: Sequence[Piece], index: int = 0) -> list[int]:
    return [id for delta in deltas_of(pieces, index) for id in delta.ids]


def calls_of(pieces: Sequence[Piece]) -> list[CallDelta]:
    return [call for delta in deltas_of(pieces) for call in delta.calls]


def finish_of(pieces: Sequence[Piece]) -> FinishReason | None:
    return deltas_of(pieces)[-1].finish_reason


def read_whole(pieces: Sequence[Piece]) -> Parsed:
    """What a caller has in the end."""
    calls: dict[int, list[str]] = {}
    for call in calls_of(pieces):
        parts = calls.setdefault(call.index, ["", ""])
        parts[0] += call.name
        parts[1] += call.arguments
    reasoning = "".join(delta.reasoning for delta in deltas_of(pieces))
    return Parsed(text_of(pieces), reasoning, tuple(ParsedCall(*calls[n]) for n in sorted(calls)))
