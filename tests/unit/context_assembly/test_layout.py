from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.context_assembly.api import Assembly
from services.context_assembly.layout import Conversation, Shown, lay_out
from services.context_assembly.messages import UNANSWERED
from services.context_assembly.ports import PastTurn, Path, Summary
from services.shared.conversation import Compaction, Item, Reasoning, Role, said
from services.shared.errors import Malformed
from services.shared.tools import ToolCall
from services.tokenizer.api import TemplateMessage
from tests.fakes.context_assembly import (
    asked,
    assistant,
    call,
    developer,
    recorded,
    result,
    user,
)

A, U, T = Role.ASSISTANT, Role.USER, Role.TOOL


def past(*turns: tuple[Sequence[Item], Sequence[Item]]) -> Path:
    made = [PastTurn(f"t{n}", *items, memory_ids=[]) for n, items in enumerate(turns)]
    return Path(made, root=made[0])


def laid_out(
    request: Sequence[Item], path: Path | None = None, produced: Sequence[Item] = ()
) -> Conversation:
    parent_id = "t" if path else ""
    assembly = asked("", input=request, produced=produced, parent_id=parent_id)
    return lay_out(path or Path(), assembly, Shown())


def messages(conversation: Conversation) -> list[TemplateMessage]:
    said = [message for exchange in conversation.exchanges for message in exchange.messages]
    return [each.message for each in (*conversation.head, *said)]


def outline(conversation: Conversation) -> list[list[str]]:
    """Role and text of each message, by exchange."""
    return [
        [f"{said.message.role}: {said.message.text}" for said in exchange.messages]
        for exchange in conversation.exchanges
    ]


def head(conversation: Conversation) -> list[str]:
    return [f"{said.message.role}: {said.message.text}" for said in conversation.head]


def look_up(*ids: str) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(call_id, "look_up", "{}") for call_id in ids)


def test_history_stands_before_the_request_and_what_this_turn_has_produced_after_it() -> None:
    path = past(([user("one")], [assistant("1")]), ([user("two")], [assistant("2")]))
    conversation = laid_out([user("three")], path, [call("c", "out")])
    assert outline(conversation) == [
        ["user: one", "assistant: 1"],
        ["user: two", "assistant: 2"],
        ["user: three"],
        ["assistant: ", "tool: out"],
    ]
    current = [exchange.current for exchange in conversation.exchanges]
    assert current == [exchange.open for exchange in conversation.exchanges]
    assert current == [False, False, True, True]


def test_text_and_calls_of_one_model_message_are_one_message() -> None:
    conversation = laid_out([user("hi")], produced=[assistant("Let me see."), call("a", "1")])
    assert messages(conversation)[1:] == [
        TemplateMessage(A, "Let me see.", tool_calls=look_up("a")),
        TemplateMessage(T, "1", tool_call_id="a"),
    ]


def test_own_calls_of_later_rounds_are_messages_of_their_own() -> None:
    conversation = laid_out([user("hi")], produced=[call("a", "1"), call("b", "2")])
    assert messages(conversation)[1:] == [
        TemplateMessage(A, tool_calls=look_up("a")),
        TemplateMessage(T, "1", tool_call_id="a"),
        TemplateMessage(A, tool_calls=look_up("b")),
        TemplateMessage(T, "2", tool_call_id="b"),
    ]


def test_parallel_own_calls_are_one_message_with_the_results_in_order() -> None:
    produced = [call("a", "1"), call("b", "2", parallel=True), call("c", "3")]
    conversation = laid_out([user("hi")], produced=produced)
    assert messages(conversation)[1:] == [
        TemplateMessage(A, tool_calls=look_up("a", "b")),
        TemplateMessage(T, "1", tool_call_id="a"),
        TemplateMessage(T, "2", tool_call_id="b"),
        TemplateMessage(A, tool_calls=look_up("c")),
        TemplateMessage(T, "3", tool_call_id="c"),
    ]


def test_a_callers_calls_without_a_result_between_them_are_one_message() -> None:
    request: list[Item] = [user("hi"), call("a"), call("b"), result("b", "2"), result("a", "1")]
    assert messages(laid_out(request))[1:] == [
        TemplateMessage(A, tool_calls=look_up("a", "b")),
        TemplateMessage(T, "1", tool_call_id="a"),
        TemplateMessage(T, "2", tool_call_id="b"),
    ]


