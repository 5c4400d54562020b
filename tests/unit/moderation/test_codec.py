"""Nothing is lost on the wire."""

import pytest
from chatmesh.moderation.v1 import moderation_pb2 as pb

from services.moderation import codec
from services.moderation.api import Action, Direction, Grown, Release, Span, Verdict
from services.shared.errors import Malformed

VERDICTS = [
    Verdict(Action.PASS, {"hate": 0.25}),
    Verdict(Action.BLOCK, {"hate": 0.75, "violence": 1.0}, ("hate", "violence"), "violence"),
    Verdict(Action.REWRITE, {}, spans=(Span(0, 3, "email"), Span(4, 9, "phone")), text="[email]"),
]


@pytest.mark.parametrize("direction", Direction)
def test_what_is_asked_survives(direction: Direction) -> None:
    texts, read = codec.screen_in(codec.screen_out(["a", "", "é"], direction))
    assert (list(texts), read) == (["a", "", "é"], direction)


def test_verdicts_survive() -> None:
    assert codec.verdicts_in(codec.verdicts_out(VERDICTS)) == VERDICTS


@pytest.mark.parametrize("grown", [Grown("more ", final=False, judged=True), Grown("", final=True)])
def test_a_growth_survives(grown: Grown) -> None:
    assert codec.grown_in(codec.grown_out(grown)) == grown


@pytest.mark.parametrize("release", [Release("shown ", next_words=24), Release("", "violence")])
def test_a_release_survives(release: Release) -> None:
    assert codec.release_in(codec.release_out(release)) == release


def test_a_direction_that_is_not_known_here_is_malformed() -> None:
    with pytest.raises(Malformed) as caught:
        codec.screen_in(pb.ScreenRequest(texts=["a"]))
    assert caught.value.details == {"param": "direction"}
