"""Our values as JSON, for another gateway to read."""

from array import array
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from chatmesh.inference.v1 import inference_pb2

from services.context_assembly.api import Context
from services.gateway.api import Ask, OwnTools
from services.gateway.plain import NotPlain, dumped, loaded, past_from
from services.gateway.ports import Account, AccountKind
from services.gateway.steps import Assembled, Heard, Origin, ToolDone
from services.inference.api import (
    CallDelta,
    Delta,
    FinishReason,
    FormatKind,
    OutputFormat,
    Piece,
    Sampling,
    TokenLogprob,
    Usage,
)
from services.shared.conversation import (
    Audio,
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    File,
    Message,
    Phase,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)
from services.shared.tools import Tool, ToolChoice, ToolMode
from services.tool_runner.api import Failure, Outcome

ITEMS = (
    Message("msg_1", Role.USER, (Text("ä"), Picture("image/png", b"\x00\xff"), Audio("a", b"1"))),
    Message("msg_2", Role.ASSISTANT, (Refusal("no"), File("f", url="u")), Phase.COMMENTARY),
    Call("fc_1", "call_1", "f", "{}", RunBy.MESH, outcome=CallOutcome((Text("4"),), failed=True)),
    CallResult("fco_1", "call_1", (Text("4"),)),
    Reasoning("rs_1", "hm", ("short",), "sealed"),
    Compaction("cmp_1", "they spoke", "sealed"),
)
ASK = Ask(
    "demo",
    ITEMS,
    unstored=ITEMS[:1],
    functions=(Tool("f", "does", "{}", strict=True),),
    choice=ToolChoice(ToolMode.NAMED, "f"),
    own_tools=OwnTools(frozenset({"b", "a"})),
    sampling=Sampling(seed=3, stop=("x",), logit_bias={7: 0.5}),
    format=OutputFormat(FormatKind.REGEX, "a+"),
    template_options={"thinking": "true"},
)
PIECE = Piece(
    (
        Delta(0, (1, 2), "a", "b", (CallDelta(0, "f", "{"),), (TokenLogprob(1, "a", -0.5),)),
        Delta(1, finish_reason=FinishReason.LENGTH),
    ),
    Usage(1, 2, 3, 4),
)
# What a delta may have besides its words, each alone.
MORE: Mapping[str, Any] = {
    "reasoning": "b",
    "calls": (CallDelta(0, "f", "{"),),
    "logprobs": (TokenLogprob(1, "a", -0.5),),
    "finish_reason": FinishReason.STOP,
}


@pytest.mark.parametrize(
    "value",
    [
        Origin(Account("acct_1", "Ada", AccountKind.PERSONAL), "key_1", ASK),
        Assembled(Context((1, 2, 3), ("mem_1",), ("mem_1",), 7, 2, (Picture(content=b"1"),))),
        Heard(3, PIECE),
        *(Heard(3, Piece((delta,))) for delta in PIECE.deltas),
        *(Heard(1, Piece((Delta(2, (5,), "a", **{name: more}),))) for name, more in MORE.items()),
        Heard(1, Piece((Delta(2, (5,), "a"),), Usage(1))),
        Heard(1, Piece((Delta(0, (5,), "a"), Delta(1, (6,), "b")))),
        Heard(1, Piece(())),
        ToolDone("call_1", Outcome((Text("4"),), Failure.TIMED_OUT)),
    ],
)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert loaded(dumped(value)) == value


def test_words_of_a_model_are_kept_in_few_bytes() -> None:
    """Every token is such a step, and all of a turn are read when it is taken over."""
    heard = Heard(3, Piece((Delta(0, (150_000,), " word"),)))
    assert loaded(dumped(heard)) == heard
    assert len(dumped(heard)) < 30
    assert {"index", "ids", "text", *MORE} == {each.name for each in fields(Delta)}


def test_every_field_of_an_ask_is_kept() -> None:
    """A field that is added to it later is, too, without a word here."""
    kept = loaded(dumped(ASK))
    for each in fields(Ask):
        assert getattr(kept, each.name) == getattr(ASK, each.name), each.name
    assert is_dataclass(kept)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"=": "subprocess.Popen", "args": "true"}',
        b'{"=": "Account", "id": "acct_1"}',
        b'{"=": "Heard", "round": 0, "piece": null, "newer": 1}',
        b'{"=": "Role", "name": "EMPEROR"}',
        b'{"no": "kind"}',
        b"[0, 0, [1]]",
        b'[0, 0, 1, "a"]',
    ],
)
def test_what_was_written_elsewhere_is_refused(text: bytes) -> None:
    with pytest.raises(NotPlain):
        loaded(text)


def test_numbers_that_came_over_grpc_are_kept_as_numbers() -> None:
    for ids in (inference_pb2.Delta(ids=[1, 2]).ids, array("q", [1, 2])):
        assert loaded(dumped(Assembled(Context(ids)))).context.prompt_ids == (1, 2)


def test_what_cannot_be_kept_is_no_silent_loss() -> None:
    with pytest.raises(TypeError):
        dumped(object())


def test_a_past_that_another_release_has_kept_is_none() -> None:
    assert past_from([dumped(Heard(0, PIECE))]).rounds == {0: [PIECE]}
    assert past_from([dumped(Heard(0, PIECE)), b'{"=": "Newer"}']).rounds == {}
