"""What a new fact does to an old one: says the same, takes its place, or stands beside it."""

from dataclasses import dataclass
from enum import Enum

from services.memory.claims import Claim, claims
from services.memory.statements import Statement, statements


class Relation(Enum):
    SAME = "same"
    NEWER = "newer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Reading:
    """A fact's statements and what each settles."""

    statements: tuple[Statement, ...]
    claims: tuple[tuple[Claim, ...], ...]

    def relations(self) -> set[tuple[str, ...]]:
        return {claim.relation for claims in self.claims for claim in claims}


def read(text: str) -> Reading:
    found = tuple(statements(text))
    return Reading(found, tuple(tuple(claims(statement)) for statement in found))


def relation(new: Reading, old: Reading) -> Relation:
    """What `new` is to `old`. A fact of several statements is never replaced for one of them."""
    if len(old.statements) != 1:
        return Relation.SAME if _words(new) == _words(old) else Relation.OTHER
    found = {
        _between(new.statements[n], new.claims[n], old.statements[0], old.claims[0])
        for n in range(len(new.statements))
    }
    return next((r for r in (Relation.NEWER, Relation.SAME) if r in found), Relation.OTHER)


def _words(reading: Reading) -> tuple[tuple[object, ...], ...]:
    return tuple((statement.words(), statement.negated) for statement in reading.statements)


def _between(
    new: Statement, new_claims: tuple[Claim, ...], old: Statement, old_claims: tuple[Claim, ...]
) -> Relation:
    if not new.words():
        return Relation.OTHER
    if new.negated == old.negated and new.words() == old.words():
        return Relation.SAME
    if new.negated != old.negated and new.stems() == old.stems():
        return Relation.NEWER
    settled = {claim.relation: claim for claim in old_claims}
    met = [(claim, settled[claim.relation]) for claim in new_claims if claim.relation in settled]
    if any(mine.value != theirs.value for mine, theirs in met):
        return Relation.NEWER
    # An old fact that says more than the new one stays.
    return Relation.SAME if any(theirs.whole for _, theirs in met) else Relation.OTHER
