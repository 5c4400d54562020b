import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import Context, InputTooLong, KeptIds, Model, TurnNotFound
from services.context_assembly.assembler import Assembler
from services.context_assembly.ports import Summary
from services.context_assembly.prompt import LEFT_OUT
from services.inference.api import QueueFull
from services.memory.api import Erasure, Kind, Recollection
from services.shared.conversation import Item, Role
from services.shared.errors import Malformed, Unavailable
from services.shared.scope import Scope
from tests.fakes.context_assembly import (
    PICTURE,
    PLAIN,
    SCOPE,
    SEEING,
    SUMMARISING,
    Desk,
    FactMemory,
    FailingMemory,
    WordTokenizer,
    Writer,
    asked,
    assistant,
    call,
    recorded,
    result,
    sent,
    user,
)

WIDE = Model("wide", 100_000, summarises=False)


def told(desk: Desk, context: Context) -> list[str]:
    assert isinstance(desk.tokenizer, WordTokenizer)
    return desk.tokenizer.messages(context.prompt_ids)


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(first), len(second)))


async def turn(
    assembler: Assembler, number: int, model: Model, answered: Sequence[Item] = (), words: int = 1
) -> Context:
    """Asks, and records what came of it under t<number>."""
    parent_id = f"t{number - 1}" if number else ""
    said = [user(f"question {number} about rex" + " bla" * words)]
    context = await assembler.assemble(asked("", input=said, parent_id=parent_id, model=model))
    answered = answered or [assistant(f"answer {number}" + " bla" * words)]
    await assembler.record(recorded(f"t{number}", parent_id, said, answered, context.memory_ids))
    return context


async def test_each_prompt_begins_with_the_one_before_it() -> None:
    memory = FactMemory()
    memory.keep("p1", "Be brief", Kind.PREFERENCE)
    memory.keep("m1", "rex is a dog")
    assembler = Desk(InMemoryTurns(), memory).assembler()
    before: Sequence[int] = []
    beside = call("d", "out", parallel=True)
    answered: list[Item] = [call("c", "out"), beside, assistant("done")]
    for number in range(30):
        if number == 10:
            memory.keep("m2", "tom is not rex")
        context = await turn(assembler, number, WIDE, answered if number % 3 else ())
        assert context.prompt_ids[: len(before)] == before
        assert list(context.memory_ids) == (["m1"] if number < 10 else ["m1", "m2"])
        before = context.prompt_ids


async def test_a_later_round_begins_with_the_earlier_ones_prompt() -> None:
    memory = FactMemory()
    memory.keep("m1", "rex is a dog")
    assembler = Desk(InMemoryTurns(), memory).assembler()
    await turn(assembler, 0, WIDE)
    first = await assembler.assemble(asked("who is rex", parent_id="t0"))
    memory.keep("m2", "rex is old")
    produced = [assistant("I look."), call("c", "out")]
    second = await assembler.assemble(
        asked("who is rex", parent_id="t0", produced=produced, memory_ids=first.memory_ids)
    )
    assert second.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids
    assert second.memory_ids == first.memory_ids == ["m1"]


async def test_the_cut_moves_only_now_and_then() -> None:
    assembler = Desk(InMemoryTurns()).assembler()
    before: Sequence[int] = []
    moves = 0
    for number in range(60):
        context = await turn(assembler, number, PLAIN)
        moves += common(before, context.prompt_ids) < len(before)
        before = context.prompt_ids
    # A turn has 16 tokens, and an eighth of the window 25.
    assert 20 <= moves <= 60 * 16 / 25


async def test_a_long_conversation_is_read_from_a_place_that_stays() -> None:
    tokenizer = WordTokenizer()
    small = Model("small", 40, summarises=False)
    assembler = Desk(InMemoryTurns(), tokenizer=tokenizer).assembler()
    for number in range(60):
        await turn(assembler, number, small, words=0)
    last = tokenizer.requests[-1]
    assert len(last.candidates) < 60
    assert last.candidates[0].message.text == LEFT_OUT
    starts = {request.candidates[1].message.text for request in tokenizer.requests[30:]}
    assert len(starts) < 20


