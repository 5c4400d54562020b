"""Lets calls out only as what they claim to be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from services.inference.api import CallDelta
from services.inference.call_check import CallCheck
from services.inference.ports import HeldCalls, OutputReader, ReadOutput
from services.inference.text_input import TextInputReader
from services.shared.tools import TextInput, TextSyntax, Tool

# Whether a text is one that the grammar of a tool's text allows.
Follows = Callable[[TextInput, str], bool]


@dataclass(slots=True)
class _Call:
    """The call that grows now."""

    index: int
    tool: Tool | None
    # Whether the backend's grammar holds it, so that its pieces may leave as they come.
    held: bool
    name: str
    written: list[str] = field(default_factory=list)
    text: TextInputReader | None = None

    @property
    def arguments(self) -> str:
        """Models may write nothing where there is nothing to say."""
        return "".join(self.written).strip() or "{}"


class _Openings:
    """Which calls began as the grammar that holds them wants it, by what the model has written."""

    def __init__(self, openings: Sequence[str]) -> None:
        self._openings = openings
        self._longest = max(map(len, openings), default=0)
        self._text = ""

    def hear(self, text: str) -> None:
        self._text += text

    def taken(self, name: str) -> bool:
        """Whether a call of that name began so; each opening is of one call."""
        for opening in self._openings:
            start = self._text.find(opening) if name in opening else -1
            if start >= 0:
                self._text = self._text[start + len(opening) :]
                return True
        return False

    def forget(self) -> None:
        """All but what may still become an opening."""
        self._text = self._text[-self._longest :] if self._longest else ""


class CheckedCalls:
    """An `OutputReader` that reads as another one does, and checks the calls.

    Calls that are `held` leave piece by piece; all others leave whole, when they are known to be
    calls. After the first that is none no further call leaves; the last piece is `broken`.
    """

    def __init__(
        self, reader: OutputReader, check: CallCheck, held: HeldCalls, follows: Follows
    ) -> None:
        self._reader = reader
        self._check = check
        self._held = held
        self._openings = _Openings(held.openings)
        self._follows = follows
        self._call: _Call | None = None
        self._invalid = False

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        self._openings.hear(text)
        read = self._reader.read(text, ids, finished=finished)
        calls = [left for delta in read.calls for left in self._grown(delta)]
        self._openings.forget()
        if finished:
            calls += self._ended()
            self._invalid = self._invalid or read.broken
        return replace(read, calls=tuple(calls), broken=finished and self._invalid)

    def reasoning_tokens(self) -> int:
        return self._reader.reasoning_tokens()

    def _grown(self, delta: CallDelta) -> list[CallDelta]:
        left: list[CallDelta] = []
        if self._call is None or self._call.index != delta.index:
            left = self._ended()
            if not self._invalid:
                left += self._begun(delta)
        if self._invalid or self._call is None:
            return left
        return left + self._piece(self._call, delta.arguments)

    def _begun(self, delta: CallDelta) -> list[CallDelta]:
        tool = self._check.tool(delta.name)
        self._call = _Call(delta.index, tool, False, delta.name)
        if tool and tool.text_input:
            self._call.text = TextInputReader()
        return [] if self._held.openings else self._hold(self._call)

    def _hold(self, call: _Call) -> list[CallDelta]:
        call.held = call.tool is not None and call.name in self._held.names
        return [CallDelta(call.index, call.name)] if call.held else []

    def _piece(self, call: _Call, arguments: str) -> list[CallDelta]:
        left: list[CallDelta] = []
        # Its opening is whole when its arguments begin.
        if arguments and not "".join(call.written) and self._openings.taken(call.name):
            left = self._hold(call)
        call.written.append(arguments)
        if not call.held:
            return left
        shown = call.text.feed(arguments) if call.text else arguments
        return [*left, CallDelta(call.index, arguments=shown)] if shown else left

    def _ended(self) -> list[CallDelta]:
        """What of the last call has waited for its end; nothing if it is none."""
        call, self._call = self._call, None
        if call is None or self._invalid:
            return []
        if not self._sound(call):
            self._invalid = True
            return []
        nothing_written = not "".join(call.written).strip()
        if call.held:
            return [CallDelta(call.index, arguments="{}")] if nothing_written else []
        said = call.text.feed(call.arguments) if call.text else call.arguments
        return [CallDelta(call.index, call.name, said)]

    def _sound(self, call: _Call) -> bool:
        if call.tool is None or not self._check.holds(call.tool, call.arguments):
            return False
        wanted = call.tool.text_input
        if call.held or wanted is None or wanted.syntax is TextSyntax.ANY:
            return True
        return self._follows(wanted, TextInputReader().feed(call.arguments))
