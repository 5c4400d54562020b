"""Which facts somebody means who asks to have something forgotten.

An answer is a fact that the query names beyond doubt; where there is doubt, none.
"""

import re
from collections.abc import Sequence

import numpy as np

from services.memory.api import Fact
from services.memory.index import Index
from services.memory.ports import Vectors
from services.memory.succession import Reading, Relation, read, relation
from services.memory.words import folded, stems, terms

# Cosines. A fact that has all the query's words must also be about it, if only by and large.
_ABOUT = 0.4
# One that lacks some must be near it, and much nearer than the next.
_NEAR = 0.6
_NEARER = 0.2
# So many facts may go for a query that does not ask for all on a topic.
_FEW = 3
# The facts that are compared sentence by sentence are the nearest so many.
_COMPARED = 64

_OPENING = re.compile(r"^(?:please |forget |delete |erase |remove |the fact |that )+", re.I)
_TOPIC = re.compile(
    r"^(?:everything |anything |all |whatever |facts? |things? )*"
    r"(?:(?:that |what )?(?:you (?:know|remember|saved|stored|have)|i (?:told|said to) you) "
    r"|(?=about))"
    r"(?:about|of|on) ",
    re.I,
)
_STATEMENT = re.compile(
    r"^(?:i|we) \w|^(?:my|our|the) .+ (?:am|is|are|was|were|has|have|had|lives?|works?|likes?)\b",
    re.I,
)
# Words that single out nothing when they stand alone.
_VAGUE = frozenset(
    terms("favourite best first last new old everything anything all whatever fact thing memory")
)
# What is asked for, as statements whose value is left open.
_OPEN = (
    (r"where (?P<who>.+?) (?P<verb>lives?)", ("{who} {verb} in Xyz", "{who} {verb} in Norway")),
    (r"where (?P<who>.+?) (?P<verb>works?)", ("{who} {verb} at Xyz",)),
    (r"(?:what|who) (?P<who>.+?) (?P<verb>is|am|are) called", ("{who} {verb} called Xyz",)),
    (r"how old (?P<who>.+?) (?P<verb>is|am|are)", ("{who} {verb} 3 years old",)),
    (r"my age", ("i am 3 years old", "my age is 3")),
    (r"my (?:job|occupation|profession)|what i do(?: for a living)?", ("i work as Xyz",)),
    (r"my (?:home )?address", ("my address is Xyz",)),
    (r"my employer", ("i work at Xyz", "my employer is Xyz")),
    (r"(?P<who>(?:my|our|the) .+|.+'s .+)", ("{who} is Xyz",)),
)
_OPEN_READINGS = [(re.compile(pattern, re.I), templates) for pattern, templates in _OPEN]


def meant(query: str, index: Index, vector: Vectors) -> Sequence[Fact]:
    """The facts to forget; `vector` is the query's."""
    asked = _OPENING.sub("", folded(query)).strip(" .!?")
    nearest = [(fact, read(fact.text)) for fact in index.nearest(vector, _COMPARED)]
    stated = read(asked) if _STATEMENT.match(asked) else None
    if said := _saying(read(asked), nearest):
        return said
    if not stated and (settled := _settling(asked, nearest)):
        return settled
    topic = _TOPIC.sub("", asked)
    wanted = frozenset(terms(topic))
    if not wanted or wanted <= _VAGUE:
        return ()
    covering = _covering(topic, stated, index, vector)
    if covering:
        return covering if topic != asked or len(covering) <= _FEW else ()
    return () if stated else _standing_out(wanted, index, vector)


def _saying(asked: Reading, facts: Sequence[tuple[Fact, Reading]]) -> list[Fact]:
    """The facts that say what the query says."""
    return [fact for fact, reading in facts if relation(asked, reading) is Relation.SAME]


def _settling(asked: str, facts: Sequence[tuple[Fact, Reading]]) -> list[Fact]:
    """The facts that answer what the query leaves open: `my dog's name`, `where I live`."""
    relations = _open_relations(asked)
    return [fact for fact, reading in facts if relations & reading.relations()]


def _open_relations(asked: str) -> set[tuple[str, ...]]:
    for pattern, templates in _OPEN_READINGS:
        if match := pattern.fullmatch(asked):
            filled = (template.format(**match.groupdict()) for template in templates)
            return {
                found for text in filled for found in read(text).relations() if found[0] != "is a"
            }
    return set()


def _covering(topic: str, stated: Reading | None, index: Index, vector: Vectors) -> list[Fact]:
    """The facts that have all the topic's words and are about it."""
    wanted = frozenset(terms(topic))
    phrase = f" {' '.join(stems(topic))} "
    found = []
    for fact, words, cosine in zip(index.facts, index.words, index.likeness(vector), strict=True):
        if not wanted <= words or (stated and not _alike(stated, read(fact.text))):
            continue
        if cosine >= _ABOUT or phrase in f" {' '.join(stems(folded(fact.text)))} ":
            found.append(fact)
    return found


def _alike(stated: Reading, fact: Reading) -> bool:
    """Whether both speak of the same subject, and both deny or both do not."""
    mine, theirs = stated.statements[0], fact.statements[0]
    subject = 1 if mine.words()[:1] == ("i",) else 2
    return mine.negated == theirs.negated and mine.words()[:subject] == theirs.words()[:subject]


def _standing_out(wanted: frozenset[str], index: Index, vector: Vectors) -> list[Fact]:
    """The one fact that is near the query while no other is, and shares words with it."""
    cosines = index.likeness(vector)
    order = np.argsort(-cosines, kind="stable")
    best = order[0]
    second = cosines[order[1]] if len(order) > 1 else 0.0
    if cosines[best] < _NEAR or cosines[best] - second < _NEARER:
        return []
    shared = len(wanted & index.words[best]) / len(wanted)
    return [index.facts[best]] if shared >= 0.5 else []