async def test_an_erased_memory_is_gone_from_earlier_turns_and_a_changed_one_is_new() -> None:
    memory = FactMemory()
    memory.keep("m1", "rex is a dog")
    memory.keep("m2", "rex is old")
    desk = Desk(InMemoryTurns(), memory)
    await turn(desk.assembler(), 0, WIDE)
    del memory.facts["m1"]
    memory.keep("m2", "rex was young")
    context = await desk.assembler().assemble(asked("hi", parent_id="t0"))
    first = "user: <memory> - rex was young </memory> question 0 about rex bla"
    assert told(desk, context)[0] == first
    assert context.fact_ids == ["m2"]


async def test_a_turn_goes_on_without_memory() -> None:
    desk = Desk(InMemoryTurns(), FailingMemory(Unavailable("away")))
    context = await desk.assembler().assemble(asked("who is rex"))
    assert told(desk, context) == ["user: who is rex"]
    assert (context.memory_ids, context.fact_ids) == ((), [])


async def test_branches_know_nothing_of_each_other() -> None:
    desk = Desk(InMemoryTurns())
    assembler = desk.assembler()
    await assembler.record(recorded("a"))
    await assembler.record(recorded("b", "a"))
    await assembler.record(recorded("c", "a"))
    context = await assembler.assemble(asked("now", parent_id="c"))
    assert told(desk, context) == [
        *("user: question a", "assistant: answer a"),
        *("user: question c", "assistant: answer c"),
        "user: now",
    ]


async def test_a_deleted_turn_is_left_out_and_those_that_follow_it_stay() -> None:
    desk = Desk(InMemoryTurns())
    assembler = desk.assembler()
    await assembler.record(recorded("a"))
    await assembler.record(recorded("b", "a"))
    await assembler.record(recorded("c", "b"))
    await assembler.delete_turn(SCOPE, "b")
    context = await assembler.assemble(asked("now", parent_id="c"))
    assert told(desk, context) == [
        *("user: question a", "assistant: answer a"),
        *("user: question c", "assistant: answer c"),
        "user: now",
    ]
    with pytest.raises(TurnNotFound):
        await assembler.assemble(asked("now", parent_id="b"))


async def test_a_reply_as_long_as_the_window_is_refused() -> None:
    with pytest.raises(Malformed) as caught:
        await Desk(InMemoryTurns()).assembler().assemble(asked("hi", output_tokens=200))
    assert caught.value.details == {"param": "output_tokens"}


async def test_a_turn_without_an_id_is_refused() -> None:
    with pytest.raises(Malformed):
        await Desk(InMemoryTurns()).assembler().record(recorded(""))


async def filled(assembler: Assembler, turns: int, words: int = 5) -> None:
    for number in range(turns):
        await assembler.record(
            recorded(
                f"t{number}",
                f"t{number - 1}" if number else "",
                [user(f"question {number}" + " bla" * words)],
            )
        )


async def test_what_does_not_fit_is_summarised_once_and_the_summary_used_again() -> None:
    writer = Writer("They spoke of bla.")
    tokenizer = WordTokenizer()
    desk = Desk(InMemoryTurns(), tokenizer=tokenizer, writer=writer)
    await filled(desk.assembler(), 16)
    asking = asked("now", parent_id="t15", model=SUMMARISING)
    first = await desk.assembler().assemble(asking)
    assert told(desk, first)[0] == "system: [Summary of earlier turns] They spoke of bla."
    assert len(first.prompt_ids) <= 180
    again = await desk.assembler().assemble(asking)
    assert again == first
    assert len(writer.generations) == 1
    read = tokenizer.text(writer.generations[0].prompt_ids)
    assert "question 0" in read
    kept = told(desk, first)[1]
    assert kept.startswith("user: question")
    assert kept.removeprefix("user: ") not in read


async def test_a_branch_reuses_the_summary() -> None:
    writer = Writer()
    desk = Desk(InMemoryTurns(), writer=writer)
    await filled(desk.assembler(), 16)
    await desk.assembler().assemble(asked("now", parent_id="t15", model=SUMMARISING))
    await desk.assembler().record(recorded("branch", "t14"))
    context = await desk.assembler().assemble(asked("hi", parent_id="branch", model=SUMMARISING))
    assert told(desk, context)[0] == "system: [Summary of earlier turns] They spoke."
    assert len(writer.generations) == 1


