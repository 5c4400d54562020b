"""What the tool-runner promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.shared.conversation import Parts
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall


class UnknownTool(MeshError):
    """No such tool for this scope."""

    status = "NOT_FOUND"


class Failure(Enum):
    INVALID_ARGUMENTS = "invalid_arguments"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"  # something that the tool needs
    REFUSED = "refused"
    FAILED = "failed"  # the tool ran and could not do what was asked


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model shall read of a call, and why the tool failed if it did."""

    parts: Parts
    failure: Failure | None = None


class ToolRunner(Protocol):
    """Runs the mesh's own tools inside their limits, or says why not."""

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        """The tools that this scope may use."""

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        """Runs one call; a tool that fails is an outcome. Cancelling stops the tool."""
