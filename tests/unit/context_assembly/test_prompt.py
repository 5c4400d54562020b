from collections.abc import Sequence

from services.context_assembly import substitutes
from services.context_assembly.api import Assembly
from services.context_assembly.layout import Shown, lay_out
from services.context_assembly.ports import PastTurn, Path, Summary
from services.context_assembly.prompt import LEFT_OUT, Prompt, prompt_of
from services.shared.conversation import Audio, Compaction, Item, Role
from services.tokenizer.api import Candidate, TemplateMessage
from tests.fakes.context_assembly import (
    PICTURE,
    asked,
    assistant,
    call,
    developer,
    result,
    sent,
    user,
)

S, U, A = Role.SYSTEM, Role.USER, Role.ASSISTANT
TURNS = [PastTurn(f"t{n}", [user(f"q{n}")], [assistant(f"a{n}")], []) for n in range(3)]
PATH = Path(TURNS, root=TURNS[0])


def prompted(
    assembly: Assembly, path: Path | None = None, preferences: Sequence[str] = ()
) -> Prompt:
    path = path or Path()
    shown = Shown({f"p{n}": text for n, text in enumerate(preferences)})
    return prompt_of(assembly, path, lay_out(path, assembly, shown), shown)


def outline(candidates: Sequence[Candidate]) -> list[tuple[int, str]]:
    return [(candidate.unit, candidate.message.text) for candidate in candidates]


def system(assembly: Assembly, *preferences: str) -> str:
    first = prompted(assembly, preferences=preferences).candidates()[0].message
    return first.text if first.role is S else ""


def test_the_system_message_has_its_parts_in_order() -> None:
    assembly = asked("hi", instructions="Sell shoes.", custom_instructions="Call me Ann.")
    assert system(assembly, "I eat no meat", "Be brief") == (
        "Sell shoes.\n\n"
        "# Custom instructions\nCall me Ann.\n\n"
        "# Keep in mind about the user\n- I eat no meat\n- Be brief"
    )


def test_absent_parts_leave_no_blank_lines() -> None:
    assert system(asked("hi", instructions="Sell shoes.")) == "Sell shoes."
    assert system(asked("hi", custom_instructions="Be brief.")) == (
        "# Custom instructions\nBe brief."
    )
    assert system(asked("hi"), "Be brief") == "# Keep in mind about the user\n- Be brief"


def test_there_is_no_system_message_without_parts() -> None:
    assert prompted(asked("hi")).candidates() == [Candidate(TemplateMessage(U, "hi"))]


def test_stored_exchanges_may_be_dropped_oldest_first_and_the_request_never() -> None:
    assert outline(prompted(asked("now", parent_id="t2"), PATH).candidates()) == [
        *[(1, "q0"), (1, "a0"), (2, "q1"), (2, "a1"), (3, "q2"), (3, "a2")],
        (0, "now"),
    ]


REQUEST: Sequence[Item] = [
    developer("rule"),
    user("q"),
    assistant("a"),
    user("q"),
    call("f"),
    result("f"),
    user("last"),
    developer("rule"),
]


def test_the_requests_own_items_are_never_dropped() -> None:
    candidates = prompted(asked("", input=REQUEST)).candidates()
    assert {candidate.unit for candidate in candidates} == {0}


def test_the_requests_own_items_may_be_dropped_when_it_says_so() -> None:
    candidates = prompted(asked("", input=REQUEST, truncate_input=True)).candidates()
    assert [candidate.unit for candidate in candidates] == [0, 1, 1, 2, 2, 2, 0, 0]


def test_a_stored_call_stays_with_the_result_that_the_request_brings() -> None:
    pending = PastTurn("t0", [user("q")], [call("f")], [])
    later = PastTurn("t1", [user("well?")], [assistant("waiting")], [])
    path = Path([pending, later], root=pending)
    request = [user("here"), result("f")]
    candidates = prompted(asked("", input=request, parent_id="t1"), path).candidates()
    assert [candidate.unit for candidate in candidates] == [0, 0, 0, 1, 1, 0]