async def test_a_later_overflow_summarises_the_summary_and_what_followed() -> None:
    tokenizer, writer = WordTokenizer(), Writer()
    desk = Desk(InMemoryTurns(), tokenizer=tokenizer, writer=writer)
    assembler = desk.assembler()
    for number in range(40):
        await turn(assembler, number, SUMMARISING)
    prompts = [tokenizer.text(generation.prompt_ids) for generation in writer.generations]
    # A turn has 16 tokens, and an eighth of the window 25.
    assert 10 <= len(prompts) <= 40 * 16 / 25
    first, *later = prompts
    assert "[Summary of what came before]" not in first
    for prompt in later:
        assert "[Summary of what came before] They spoke. User: question" in prompt
    for number in range(20):
        question = f"User: question {number} "
        assert sum(question in prompt for prompt in prompts) == 1


async def test_a_failing_summary_leaves_the_marker_and_is_tried_again() -> None:
    writer = Writer()
    writer.error = QueueFull("full", retry_after="1")
    desk = Desk(InMemoryTurns(), writer=writer)
    await filled(desk.assembler(), 16)
    asking = asked("now", parent_id="t15", model=SUMMARISING)
    assert told(desk, await desk.assembler().assemble(asking))[0] == f"system: {LEFT_OUT}"
    writer.error = None
    assert told(desk, await desk.assembler().assemble(asking))[0].startswith("system: [Summary")


async def test_a_model_that_does_not_summarise_is_not_asked_to() -> None:
    writer = Writer()
    desk = Desk(InMemoryTurns(), writer=writer)
    await filled(desk.assembler(), 16)
    context = await desk.assembler().assemble(asked("now", parent_id="t15"))
    assert told(desk, context)[0] == f"system: {LEFT_OUT}"
    assert not writer.generations


async def test_a_summary_is_dropped_when_the_request_needs_its_room() -> None:
    writer = Writer()
    store = InMemoryTurns()
    desk = Desk(store, writer=writer)
    await filled(desk.assembler(), 1)
    summary = Summary("t0", 2, "They spoke.")
    await store.keep_summary(SCOPE, "clever", summary, covers=["t0"], grown_from=None)
    request = asked("bla " * 171, parent_id="t0", model=SUMMARISING)
    context = await desk.assembler().assemble(request)
    assert told(desk, context) == ["user:" + " bla" * 171]
    assert not writer.generations


async def test_deleting_a_turn_deletes_what_was_summarised_of_it() -> None:
    writer = Writer("CANARY")
    desk = Desk(InMemoryTurns(), writer=writer)
    await filled(desk.assembler(), 16)
    asking = asked("now", parent_id="t15", model=SUMMARISING)
    await desk.assembler().assemble(asking)
    await desk.assembler().delete_turn(SCOPE, "t0")
    writer.text = "They spoke."
    assert "CANARY" not in " ".join(told(desk, await desk.assembler().assemble(asking)))


async def test_a_request_that_fits_without_a_summary_is_not_refused_for_one() -> None:
    desk = Desk(InMemoryTurns())
    await filled(desk.assembler(), 2)
    for words, first in ((160, f"system: {LEFT_OUT}"), (175, "user:" + " bla" * 175)):
        request = asked("bla " * words, parent_id="t1", model=SUMMARISING)
        assert told(desk, await desk.assembler().assemble(request))[0] == first
    with pytest.raises(InputTooLong) as caught:
        await desk.assembler().assemble(asked("bla " * 178, parent_id="t1", model=SUMMARISING))
    assert caught.value.details["max_tokens"] == "180"


async def test_another_persons_scope_shows_only_their_own_memories() -> None:
    memory = FactMemory()
    memory.keep("m1", "rex is a dog")
    desk = Desk(InMemoryTurns(), memory)
    await turn(desk.assembler(), 0, WIDE)
    asking = asked("hi", parent_id="t0", scope=Scope("acme", "main"))
    context = await desk.assembler().assemble(asking)
    assert "<memory>" not in " ".join(told(desk, context))


_words = st.integers(0, 30)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.tuples(_words, st.booleans()), min_size=1, max_size=12), st.booleans())
async def test_trimming_never_parts_a_call_from_its_result(
    turns: list[tuple[int, bool]], summarises: bool
) -> None:
    model = SUMMARISING if summarises else PLAIN
    desk = Desk(InMemoryTurns())
    assembler = desk.assembler()
    parent_id = ""
    waiting = False
    for number, (words, calls) in enumerate(turns):
        text = user(f"question {number}" + " bla" * words)
        said: list[Item] = [result("f")] if waiting else []
        said += [text] if not waiting or words % 2 else []
        context = await assembler.assemble(asked("", input=said, parent_id=parent_id, model=model))
        answered: list[Item] = [call("own", "out " * words), assistant("yes")]
        answered += [call("f")] if calls else []
        await assembler.record(recorded(f"t{number}", parent_id, said, answered))
        parent_id, waiting = f"t{number}", calls
        assert _paired(told(desk, context))


