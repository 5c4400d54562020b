"""A conversation on the wire is the same conversation after it."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from chatmesh.conversation.v1 import conversation_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.conversation import (
    Approval,
    Audio,
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Phase,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)
from services.shared.conversation_codec import (
    call_in,
    call_out,
    item_in,
    item_out,
    items_in,
    part_out,
    parts_in,
    picture_in,
    picture_out,
    role_in,
    role_out,
)
from services.shared.errors import Malformed

_PROPERTY = settings(derandomize=True, deadline=None, database=None)
# A number that no enum of the protos has.
UNKNOWN: Any = 99

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_bytes = st.binary(min_size=1, max_size=8)
_named = st.text("abc", min_size=1, max_size=8)


def _with_source(kind: Callable[..., Part], **fields: st.SearchStrategy[str]) -> Any:
    """Of a picture or a file: with its content, its address, its id, or none of them."""
    return st.one_of(
        st.builds(kind, content=_bytes, **fields),
        st.builds(kind, url=_named, **fields),
        st.builds(kind, file_id=_named, **fields),
        st.builds(kind, **fields),
    )


_pictures = _with_source(Picture, media_type=_text, detail=_text)
_PARTS: dict[type, Any] = {
    Text: st.builds(Text, _text),
    Picture: _pictures,
    File: _with_source(File, name=_text, media_type=_text),
    Audio: st.builds(Audio, _text, _bytes),
    Refusal: st.builds(Refusal, _text),
}
_parts = st.lists(st.one_of(*_PARTS.values()), max_size=3).map(tuple)
_calls = st.builds(
    Call,
    id=_text,
    call_id=_text,
    name=_text,
    arguments=_text,
    run_by=st.sampled_from(RunBy),
    server_label=_text,
    approval=st.sampled_from(Approval),
    outcome=st.none() | st.builds(CallOutcome, _parts, st.booleans()),
    parallel=st.booleans(),
)
_ITEMS: dict[type, Any] = {
    Message: st.builds(
        Message,
        _text,
        st.sampled_from([role for role in Role if role is not Role.TOOL]),
        _parts,
        st.sampled_from(Phase),
    ),
    Call: _calls,
    CallResult: st.builds(CallResult, _text, _text, _parts),
    Reasoning: st.builds(
        Reasoning, _text, _text, st.lists(_text, max_size=3).map(tuple), opaque=_text
    ),
    Compaction: st.builds(Compaction, _text, _text, opaque=_text),
}


def test_no_kind_is_left_out_of_what_follows() -> None:
    assert set(_ITEMS) == set(get_args(Item))
    assert set(_PARTS) == set(get_args(Part))


@_PROPERTY
@given(st.lists(st.one_of(*_ITEMS.values()), max_size=4))
def test_every_item_comes_back_as_it_was(items: list[Item]) -> None:
    sent = [item_out(item).SerializeToString() for item in items]
    assert items_in(map(pb.Item.FromString, sent)) == tuple(items)


@_PROPERTY
@given(_parts)
def test_every_part_comes_back_as_it_was(parts: tuple[Part, ...]) -> None:
    sent = [part_out(part).SerializeToString() for part in parts]
    assert parts_in(map(pb.Part.FromString, sent)) == parts


@_PROPERTY
@given(_pictures)
def test_a_picture_alone_comes_back_as_it_was(picture: Picture) -> None:
    assert picture_in(pb.Picture.FromString(picture_out(picture).SerializeToString())) == picture


@_PROPERTY
@given(_calls)
def test_a_call_alone_comes_back_as_it_was(call: Call) -> None:
    sent = call_out(call).SerializeToString()
    assert call_in(call.id, pb.Call.FromString(sent)) == call


@pytest.mark.parametrize("role", Role)
def test_a_role_comes_back_as_it_was(role: Role) -> None:
    assert role_in(role_out(role)) is role


def test_a_call_that_ran_and_brought_nothing_is_not_one_that_has_not_run() -> None:
    ran = Call("fc_1", "call_1", "forget", "{}", RunBy.MESH, outcome=CallOutcome(()))
    assert call_in("fc_1", pb.Call.FromString(call_out(ran).SerializeToString())) == ran


def test_what_an_older_neighbour_does_not_say_is_what_was_always_meant() -> None:
    call = call_in("fc_1", pb.Call(call_id="call_1", name="double", arguments="{}"))
    assert call == Call("fc_1", "call_1", "double", "{}")
    message = item_in(pb.Item(message=pb.Message(role=pb.ROLE_USER)))
    assert message == Message("", Role.USER, ())


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (pb.Item(message=pb.Message(role=UNKNOWN)), "role"),
        (pb.Item(message=pb.Message()), "role"),
        (pb.Item(message=pb.Message(role=pb.ROLE_TOOL)), "role"),
        (pb.Item(message=pb.Message(role=pb.ROLE_USER, phase=UNKNOWN)), "phase"),
        (pb.Item(call=pb.Call(run_by=UNKNOWN)), "run_by"),
        (pb.Item(call=pb.Call(approval=UNKNOWN)), "approval"),
        (pb.Item(call_result=pb.CallResult(parts=[pb.Part()])), "parts"),
        (pb.Item(call=pb.Call(outcome=pb.CallOutcome(parts=[pb.Part()]))), "parts"),
        (pb.Item(id="msg_1"), "input"),
    ],
)
def test_what_is_not_known_here_is_malformed_and_named(item: pb.Item, field: str) -> None:
    with pytest.raises(Malformed) as raised:
        item_in(item)
    assert raised.value.details == {"param": field}
