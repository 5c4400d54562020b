import pytest

from services.context_assembly.api import Assembly, InputTooLong
from services.context_assembly.layout import Shown, lay_out
from services.context_assembly.ports import PastTurn, Path, Summary
from services.context_assembly.prompt import LEFT_OUT, Prompt, prompt_of
from services.context_assembly.trimmer import Trimmer
from services.shared.chat import Message, Role, Tool
from services.tokenizer.api import TemplateRefused
from tests.fakes.context_assembly import (
    FirmTokenizer,
    WordTokenizer,
    asked,
    assistant,
    developer,
    user,
)

# Eight tokens a turn.
TURNS = [PastTurn(f"t{n}", [user(f"q{n} is long")], [assistant(f"a{n}")], []) for n in range(10)]
PATH = Path(TURNS, root=TURNS[0])
COVERED = Path(TURNS[1:3], Summary("t0", 2, "They met."), root=TURNS[0])


def prompted(assembly: Assembly, path: Path = PATH) -> Prompt:
    return prompt_of(assembly, path, lay_out(path, assembly, Shown()), ())


def texts(messages: object) -> list[str]:
    assert isinstance(messages, list)
    return [message.text for message in messages]


async def test_what_fits_stays_whole_and_asks_the_tokenizer_once() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now", parent_id="t9", tools=[Tool("clock", "", "{}")])
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly), 150)
    assert trimmed.dropped_through_unit == 0
    assert len(trimmed.messages) == 21
    assert tokenizer.text(trimmed.ids).endswith("</> <user> now </> <assistant>")
    (request,) = tokenizer.requests
    assert request.tools == assembly.tools
    assert request.drop_step_tokens == 200 // 8
    assert request.left_out == Message(Role.SYSTEM, LEFT_OUT)


async def test_the_marker_stands_where_exchanges_were_dropped() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now", parent_id="t9", instructions="Sell.")
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly), 70)
    kept = texts(trimmed.messages)
    assert kept[:2] == ["Sell.", LEFT_OUT]
    assert kept[2] == f"q{trimmed.dropped_through_unit} is long"
    assert kept[-1] == "now"
    assert len(trimmed.ids) <= 70
    for text in kept:
        assert text in tokenizer.text(trimmed.ids)


async def test_a_request_that_is_too_long_says_by_how_much() -> None:
    assembly = asked("one two three", parent_id="t9")
    with pytest.raises(InputTooLong) as caught:
        await Trimmer(WordTokenizer()).trim(assembly, prompted(assembly), 5)
    assert caught.value.details["max_tokens"] == "5"
    assert int(caught.value.details["tokens"]) > 5


async def test_there_is_no_marker_where_nothing_may_be_dropped() -> None:
    tokenizer = WordTokenizer()
    assembly = asked("now")
    await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
    assert tokenizer.requests[0].left_out is None


async def test_a_template_that_refuses_a_summary_gets_it_inside_the_users_words() -> None:
    assembly = asked("now", parent_id="t2", instructions="Sell.")
    tokenizer = WordTokenizer(strict=True)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, COVERED), 150)
    assert texts(trimmed.messages)[:2] == [
        "Sell.",
        "[Summary of earlier turns]\nThey met.\n\nq1 is long",
    ]
    assert "They met. q1" in tokenizer.text(trimmed.ids)


async def test_a_template_with_room_for_one_system_message_gets_one() -> None:
    tokenizer = WordTokenizer(strict=True)
    one = asked("", input=[developer("Rule."), user("now")], instructions="Sell.")
    other = asked("", input=[developer("Rule."), developer("More."), user("now")])
    for assembly in (one, other):
        trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
        assert [message.role for message in trimmed.messages] == [Role.SYSTEM, Role.USER]


async def test_a_template_that_refuses_the_marker_gets_it_as_the_users() -> None:
    assembly = asked("now", parent_id="t9")
    tokenizer = FirmTokenizer(WordTokenizer(), refused=Role.SYSTEM)
    trimmed = await Trimmer(tokenizer).trim(assembly, prompted(assembly), 70)
    assert trimmed.messages[0] == Message(Role.USER, LEFT_OUT)


async def test_what_is_refused_for_another_reason_stays_refused() -> None:
    tokenizer = WordTokenizer(strict=True)
    assembly = asked("", input=[user("one"), user("two")])
    with pytest.raises(TemplateRefused):
        await Trimmer(tokenizer).trim(assembly, prompted(assembly, Path()), 70)
    assert len(tokenizer.requests) == 1