def test_stored_rounds_of_an_exchange_that_goes_on_may_be_dropped_before_its_beginning() -> None:
    root = PastTurn("t0", [user("go")], [call("a", "1"), call("f")], [])
    path = Path([TURNS[1], root], root=root)
    candidates = prompted(asked("", input=[result("f")], parent_id="t0"), path).candidates()
    assert outline(candidates) == [
        *[(1, "q1"), (1, "a1")],
        (0, "go"),
        *[(2, ""), (2, "1")],
        *[(0, ""), (0, "found")],
    ]


def test_a_summary_stands_before_what_it_does_not_cover_and_goes_with_it() -> None:
    path = Path(TURNS[:2], Summary("t0", 2, "They met."), root=TURNS[0])
    assert outline(prompted(asked("now", parent_id="t1"), path).candidates()) == [
        (1, "[Summary of earlier turns]\nThey met."),
        *[(1, "q1"), (1, "a1"), (0, "now")],
    ]


def test_unread_turns_leave_the_marker() -> None:
    path = Path(TURNS[1:2], root=TURNS[0], cut=True)
    candidates = prompted(asked("now", parent_id="t1"), path).candidates()
    assert candidates[0] == Candidate(TemplateMessage(S, LEFT_OUT), 1)


def test_a_new_summary_takes_the_place_of_exchanges() -> None:
    prompt = prompted(asked("now", parent_id="t2", instructions="Sell."), PATH)
    after = prompt.after(2, Summary("t1", 2, "They met."))
    assert outline(after.candidates()) == [
        (0, "Sell."),
        (1, "[Summary of earlier turns]\nThey met."),
        *[(1, "q2"), (1, "a2"), (0, "now")],
    ]
    alone = prompt.after(3, Summary("t2", 2, "They met."))
    assert [candidate.unit for candidate in alone.candidates()] == [0, 1, 0]


def test_another_form_says_what_is_ours_in_one_system_message_and_the_last_leaves_it_out() -> None:
    root = PastTurn("t0", [developer("Rule."), user("q0")], [assistant("a0")], [])
    began: list[Item] = [Compaction("c", "They parted."), sent(U, PICTURE, "q1")]
    later = PastTurn("t1", began, [assistant("a1")], [])
    path = Path([later], Summary("t0", 3, "They met."), root=root)
    saying = [sent(U, Audio("audio/wav", b"RIFF"))]
    assembly = asked("", input=saying, parent_id="t1", instructions="Sell.")
    exchanged = [
        Candidate(TemplateMessage(U, "q1"), 1),
        Candidate(TemplateMessage(A, "a1"), 1),
        Candidate(TemplateMessage(U)),
    ]
    ours = (
        "[Summary of earlier turns]\nThey parted.\n\n"
        "[Parts of this conversation are pictures and audio recordings."
        " This model reads text only and does not see them.]"
    )
    assert list(prompted(assembly, path).other_forms()) == [
        [Candidate(TemplateMessage(S, f"Sell.\n\nRule.\n\n{ours}")), *exchanged],
        [Candidate(TemplateMessage(S, "Sell.\n\nRule.")), *exchanged],
    ]


def test_what_the_application_cannot_show_is_told_in_the_one_system_message() -> None:
    saying = [sent(Role.DEVELOPER, "Rule.", PICTURE), user("q")]
    first, last = prompted(asked("", input=saying)).other_forms()
    assert outline(first) == [
        (0, f"Rule.\n\n{substitutes.anywhere([PICTURE], sees=False)}"),
        (0, "q"),
    ]
    assert outline(last) == [(0, "Rule."), (0, "q")]


def test_a_prompt_in_which_nothing_is_ours_has_no_other_form() -> None:
    assert not list(prompted(asked("now", parent_id="t2"), PATH).other_forms())


def test_what_is_ours_and_what_is_shown_go_with_their_exchange() -> None:
    turns = [PastTurn(f"t{n}", [sent(U, PICTURE, f"q{n}")], [], []) for n in range(2)]
    path = Path(turns, root=turns[0])
    prompt = prompted(asked("now", parent_id="t1"), path)
    assert [candidate.unit for candidate in prompt.candidates()] == [1, 1, 2, 2, 0]
    assert [said.message.text for said in prompt.kept(1)][1:] == ["q1", "now"]
    assert [said.message.text for said in prompt.kept(2)] == ["now"]