def test_a_result_ends_the_callers_round() -> None:
    request: list[Item] = [user("hi"), call("a"), result("a"), call("b"), result("b")]
    assert [m.role for m in messages(laid_out(request))] == [U, A, T, A, T]


def test_a_callers_call_after_an_own_one_is_of_a_later_round_unless_it_says_otherwise() -> None:
    path = past(([user("hi")], [call("own", "1"), call("f")]))
    assert [m.role for m in messages(laid_out([result("f")], path))] == [U, A, T, A, T]
    path = past(([user("hi")], [call("own", "1"), call("f", parallel=True)]))
    assert [m.role for m in messages(laid_out([result("f")], path))] == [U, A, T, T]


def test_ids_that_come_again_mean_the_last_call_that_waits() -> None:
    request: list[Item] = []
    for answer in ("1", "2"):
        request += [user("hi"), call("call_0"), result("call_0", answer)]
    assert [m.text for m in messages(laid_out(request)) if m.role is T] == ["1", "2"]


def test_a_result_that_comes_late_goes_to_its_call_and_is_this_turns() -> None:
    path = past(([user("hi")], [call("f")]), ([user("well?")], [assistant("Waiting.")]))
    conversation = laid_out([user("here"), result("f", "42")], path)
    assert outline(conversation) == [
        ["user: hi", "assistant: ", "tool: 42"],
        ["user: well?", "assistant: Waiting."],
        ["user: here"],
    ]
    assert [exchange.current for exchange in conversation.exchanges] == [True, False, True]


def test_a_call_without_a_result_says_so() -> None:
    path = past(([user("hi")], [call("f")]))
    assert messages(laid_out([user("never mind")], path))[2] == TemplateMessage(
        T, UNANSWERED, tool_call_id="f"
    )


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        ([user("hi"), result("f")], 1),
        ([result("f"), call("f")], 0),
        ([user("hi"), call("f"), result("f"), result("f")], 3),
    ],
)
def test_a_result_that_answers_no_call_is_refused_by_its_place(
    request_: Sequence[Item], place: int
) -> None:
    with pytest.raises(Malformed) as caught:
        laid_out(request_)
    assert caught.value.details == {"param": f"input[{place}]"}


def test_a_stored_result_whose_call_is_gone_is_left_out() -> None:
    path = past(([result("f")], [assistant("Thanks.")]))
    assert [m.text for m in messages(laid_out([user("hi")], path))] == ["Thanks.", "hi"]


def test_what_the_application_says_first_is_the_head() -> None:
    path = past(([developer("Be brief."), user("one")], [assistant("1")]))
    conversation = laid_out([user("two")], path)
    assert head(conversation) == ["developer: Be brief."]
    assert outline(conversation)[0] == ["user: one", "assistant: 1"]


def test_the_head_stays_when_the_path_begins_later() -> None:
    root = PastTurn("t0", [developer("Be brief."), user("one")], [], [])
    path = Path([PastTurn("t9", [user("nine")], [], [])], root=root, cut=True)
    conversation = laid_out([user("ten")], path)
    assert head(conversation) == ["developer: Be brief."]
    assert outline(conversation) == [["user: nine"], ["user: ten"]]


def test_a_request_without_history_has_its_own_head() -> None:
    conversation = laid_out([developer("Be brief."), user("one"), developer("Now.")])
    assert head(conversation) == ["developer: Be brief."]
    assert outline(conversation) == [["user: one", "developer: Now."]]


def test_instructions_between_two_messages_of_the_user_go_with_the_first() -> None:
    conversation = laid_out([user("one"), developer("Now."), user("two")])
    assert outline(conversation) == [["user: one", "developer: Now."], ["user: two"]]


def test_instructions_in_the_middle_stay_there_and_go_with_what_follows() -> None:
    path = past(([user("one")], [assistant("1")]))
    conversation = laid_out([developer("Be brief."), user("two")], path)
    assert outline(conversation) == [
        ["user: one", "assistant: 1"],
        ["developer: Be brief.", "user: two"],
    ]


