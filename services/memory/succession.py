"""What a new fact does to an old one: it says the same, takes its place, or stands beside it."""

from dataclasses import dataclass
from enum import Enum

from services.memory.claims import Claim, claims
from services.memory.statements import Statement, statements


class Succession(Enum):
    SAME = "same"
    NEWER = "newer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class UnderstoodFact:
    """A fact taken apart: its statements, and the claims that each of them makes."""

    statements: tuple[Statement, ...]
    # One tuple for each statement.
    claims: tuple[tuple[Claim, ...], ...]

    def relations(self) -> set[tuple[str, ...]]:
        return {claim.relation for claims in self.claims for claim in claims}


def understood(text: str) -> UnderstoodFact:
    found = tuple(statements(text))
    return UnderstoodFact(found, tuple(tuple(claims(statement)) for statement in found))


def succession(new: UnderstoodFact, old: UnderstoodFact) -> Succession:
    """What `new` does to `old`.

    An old fact of several statements stays, also when one of them is no longer true; only the same
    statements again take its place.
    """
    if len(old.statements) != 1:
        return Succession.SAME if _words(new) == _words(old) else Succession.OTHER
    found = {
        _between(new.statements[n], new.claims[n], old.statements[0], old.claims[0])
        for n in range(len(new.statements))
    }
    return next((s for s in (Succession.NEWER, Succession.SAME) if s in found), Succession.OTHER)


def _words(fact: UnderstoodFact) -> tuple[tuple[object, ...], ...]:
    return tuple((statement.words(), statement.negated) for statement in fact.statements)


def _between(
    new: Statement, new_claims: tuple[Claim, ...], old: Statement, old_claims: tuple[Claim, ...]
) -> Succession:
    if not new.words():
        return Succession.OTHER
    if new.negated == old.negated and new.words() == old.words():
        return Succession.SAME
    if new.negated != old.negated and new.stems() == old.stems():
        return Succession.NEWER
    by_relation = {claim.relation: claim for claim in old_claims}
    answered_twice = [
        (claim, by_relation[claim.relation])
        for claim in new_claims
        if claim.relation in by_relation
    ]
    if any(new_claim.value != old_claim.value for new_claim, old_claim in answered_twice):
        return Succession.NEWER
    # An old fact that says more than its claim stays, as the new one may not say the rest.
    says_no_more = any(old_claim.whole for _, old_claim in answered_twice)
    return Succession.SAME if says_no_more else Succession.OTHER
