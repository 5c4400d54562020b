from structlog.testing import capture_logs

from services.context_assembly.layout import Shown
from services.context_assembly.memories import Recaller
from services.context_assembly.ports import PastTurn, Path
from services.memory.api import Kind
from services.shared.errors import Unavailable
from services.shared.scope import Scope
from tests.fakes.context_assembly import (
    SCOPE,
    FactMemory,
    FailingMemory,
    asked,
    assistant,
    result,
    user,
)

TURNS = [
    PastTurn("t0", [user("hi")], [], ["m1", "m2"]),
    PastTurn("t1", [user("hi")], [], ["m2", "m3"]),
]
PATH = Path(TURNS, root=TURNS[0])


def remembering() -> FactMemory:
    memory = FactMemory()
    memory.keep("m1", "Rex is a dog")
    memory.keep("m3", "Ann lives\n in  Oslo")
    memory.keep("m4", "Tom is a cat")
    return memory


async def test_one_call_looks_for_this_turns_memories_and_the_paths_again() -> None:
    memory = remembering()
    shown = await Recaller(memory, query_chars=50).recall(asked("who is Tom"), PATH)
    assert memory.asked == [(SCOPE, "who is Tom", ("m1", "m2", "m3"))]
    assert shown.ids == ["m1", "m4"]
    assert shown.facts == {
        "m1": "Rex is a dog",
        "m3": "Ann lives in Oslo",
        "m4": "Tom is a cat",
    }


async def test_a_turn_that_may_not_read_memory_asks_it_nothing() -> None:
    memory = remembering()
    shown = await Recaller(memory, query_chars=50).recall(
        asked("who is Tom", reads_memory=False), PATH
    )
    assert memory.asked == []
    assert shown == Shown()


async def test_a_later_round_shows_what_the_first_was_given_and_looks_for_nothing() -> None:
    memory = remembering()
    assembly = asked("who is Rex", memory_ids=["m4", "gone"])
    shown = await Recaller(memory, query_chars=50).recall(assembly, Path())
    assert memory.asked == [(SCOPE, "", ("m4", "gone"))]
    assert (shown.ids, shown.facts) == (["m4", "gone"], {"m4": "Tom is a cat"})


async def test_the_query_is_the_users_last_text() -> None:
    memory = remembering()
    said = [user("first"), user("last"), assistant("Yes?"), result("f")]
    await Recaller(memory, query_chars=50).recall(asked("", input=said), Path())
    await Recaller(memory, query_chars=50).recall(asked("", input=[result("f")]), Path())
    assert [query for _, query, _ in memory.asked] == ["last", ""]


async def test_a_long_text_asks_with_its_beginning_and_its_end() -> None:
    memory = remembering()
    text = "Who is Rex?" + " bla" * 1000 + " Tell me!"
    await Recaller(memory, query_chars=24).recall(asked(text), Path())
    assert memory.asked[0][1] == "Who is Rex? \nbla Tell me!"


async def test_a_scope_without_a_user_has_no_memory_at_all() -> None:
    memory = remembering()
    shown = await Recaller(memory, query_chars=50).recall(
        asked("who is Rex", scope=Scope("acme", "main")), PATH
    )
    assert memory.asked == []
    assert shown == Shown()


async def test_preferences_are_in_the_order_of_their_age() -> None:
    memory = FactMemory()
    memory.keep("p2", "Be  brief", Kind.PREFERENCE, at=2)
    memory.keep("p3", "Call me Ann", Kind.PREFERENCE, at=3)
    memory.keep("p1", "No meat", Kind.PREFERENCE, at=1)
    shown = await Recaller(memory, query_chars=50).recall(asked("hi"), Path())
    assert [*shown.preferences.items()] == [
        ("p1", "No meat"),
        ("p2", "Be brief"),
        ("p3", "Call me Ann"),
    ]


async def test_without_memory_the_turn_goes_on_and_says_so_without_its_words() -> None:
    recaller = Recaller(FailingMemory(Unavailable("away")), query_chars=50)
    with capture_logs() as logs:
        first = await recaller.recall(asked("CANARY"), PATH)
        later = await recaller.recall(asked("CANARY", memory_ids=["m1"]), PATH)
    assert (first.ids, later.ids) == ((), ["m1"])
    assert [entry["log_level"] for entry in logs] == ["warning", "warning"]
    assert "CANARY" not in str(logs)