def test_what_a_summary_covers_is_left_out() -> None:
    path = past(
        ([developer("Be brief."), user("one")], [assistant("1")]),
        ([user("two")], [assistant("2")]),
    )
    covered = Path(path.turns, Summary("t0", 3, "They counted."), path.root)
    conversation = laid_out([user("three")], covered)
    assert head(conversation) == ["developer: Be brief."]
    assert outline(conversation) == [["user: two", "assistant: 2"], ["user: three"]]


def test_a_summary_may_cover_the_beginning_of_a_turn() -> None:
    said = [user("one"), assistant("1"), user("two")]
    path = past((said, [assistant("2")]))
    covered = Path(path.turns, Summary("t0", 2, "They counted."), path.root)
    conversation = laid_out([user("three")], covered)
    assert outline(conversation) == [["user: two", "assistant: 2"], ["user: three"]]
    entry = conversation.entries[0]
    assert (entry.turn_id, entry.number) == ("t0", 3)


def test_memories_stand_before_the_last_words_of_the_turn_that_was_given_them() -> None:
    turn = recorded("t0", said=[user("Hi."), user("And Rex?")], memory_ids=["m1", "gone", "m2"])
    past_turn = PastTurn(turn.id, turn.input, turn.output, turn.memory_ids)
    shown = Shown(facts={"m1": "Rex is a dog", "m2": "Rex is old", "m3": "Ann is 30"}, ids=["m3"])
    assembly = asked("How old am I?", parent_id="t0", produced=[call("c", "1")])
    conversation = lay_out(Path([past_turn], root=past_turn), assembly, shown)
    assert [m.text for m in messages(conversation) if m.role is U] == [
        "Hi.",
        "<memory>\n- Rex is a dog\n- Rex is old\n</memory>\n\nAnd Rex?",
        "<memory>\n- Ann is 30\n</memory>\n\nHow old am I?",
    ]


def test_memories_without_words_of_the_user_are_not_shown() -> None:
    path = past(([user("hi")], [call("f")]))
    shown = Shown(facts={"m1": "Rex is a dog"}, ids=["m1"])
    assembly = asked("", input=[result("f")], parent_id="t0")
    conversation = lay_out(path, assembly, shown)
    assert all("Rex" not in message.text for message in messages(conversation))


def test_reasoning_after_the_users_last_words_goes_to_the_message_that_follows() -> None:
    produced: list[Item] = [Reasoning("r1", "First"), Reasoning("r2", "then"), call("a", "1")]
    produced += [Reasoning("r3", "so"), assistant("Well,"), call("b", "2")]
    drafts = [m for m in messages(laid_out([user("hi")], produced=produced)) if m.role is A]
    assert [(m.reasoning, m.text, m.tool_calls) for m in drafts] == [
        ("First\n\nthen", "", look_up("a")),
        ("so", "Well,", look_up("b")),
    ]


def test_reasoning_parts_one_model_message_from_the_next() -> None:
    again = call("b", "2", parallel=True)
    produced: list[Item] = [call("a", "1"), Reasoning("r", "again"), again]
    assert [m.role for m in messages(laid_out([user("hi")], produced=produced))] == [U, A, T, A, T]


def test_reasoning_is_kept_while_the_caller_answers_and_dropped_with_the_next_words() -> None:
    path = past(([user("hi")], [Reasoning("r", "hm"), call("f")]))
    assert messages(laid_out([result("f")], path))[1].reasoning == "hm"
    assert messages(laid_out([result("f"), user("so?")], path))[1].reasoning == ""


def test_an_empty_request_after_history_is_the_history() -> None:
    path = past(([user("one")], [assistant("1")]))
    assert outline(laid_out([], path)) == [["user: one"], ["assistant: 1"]]


def test_rounds_that_were_stored_are_parts_of_the_last_exchange_and_not_open() -> None:
    path = past(([user("go")], [call("a", "1"), call("f")]), ([result("f")], [call("g")]))
    conversation = laid_out([result("g"), developer("Hurry.")], path, [assistant("Done.")])
    assert outline(conversation) == [
        ["user: go"],
        ["assistant: ", "tool: 1"],
        ["assistant: ", "tool: found"],
        ["assistant: ", "tool: found", "developer: Hurry."],
        ["assistant: Done."],
    ]
    openness = [exchange.open for exchange in conversation.exchanges]
    assert openness == [True, False, False, True, True]


