"""What an examination of a release finds."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is what to do about it, a command where there is one."""

    where: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Examination:
    findings: Sequence[Finding]
    # What could not be looked at, and why.
    unseen: Sequence[str]