def _paired(messages: Sequence[str]) -> bool:
    expected: list[str] = []
    for message in messages:
        role, _, text = message.partition(": ")
        if role == "tool":
            if not expected or text.split()[0] != expected.pop(0):
                return False
        elif expected:
            return False
        else:
            expected = re.findall(r"(\w+):look_up", text)
    return not expected


async def test_ids_that_were_kept_and_stand_in_the_prompt_again_are_counted() -> None:
    desk = Desk(InMemoryTurns())
    assembler = desk.assembler()
    first = await assembler.assemble(asked("question a"))
    assert first.inherited_ids == 0
    await assembler.record(recorded("a", kept_ids=KeptIds("plain", 0, first.prompt_ids)))
    again = await assembler.assemble(asked("now", parent_id="a"))
    assert again.inherited_ids == len(first.prompt_ids)
    other = await assembler.assemble(asked("now", parent_id="a", model=WIDE))
    assert other.inherited_ids == 0


async def test_every_fact_that_stands_in_the_prompt_is_named_once() -> None:
    memory = FactMemory()
    memory.keep("p1", "Be brief", Kind.PREFERENCE)
    memory.keep("m1", "rex is a dog")
    memory.keep("m2", "tom is a cat")
    memory.keep("m3", "kim is a bird")
    assembler = Desk(InMemoryTurns(), memory).assembler()
    await assembler.record(recorded("a", memory_ids=["m1", "m2"]))
    context = await assembler.assemble(asked("and rex", parent_id="a"))
    assert (context.memory_ids, context.fact_ids) == (["m1"], ["p1", "m1", "m2"])
    produced = await assembler.assemble(asked("hi", parent_id="a", memory_ids=["m3"]))
    assert produced.fact_ids == ["p1", "m1", "m2", "m3"]


async def test_it_is_known_up_to_which_erasure_the_facts_were_read() -> None:
    """Asked for before the facts are read: what is erased meanwhile counts as not known."""
    store = InMemoryTurns()

    class ErasedMeanwhile(FactMemory):
        async def recall(
            self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
        ) -> Recollection:
            await store.forget_facts(Erasure(5, scope, ["m1"]))
            return await super().recall(scope, query=query, fact_ids=fact_ids)

    await store.forget_facts(Erasure(4, SCOPE, ["m1"]))
    assembler = Desk(store, ErasedMeanwhile()).assembler()
    assert (await assembler.assemble(asked("hi"))).erasures_known == 4


async def test_a_model_that_sees_is_shown_the_pictures_that_were_kept_in_their_order() -> None:
    desk = Desk(InMemoryTurns())
    assembler = desk.assembler()
    pictures = [replace(PICTURE, content=bytes([number])) for number in range(4)]
    dropped = sent(Role.USER, pictures[0], "bla " * 120)
    await assembler.record(recorded("a", said=[dropped]))
    await assembler.record(recorded("b", "a", [sent(Role.USER, "see", pictures[1], pictures[2])]))
    asking = sent(Role.USER, pictures[3], "bla " * 50)
    seeing = asked("", input=[asking], parent_id="b", model=SEEING)
    context = await assembler.assemble(seeing)
    assert context.pictures == pictures[1:]
    assert told(desk, context)[1] == "user: see <picture> <picture>"


async def test_what_cannot_be_read_is_told_by_the_system_and_asks_memory_for_nothing() -> None:
    desk = Desk(InMemoryTurns())
    asking = asked("", input=[sent(Role.USER, PICTURE, "Hello")])
    context = await desk.assembler().assemble(asking)
    assert told(desk, context) == [
        "system: [The user's next message comes with a picture."
        " This model reads text only and does not see it.]",
        "user: Hello",
    ]
    await desk.assembler().assemble(replace(asking, input=[sent(Role.USER, PICTURE)]))
    assert isinstance(desk.memory, FactMemory)
    assert [query for _, query, _ in desk.memory.asked] == ["Hello", ""]
