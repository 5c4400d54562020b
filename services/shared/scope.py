"""Whose state a call may touch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Derived from the credential, never from a body. Every stored row belongs to one.

    `person` is empty when the application named nobody: such a scope has no memory.
    """

    organisation: str
    project: str
    person: str = ""
