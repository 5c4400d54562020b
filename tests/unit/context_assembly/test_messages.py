from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.context_assembly.messages import UNANSWERED, Entry, PromptMessage, drafted
from services.shared.conversation import (
    Approval,
    Audio,
    Call,
    CallOutcome,
    Compaction,
    File,
    Item,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)
from services.shared.tools import ToolCall
from services.tokenizer.api import TemplateMessage
from tests.fakes.context_assembly import PICTURE, assistant, call, made_of, result, sent, user

S, D, U, A, T = Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT, Role.TOOL
ELSEWHERE = Picture(url="https://a.example/b.png")
OTHER = replace(PICTURE, content=b"\xff\xd8")
BLIND = "This model reads text only and does not see"


def made(*items: Item, sees: bool = False) -> list[PromptMessage]:
    entries = [Entry(item, "", number) for number, item in enumerate(items, 1)]
    return [said for draft in drafted(entries, sees=sees) for said in draft.messages()]


def outline(said: Sequence[PromptMessage]) -> list[tuple[Role, str]]:
    return [(each.message.role, each.message.text) for each in said]


@pytest.mark.parametrize("sees", [False, True])
@pytest.mark.parametrize("part", [ELSEWHERE, File("a.pdf", content=b"%PDF"), Audio("a", b"x")])
def test_a_users_words_stay_theirs_and_the_system_tells_the_rest_before_them(
    part: Picture | File | Audio, sees: bool
) -> None:
    note, words = made(sent(U, part, "Hello", part, "there"), sees=sees)
    assert words == PromptMessage(TemplateMessage(U, "Hello\nthere"))
    assert note.ours
    assert note.unreadable == [part, part]
    assert note.message.role is S
    assert note.message.text.startswith("[The user's next message comes with 2 ")


def test_a_picture_is_told_of_to_a_model_that_reads_text_only() -> None:
    assert outline(made(user("hi"), sent(U, PICTURE, "Hello"))) == [
        (U, "hi"),
        (S, f"[The user's next message comes with a picture. {BLIND} it.]"),
        (U, "Hello"),
    ]


def test_a_message_of_nothing_that_can_be_read_is_the_users_and_empty() -> None:
    assert outline(made(sent(U, File("a.pdf")))) == [
        (S, f"[The user's next message comes with a file. {BLIND} it.]"),
        (U, ""),
    ]


def test_a_model_that_sees_is_shown_pictures_where_they_stand() -> None:
    (said,) = made(sent(U, PICTURE, "one", OTHER, "two", PICTURE), sees=True)
    assert said.message == TemplateMessage(U, "one\ntwo", pictures=(0, 3, 7))
    assert said.pictures == (PICTURE, OTHER, PICTURE)


def test_pictures_stand_behind_the_memories() -> None:
    entry = Entry(sent(U, PICTURE, "who"), "", 1, {"m1": "Rex is a dog"})
    ((said,),) = (draft.messages() for draft in drafted([entry], sees=True))
    text = said.message.text
    assert text == "<memory>\n- Rex is a dog\n</memory>\n\nwho"
    assert said.message.pictures == (text.index("who"),)
    assert said.fact_ids == ("m1",)


def test_a_model_that_sees_is_told_of_the_pictures_that_are_not_here() -> None:
    note, said = made(sent(U, PICTURE, ELSEWHERE, Picture(file_id="f")), sees=True)
    assert note.message.text == (
        "[The user's next message comes with 2 pictures. This model does not see them.]"
    )
    assert said.pictures == (PICTURE,)


@pytest.mark.parametrize(
    ("role", "sender"), [(A, "assistant"), (D, "application"), (S, "application")]
)
@pytest.mark.parametrize("sees", [False, True])
def test_pictures_of_others_than_the_user_are_told_of(role: Role, sender: str, sees: bool) -> None:
    note, said = made(sent(role, "see", PICTURE), sees=sees)
    assert note.message.text.startswith(f"[The {sender}'s next message comes with a picture. ")
    assert said == PromptMessage(TemplateMessage(role, "see"))