def test_nothing_is_laid_out_as_nothing() -> None:
    conversation = laid_out([])
    assert (conversation.head, conversation.exchanges) == ([], [])


_ids = st.sampled_from(["c0", "c1", "c2"])
_items = st.lists(
    st.one_of(
        st.builds(lambda: user("question")),
        st.builds(lambda: assistant("answer")),
        st.builds(lambda: developer("rule")),
        st.builds(lambda: said("s", Role.SYSTEM, "rule")),
        st.builds(lambda: Reasoning("r", "hm")),
        _ids.map(call),
        st.builds(
            lambda call_id, parallel: call(call_id, "own", parallel=parallel), _ids, st.booleans()
        ),
        _ids.map(result),
    ),
    max_size=12,
)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(_items, _items), max_size=4), _items)
def test_no_call_is_ever_parted_from_its_result(
    turns: list[tuple[list[Item], list[Item]]], request_: list[Item]
) -> None:
    path = past(*turns) if turns else None
    try:
        conversation = laid_out(request_, path)
    except Malformed:
        return
    for exchange in conversation.exchanges:
        expected: list[str] = []
        for message in (each.message for each in exchange.messages):
            if message.role is T:
                assert message.tool_call_id == expected.pop(0)
            else:
                assert not expected
                expected = [made.id for made in message.tool_calls]
        assert not expected
    said = [*(item for turn in turns for items in turn for item in items), *request_]
    calls = sum(len(message.tool_calls) for message in messages(conversation))
    assert calls == sum(item.id.startswith("fc_") for item in said)


def test_the_current_turns_memories_need_no_history() -> None:
    assembly: Assembly = asked("Who is Rex?")
    shown = Shown(facts={"m1": "Rex is a dog"}, ids=["m1"])
    (message,) = messages(lay_out(Path(), assembly, shown))
    assert message.text == "<memory>\n- Rex is a dog\n</memory>\n\nWho is Rex?"


def test_a_compaction_stands_for_all_before_it_but_the_instructions() -> None:
    path = past(
        ([developer("Rule."), user("one")], [assistant("1")]),
        ([user("two"), Compaction("c", "They met."), user("three")], [assistant("3")]),
    )
    conversation = laid_out([user("four")], path)
    assert conversation.compacted
    assert head(conversation) == ["developer: Rule."]
    assert outline(conversation) == [
        ["system: [Summary of earlier turns]\nThey met.", "user: three", "assistant: 3"],
        ["user: four"],
    ]
    assert conversation.lasting == [
        developer("Rule."),
        *map(user, ("one", "two", "three", "four")),
    ]


def test_a_turn_that_compacts_still_answers_its_users_last_message() -> None:
    output: list[Item] = [Compaction("c", "They met."), assistant("3")]
    path = past(([user("one")], [assistant("1")]), ([user("two"), user("three")], output))
    stored = laid_out([user("four")], path)
    opening = ["system: [Summary of earlier turns]\nThey met.", "user: three", "assistant: 3"]
    assert outline(stored) == [opening, ["user: four"]]
    under_way = laid_out([user("two"), user("three")], past(([user("one")], [])), output)
    assert [each for part in outline(under_way) for each in part] == opening


def test_the_last_of_several_compactions_counts() -> None:
    path = past(
        ([user("one")], [Compaction("c", "First."), assistant("1")]),
        ([user("two")], [Compaction("c", "Second."), assistant("2")]),
    )
    conversation = laid_out([user("three")], path)
    assert outline(conversation)[0][0] == "system: [Summary of earlier turns]\nSecond."
    assert "First." not in str(outline(conversation))


def test_a_compaction_that_cannot_be_read_leaves_all_as_it_was() -> None:
    path = past(([user("one")], [Compaction("c", opaque="x"), assistant("1")]))
    conversation = laid_out([user("two")], path)
    assert not conversation.compacted
    assert outline(conversation) == [["user: one", "assistant: 1"], ["user: two"]]
