"""What a turn will do: decided before it starts, and asked again before every call of a tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.gateway.api import Ask, InvalidRequest
from services.gateway.authenticator import Principal
from services.gateway.ports import Account
from services.inference.api import ModelCard
from services.shared.conversation import Call
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolMode

# What is kept free for a reply of open length: tokens, or at most this part of the window.
_REPLY_TOKENS = 1024
_REPLY_SHARE = 4
# For a reply of a length that was asked for, at most this part is kept free.
_ASKED_SHARE = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """A turn that was admitted."""

    principal: Principal
    ask: Ask
    response_id: str
    created_at_ms: int
    scope: Scope
    card: ModelCard
    # The mesh's own tools that may be called from now on.
    own_tools: Sequence[Tool]
    # How many calls of them may still be run; None: any number.
    calls_left: int | None

    @property
    def output_tokens(self) -> int:
        """Tokens to keep free for the reply."""
        window = self.card.context_tokens
        if asked := self.ask.sampling.max_tokens:
            return min(asked, window // _ASKED_SHARE)
        return min(_REPLY_TOKENS, window // _REPLY_SHARE)

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The functions that the model is shown. Of several that bear one name, the last counts."""
        if self.ask.choice.mode is ToolMode.NONE:
            return ()
        return (*self.own_tools, *self.functions.values())

    @property
    def functions(self) -> Mapping[str, Tool]:
        """The caller's functions that may be called, by their names."""
        if self.ask.choice.mode is ToolMode.NONE:
            return {}
        return {tool.name: tool for tool in self.ask.functions}

    @property
    def reads_memory(self) -> bool:
        """A plain request is a plain call of the model: it does not read memory either."""
        return self.ask.own_tools is not None

    def runs(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Of the model's calls, those of tools that are offered, and no more than are left.

        The model may write anything.
        """
        names = {tool.name for tool in self.own_tools}
        return [call for call in calls if call.name in names][: self.calls_left]

    def after(self, calls: int) -> "Plan":
        """The plan once so many more calls have been run."""
        if self.calls_left is None:
            return self
        left = self.calls_left - calls
        return replace(self, calls_left=left, own_tools=self.own_tools if left else ())


def wants_own_tools(ask: Ask, card: ModelCard) -> bool:
    """Whether the request asks for the mesh's own tools, and they do not stand in its way.

    They do where there is a format to keep, where there are several choices, and where one of the
    caller's functions must be called.
    """
    if ask.own_tools is None or ask.max_tool_calls == 0 or not card.calls_tools:
        return False
    if ask.format or ask.sampling.n > 1 or ask.choice.mode is ToolMode.NONE:
        return False
    if ask.choice.mode is ToolMode.NAMED:
        return ask.choice.name not in _names(ask.functions)
    return not (ask.choice.mode is ToolMode.REQUIRED and ask.functions)


def allowed_own_tools(ask: Ask, account: Account, tools: Sequence[Tool]) -> Sequence[Tool]:
    """Of the mesh's own tools, those that the request and the account allow.

    A caller's function hides one of the same name.
    """
    wanted = ask.own_tools
    taken = _names(ask.functions)
    return [
        tool
        for tool in tools
        if wanted is not None
        and wanted.include(tool.name)
        and tool.name not in taken
        and (account.memory_write or not tool.writes_memory)
    ]


def check(plan: Plan) -> None:
    """Refuses what cannot be done, by the field that asks for it."""
    ask, card = plan.ask, plan.card
    if ask.background and not ask.store:
        raise InvalidRequest("needs `store`: nobody could fetch the response", param="background")
    if ask.conversation and ask.previous_response_id:
        raise InvalidRequest(
            "cannot be used together with `conversation`", param="previous_response_id"
        )
    if ask.functions and not card.calls_tools:
        raise InvalidRequest(f"{card.id} cannot call functions", param="tools")
    if ask.choice.mode is ToolMode.NAMED and ask.choice.name not in _names(plan.offered):
        raise InvalidRequest("names a function that is not in `tools`", param="tool_choice")
    if ask.choice.mode is ToolMode.REQUIRED and not plan.offered:
        raise InvalidRequest(
            "requires a call, and `tools` has nothing that could be called", param="tool_choice"
        )


def _names(tools: Sequence[Tool]) -> frozenset[str]:
    return frozenset(tool.name for tool in tools)