def test_what_a_tool_brings_is_told_of_before_its_call() -> None:
    brought = CallOutcome(made_of("a dog", PICTURE))
    own = replace(call("a", ""), outcome=brought)
    produced: list[Item] = [user("hi"), own, call("f"), result("f", PICTURE, PICTURE)]
    assert outline(made(*produced)) == [
        (U, "hi"),
        (S, f"[The next tool result comes with a picture. {BLIND} it.]"),
        (A, ""),
        (T, "a dog"),
        (S, f"[The next tool result comes with 2 pictures. {BLIND} them.]"),
        (A, ""),
        (T, ""),
    ]


def test_what_several_tools_bring_is_told_of_at_once() -> None:
    beside: list[Item] = [call("a"), call("b"), result("b", "2", PICTURE), result("a", PICTURE)]
    assert outline(made(user("hi"), *beside))[1:] == [
        (S, f"[The next tool results come with 2 pictures. {BLIND} them.]"),
        *((A, ""), (T, ""), (T, "2")),
    ]


def test_an_assistant_that_brings_pictures_and_calls_has_both_told() -> None:
    said = made(sent(A, "see", PICTURE), call("f"), result("f", PICTURE))
    assert [each.message.role for each in said] == [S, S, A, T]
    assert [each.ours for each in said] == [True, True, False, False]


@pytest.mark.parametrize("run_by", [RunBy.MESH, RunBy.SERVER])
def test_a_call_that_the_caller_does_not_run_holds_its_outcome(run_by: RunBy) -> None:
    ran = Call("i", "c", "look_up", "{}", run_by=run_by, outcome=CallOutcome((Text("1"),)))
    failed = replace(ran, outcome=CallOutcome((Text("down"),), failed=True))
    refused = replace(ran, approval=Approval.DENIED, outcome=None)
    calls = (ToolCall("c", "look_up", "{}"),)
    for made_call, text in ((ran, "1"), (failed, "down"), (refused, UNANSWERED)):
        said = [each.message for each in made(user("hi"), made_call)]
        assert said[1:] == [
            TemplateMessage(A, tool_calls=calls),
            TemplateMessage(T, text, tool_call_id="c"),
        ]


def test_a_call_that_was_not_run_ends_a_round_too() -> None:
    waits = Call("i", "c", "look_up", "{}", run_by=RunBy.SERVER, approval=Approval.AWAITED)
    assert [each.message.role for each in made(waits, call("f"))] == [A, T, A, T]
    assert [each.message.role for each in made(call("f"), waits)] == [A, T, A, T]
    beside = replace(waits, parallel=True)
    assert [each.message.role for each in made(call("f"), beside)] == [A, T, T]


def test_only_the_callers_calls_wait_for_a_result() -> None:
    waits = Call("i", "f", "look_up", "{}", run_by=RunBy.SERVER, approval=Approval.AWAITED)
    said = [each.message.text for each in made(call("f"), waits, result("f", "42"))]
    assert said == ["", "42", "", UNANSWERED]


def test_of_reasoning_the_text_is_read_again_and_else_its_summary() -> None:
    thoughts: list[Item] = [
        Reasoning("r1", "First", ("short",)),
        Reasoning("r2", "", ("then", "so"), opaque="x"),
        Reasoning("r3", opaque="x"),
    ]
    _, said = made(user("hi"), *thoughts, assistant("Well."))
    assert said.message.reasoning == "First\n\nthen\n\nso"


def test_a_compaction_is_read_in_its_place_as_a_summary_of_ours() -> None:
    said = made(
        user("one"), Compaction("c", "They counted."), user("two"), Compaction("d", opaque="x")
    )
    assert outline(said) == [
        (U, "one"),
        (S, "[Summary of earlier turns]\nThey counted."),
        (U, "two"),
    ]
    assert [each.ours for each in said] == [False, True, False]


def test_a_refusal_is_read_as_what_the_assistant_said() -> None:
    assert outline(made(sent(A, Refusal("I cannot."), "Sorry."))) == [(A, "I cannot.\nSorry.")]
