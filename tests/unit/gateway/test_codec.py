"""All of an event, an ask and a response travels; what is not known is refused."""

from dataclasses import replace

import pytest
from chatmesh.conversation.v1 import conversation_pb2 as item_pb
from chatmesh.gateway.v1 import gateway_pb2 as pb

from services.gateway import codec
from services.gateway.api import (
    ArgumentsDelta,
    Ask,
    CallStarted,
    ChoiceEnded,
    CompactionStarted,
    Completed,
    Continued,
    Failed,
    Finish,
    InputBlocked,
    ItemDone,
    Numbered,
    OwnTools,
    ReasoningDelta,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.inference.api import (
    FormatKind,
    ModelCard,
    OutputFormat,
    Sampling,
    TokenLogprob,
    Usage,
)
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    Message,
    Picture,
    Reasoning,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.errors import Malformed
from services.shared.tools import Tool, ToolChoice, ToolMode

CALL = Call("mcp_1", "call_1", "double", '{"n": 1}', RunBy.MESH, "chatmesh", parallel=True)
DONE = replace(CALL, outcome=CallOutcome((Text("2"), Picture("image/png", b"png")), failed=True))
TOKEN = TokenLogprob(1, "one", -0.5, (TokenLogprob(2, "two", -1.5),))
RESPONSE = Response(
    id="resp_1",
    model="demo",
    previous_response_id="resp_0",
    created_at_ms=1,
    completed_at_ms=2,
    status=Status.LENGTH,
    output=(said("msg_1", Role.ASSISTANT, "hi"), DONE),
    usage=Usage(10, 4, 3, 1),
    echo='{"a": 1}',
    conversation="conv_1",
)
EVENTS: list[TurnEvent] = [
    Started("resp_1", 5, "demo", "resp_0", '{"a": 1}', conversation="conv_1"),
    CompactionStarted("cmp_1"),
    TextDelta(1, "msg_1", "one", (TOKEN,)),
    ReasoningDelta(1, "rs_1", "hm"),
    CallStarted(1, CALL),
    ArgumentsDelta(1, "fc_1", '{"n"'),
    ItemDone(1, DONE),
    *(ChoiceEnded(1, finish) for finish in Finish),
    *(Completed(replace(RESPONSE, status=status)) for status in Status),
    Continued("resp_2", (said("msg_2", Role.USER, "and in French"),)),
    Failed.with_error(InputBlocked("blocked", category="violence")),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_travels_whole(event: TurnEvent) -> None:
    sent = codec.event_out(Numbered(7, event)).SerializeToString()
    assert codec.numbered_in(pb.Event.FromString(sent)) == Numbered(7, event)


def test_every_kind_of_event_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(TurnEvent.__args__)


@pytest.mark.parametrize("own_tools", [None, OwnTools(), OwnTools(frozenset({"double"}))])
def test_an_ask_travels_whole(own_tools: OwnTools | None) -> None:
    ask = Ask(
        model="demo",
        input=(
            Message("msg_1", Role.USER, (Text("look"), Picture("image/png", b"png"))),
            Call("fc_1", "call_1", "city", "{}"),
            CallResult("fco_1", "call_1", (Text("Oslo"),)),
            Reasoning("rs_1", "hm", ("short",), "sealed"),
            Compaction("cmp_1", "They spoke.", "sealed"),
        ),
        instructions="Be kind.",
        previous_response_id="resp_0",
        functions=(Tool("city", "Finds.", "{}", strict=True),),
        choice=ToolChoice(ToolMode.NAMED, "city"),
        parallel_calls=False,
        own_tools=own_tools,
        store=False,
        sampling=Sampling(max_tokens=5, temperature=0.5, top_p=0.25, seed=7, stop=("END",)),
        format=OutputFormat(FormatKind.JSON_SCHEMA, "{}"),
        truncate=True,
        safety_identifier="u1",
        background=True,
    )
    sent = codec.ask_out(ask).SerializeToString()
    assert codec.ask_in(pb.RespondRequest.FromString(sent)) == ask


def test_what_is_not_known_here_is_refused() -> None:
    with pytest.raises(Malformed):
        codec.event_in(pb.Event(number=1))
    with pytest.raises(Malformed):
        codec.event_in(pb.Event(choice_ended=pb.ChoiceEnded(finish=99)))  # type: ignore[arg-type]
    message = item_pb.Item(message=item_pb.Message(role=item_pb.ROLE_USER))
    with pytest.raises(Malformed):
        codec.event_in(pb.Event(call_started=pb.CallStarted(call=message)))
    with pytest.raises(Malformed) as caught:
        codec.ask_in(pb.RespondRequest(model="demo"))
    assert caught.value.details == {"param": "input", "code": "invalid_value"}


def test_a_model_travels_whole() -> None:
    card = ModelCard("demo", 100, True, True, True, created_at=5, sees=True)
    assert codec.model_in(codec.model_out(card)) == card
