from dataclasses import replace

import pytest

from services.context_assembly.api import Assembly, InputTooLong
from services.context_assembly.layout import Shown, lay_out
from services.context_assembly.ports import PastTurn, Path, Summary
from services.context_assembly.prompt import LEFT_OUT, Prompt, prompt_of
from services.context_assembly.trimmer import Trimmer
from services.shared.conversation import Role
from services.shared.tools import Tool
from services.tokenizer.api import TemplateMessage, TemplateRefused
from tests.fakes.context_assembly import (
    PICTURE,
    SEEING,
    WordTokenizer,
    asked,
    assistant,
    developer,
    sent,
    user,
)

# Eight tokens a turn.
TURNS = [PastTurn(f"t{n}", [user(f"q{n} is long")], [assistant(f"a{n}")], []) for n in range(10)]
PATH = Path(TURNS, root=TURNS[0])
COVERED = Path(TURNS[1:3], Summary("t0", 2, "They met."), root=TURNS[0])


def prompted(assembly: Assembly, path: Path = PATH) -> Prompt:
    return prompt_of(assembly, path, lay_out(path, assembly, Shown()), Shown())


async def test_what_fits_stays_whole_and_asks_the_tokenizer_once() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now", parent_id="t9", tools=[Tool("clock", "", "{}")])
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly), 150)
    assert trimmed.dropped_through_unit == 0
    assert len(tokenizer.messages(trimmed.ids)) == 21
    assert tokenizer.text(trimmed.ids).endswith("</> <user> now </> <assistant>")
    (request,) = tokenizer.requests
    assert request.tools == assembly.tools
    assert request.drop_step_tokens == 200 // 8
    assert request.left_out == TemplateMessage(Role.SYSTEM, LEFT_OUT)


async def test_the_marker_stands_where_exchanges_were_dropped() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now", parent_id="t9", instructions="Sell.")
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly), 70)
    kept = tokenizer.messages(trimmed.ids)
    assert kept[:2] == ["system: Sell.", f"system: {LEFT_OUT}"]
    assert kept[2] == f"user: q{trimmed.dropped_through_unit} is long"
    assert kept[-1] == "user: now"
    assert len(trimmed.ids) <= 70


async def test_a_request_that_is_too_long_says_by_how_much() -> None:
    assembly = asked("one two three", parent_id="t9")
    with pytest.raises(InputTooLong) as caught:
        await Trimmer(WordTokenizer()).trim(assembly, prompted(assembly), 5)
    assert caught.value.details["max_tokens"] == "5"
    window = assembly.model.context_tokens
    assert f"maximum context length is {window} tokens" in caught.value.message
    assert int(caught.value.details["tokens"]) > 5


async def test_there_is_no_marker_where_nothing_may_be_dropped() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now")
    await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
    assert tokenizer.requests[0].left_out is None


async def test_a_template_that_refuses_a_summary_gets_it_in_the_first_system_message() -> None:
    assembly = asked("now", parent_id="t2", instructions="Sell.")
    tokenizer = WordTokenizer(strict=True)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, COVERED), 150)
    assert tokenizer.messages(trimmed.ids)[:2] == [
        "system: Sell. [Summary of earlier turns] They met.",
        "user: q1 is long",
    ]


async def test_our_words_are_not_said_where_they_would_not_fit() -> None:
    assembly = asked("now", parent_id="t2", instructions="Sell.")
    tokenizer = WordTokenizer(strict=True)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, COVERED), 10)
    assert tokenizer.messages(trimmed.ids) == ["system: Sell.", "user: now"]
    with pytest.raises(InputTooLong) as caught:
        await Trimmer(tokenizer).trim(assembly, prompted(assembly, COVERED), 6)
    assert caught.value.details["tokens"] == "7"


async def test_a_template_without_system_messages_reads_what_others_said() -> None:
    assembly = asked("", input=[sent(Role.USER, PICTURE, "now")], parent_id="t2")
    tokenizer = WordTokenizer(strict=True, systems=0)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, COVERED), 150)
    assert [message.split()[0] for message in tokenizer.messages(trimmed.ids)] == [
        *("user:", "assistant:", "user:", "assistant:", "user:"),
    ]


async def test_what_is_left_says_which_pictures_and_facts_it_holds() -> None:
    path = Path([replace(TURNS[0], memory_ids=["m1"]), *TURNS[1:3]], root=TURNS[0])
    saying = [sent(Role.USER, "look", PICTURE)]
    assembly = asked("", input=saying, parent_id="t2", model=SEEING)
    shown = Shown({"p1": "Be brief"}, {"m1": "Rex is a dog", "m2": "Tom is a cat"}, ["m2"])
    prompt = prompt_of(assembly, path, lay_out(path, assembly, shown), shown)
    trimmer = Trimmer(WordTokenizer())
    whole = await trimmer.trim(assembly, prompt, 150)
    assert (whole.fact_ids, whole.pictures) == (["p1", "m1", "m2"], [PICTURE])
    cut = await trimmer.trim(assembly, prompt, 50)
    assert cut.dropped_through_unit == 2
    assert (cut.fact_ids, cut.pictures) == (["p1", "m2"], [PICTURE])


async def test_a_template_with_room_for_one_system_message_gets_one() -> None:
    tokenizer = WordTokenizer(strict=True)
    one = asked("", input=[developer("Rule."), user("now")], instructions="Sell.")
    other = asked("", input=[developer("Rule."), developer("More."), user("now")])
    for assembly in (one, other):
        trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
        roles = [message.split(":")[0] for message in tokenizer.messages(trimmed.ids)]
        assert roles == ["system", "user"]


async def test_a_strict_template_is_told_of_parts_in_the_first_system_message() -> None:
    said = [sent(Role.USER, PICTURE, "see"), assistant("Yes?"), sent(Role.USER, PICTURE, "now")]
    assembly = asked("", input=said, instructions="Sell.")
    tokenizer = WordTokenizer(strict=True)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 150)
    assert tokenizer.messages(trimmed.ids) == [
        "system: Sell. [Parts of this conversation are pictures."
        " This model reads text only and does not see them.]",
        *("user: see", "assistant: Yes?", "user: now"),
    ]


async def test_what_is_refused_for_another_reason_stays_refused() -> None:
    tokenizer = WordTokenizer(strict=True)
    assembly = asked("", input=[user("one"), user("two")])
    with pytest.raises(TemplateRefused) as refused:
        await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
    assert refused.value.details == {"param": "input"}
    assert len(tokenizer.requests) == 1
