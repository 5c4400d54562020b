"""What of a conversation can be read as text."""

from services.shared.conversation import (
    Audio,
    Call,
    CallOutcome,
    CallResult,
    File,
    Message,
    Phase,
    Picture,
    Refusal,
    Role,
    RunBy,
    Text,
    said,
    text_of,
)

_MIXED = (
    Text("one"),
    Picture(url="https://example.org/a.png"),
    File(name="a.pdf", content=b"%PDF"),
    Audio("audio/wav", b"RIFF"),
    Refusal("two"),
)


def test_texts_and_refusals_are_read_a_line_each_and_nothing_else_is() -> None:
    assert text_of(_MIXED) == "one\ntwo"
    assert text_of(()) == ""
    assert text_of([Picture(content=b"png")]) == ""


def test_every_holder_of_parts_reads_them_alike() -> None:
    holders = (
        Message("msg_1", Role.USER, _MIXED),
        CallResult("fco_1", "call_1", _MIXED),
        CallOutcome(_MIXED),
    )
    assert [each.text for each in holders] == ["one\ntwo"] * 3


def test_what_was_said_is_a_message_of_one_text() -> None:
    message = said("msg_1", Role.ASSISTANT, "hello")
    assert message == Message("msg_1", Role.ASSISTANT, (Text("hello"),))
    assert message.phase is Phase.UNSAID
    assert message.text == "hello"


def test_a_call_is_the_callers_and_has_not_been_run_unless_something_else_is_said() -> None:
    call = Call("fc_1", "call_1", "double", '{"n": 21}')
    assert call.run_by is RunBy.CALLER
    assert call.outcome is None
