"""What a turn may do, by its request and its account."""

from dataclasses import replace

import pytest

from services.gateway.api import Ask, OwnTools
from services.gateway.authenticator import Principal
from services.gateway.plan import Plan, allowed_own_tools, wants_own_tools
from services.gateway.ports import Account, AccountKind
from services.gateway.sealing import Sealer
from services.inference.api import FormatKind, OutputFormat, Sampling
from services.shared.conversation import Call, Role, said
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.fakes.mesh import CARD

ADA = Account("acct_1", "Ada", AccountKind.PERSONAL)
PLAIN = Ask("demo", (said("msg_0", Role.USER, "hello"),))
ALL = replace(PLAIN, own_tools=OwnTools())
CLOCK = Tool("clock", "Tell the time.", "{}")
REMEMBER = Tool("remember", "Keep a fact.", "{}", writes_memory=True)


def plan(ask: Ask, calls_left: int | None = None) -> Plan:
    principal = Principal(ADA, "key_1", Sealer(b"secret", ADA.id))
    scope = ADA.scope("")
    return Plan(principal, ask, "resp_1", 1, scope, CARD, [CLOCK, REMEMBER], calls_left)


def called(*names: str) -> list[Call]:
    return [Call(f"mcp_{n}", f"call_{n}", name, "{}") for n, name in enumerate(names)]


def allowed(ask: Ask, account: Account = ADA) -> list[str]:
    return [tool.name for tool in allowed_own_tools(ask, account, [CLOCK, REMEMBER])]


def test_memory_is_written_only_for_an_account_that_may() -> None:
    assert allowed(ALL) == ["clock"]
    assert allowed(ALL, replace(ADA, memory_write=True)) == ["clock", "remember"]


def test_only_what_the_request_asks_for_is_allowed() -> None:
    writer = replace(ADA, memory_write=True)
    assert allowed(PLAIN, writer) == []
    assert allowed(replace(ALL, own_tools=OwnTools(frozenset({"remember"}))), writer) == [
        "remember"
    ]
    assert allowed(replace(ALL, own_tools=OwnTools(frozenset()))) == []
    assert allowed(replace(ALL, functions=(replace(CLOCK, description="mine"),))) == []


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        (PLAIN, False),
        (ALL, True),
        (replace(ALL, max_tool_calls=0), False),
        (replace(ALL, format=OutputFormat(FormatKind.JSON_OBJECT)), False),
        (replace(ALL, sampling=Sampling(n=2)), False),
        (replace(ALL, choice=ToolChoice(ToolMode.NONE)), False),
        (replace(ALL, choice=ToolChoice(ToolMode.REQUIRED)), True),
        (replace(ALL, choice=ToolChoice(ToolMode.REQUIRED), functions=(CLOCK,)), False),
        (replace(ALL, choice=ToolChoice(ToolMode.NAMED, "clock")), True),
        (replace(ALL, choice=ToolChoice(ToolMode.NAMED, "clock"), functions=(CLOCK,)), False),
    ],
)
def test_own_tools_are_wanted_where_they_are_asked_for_and_not_in_the_way(
    ask: Ask, wanted: bool
) -> None:
    assert wants_own_tools(ask, CARD) is wanted
    assert not wants_own_tools(ask, replace(CARD, calls_tools=False))


def test_what_is_not_offered_is_not_run_and_no_more_than_are_left() -> None:
    calls = called("clock", "weather", "remember", "clock")
    assert plan(ALL).runs(calls) == [calls[0], calls[2], calls[3]]
    assert plan(ALL, calls_left=2).runs(calls) == [calls[0], calls[2]]


def test_nothing_is_offered_once_no_call_is_left() -> None:
    assert plan(ALL).after(5).offered == (CLOCK, REMEMBER)
    assert plan(ALL, calls_left=2).after(1).offered == (CLOCK, REMEMBER)
    assert plan(ALL, calls_left=2).after(2).offered == ()


def test_a_function_that_must_not_be_called_is_not_offered() -> None:
    silent = plan(replace(ALL, functions=(CLOCK,), choice=ToolChoice(ToolMode.NONE)))
    assert not silent.offered
    assert not silent.functions


def test_of_functions_that_bear_one_name_the_last_is_offered() -> None:
    """The engine knows a function by its name alone."""
    first, last = (Tool("f", description, "{}") for description in ("first", "last"))
    made = plan(replace(PLAIN, functions=(first, last)))
    assert made.offered == (CLOCK, REMEMBER, last)
    assert made.functions == {"f": last}


def test_only_who_asks_for_the_mesh_has_memory_read() -> None:
    assert plan(ALL).reads_memory
    assert not plan(PLAIN).reads_memory
