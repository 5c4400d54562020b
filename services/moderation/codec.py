"""How moderation's types look on the wire; pure functions, both directions."""

from collections.abc import Sequence

from chatmesh.moderation.v1 import moderation_pb2 as pb

from services.moderation.api import Action, Direction, Grown, Release, Span, Verdict
from services.shared.codec import known

_DIRECTIONS = {
    pb.DIRECTION_INPUT: Direction.INPUT,
    pb.DIRECTION_OUTPUT: Direction.OUTPUT,
}
_DIRECTIONS_OUT = {ours: theirs for theirs, ours in _DIRECTIONS.items()}

_ACTIONS = {
    pb.ACTION_PASS: Action.PASS,
    pb.ACTION_REWRITE: Action.REWRITE,
    pb.ACTION_BLOCK: Action.BLOCK,
}
_ACTIONS_OUT = {ours: theirs for theirs, ours in _ACTIONS.items()}


def screen_in(request: pb.ScreenRequest) -> tuple[Sequence[str], Direction]:
    return request.texts, known(_DIRECTIONS, request.direction, "direction")


def screen_out(texts: Sequence[str], direction: Direction) -> pb.ScreenRequest:
    return pb.ScreenRequest(texts=texts, direction=_DIRECTIONS_OUT[direction])


def verdicts_in(response: pb.ScreenResponse) -> Sequence[Verdict]:
    return [_verdict_in(verdict) for verdict in response.verdicts]


def verdicts_out(verdicts: Sequence[Verdict]) -> pb.ScreenResponse:
    return pb.ScreenResponse(verdicts=map(_verdict_out, verdicts))


def grown_in(request: pb.WatchRequest) -> Grown:
    return Grown(request.text, request.final, request.judged)


def grown_out(grown: Grown) -> pb.WatchRequest:
    return pb.WatchRequest(text=grown.text, final=grown.final, judged=grown.judged)


def release_in(response: pb.WatchResponse) -> Release:
    return Release(response.released, response.blocked_by, response.next_words)


def release_out(release: Release) -> pb.WatchResponse:
    return pb.WatchResponse(
        released=release.text, blocked_by=release.blocked_by, next_words=release.next_words
    )


def _verdict_in(verdict: pb.Verdict) -> Verdict:
    return Verdict(
        action=known(_ACTIONS, verdict.action, "action"),
        scores=dict(verdict.scores),
        flagged=tuple(verdict.flagged),
        category=verdict.category,
        spans=tuple(Span(span.start, span.end, span.rule) for span in verdict.spans),
        text=verdict.text,
    )


def _verdict_out(verdict: Verdict) -> pb.Verdict:
    return pb.Verdict(
        action=_ACTIONS_OUT[verdict.action],
        category=verdict.category,
        scores=verdict.scores,
        flagged=verdict.flagged,
        spans=[pb.Span(start=s.start, end=s.end, rule=s.rule) for s in verdict.spans],
        text=verdict.text,
    )
