"""Which facts a person means who asks to have something forgotten.

Only a fact that the query names beyond doubt is an answer. Where there is doubt, there is none.
"""

import re
from collections.abc import Sequence

import numpy as np

from services.memory.api import Fact
from services.memory.index import Index
from services.memory.ports import Vectors
from services.memory.succession import Succession, UnderstoodFact, succession, understood
from services.memory.words import folded, stems, terms

# The least cosine with the query for a fact that has all its words.
_ABOUT = 0.4
# The least cosine for a fact that lacks some of them, and how far behind the next fact must be.
_NEAR = 0.6
_NEARER = 0.2
# How many facts are erased at most for a query that does not ask for all on a topic.
_FEW = 3
# How many of the nearest facts are compared statement by statement.
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
# Words that name no fact when the query has no others.
_VAGUE = frozenset(
    terms("favourite best first last new old everything anything all whatever fact thing memory")
)
# Questions, and statements that would answer them; Xyz stands for the answer that is not known.
_ANSWERS = (
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
_QUESTIONS = [(re.compile(pattern, re.I), answers) for pattern, answers in _ANSWERS]


def meant(query: str, index: Index, vector: Vectors) -> Sequence[Fact]:
    """The facts to forget; `vector` is the query's."""
    asked = _OPENING.sub("", folded(query)).strip(" .!?")
    nearest = [(fact, understood(fact.text)) for fact in index.nearest(vector, _COMPARED)]
    stated = understood(asked) if _STATEMENT.match(asked) else None
    if said := _saying(understood(asked), nearest):
        return said
    if not stated and (answering := _answering(asked, nearest)):
        return answering
    topic = _TOPIC.sub("", asked)
    wanted = frozenset(terms(topic))
    if not wanted or wanted <= _VAGUE:
        return ()
    covering = _covering(topic, stated, index, vector)
    if covering:
        return covering if topic != asked or len(covering) <= _FEW else ()
    return () if stated else _standing_out(wanted, index, vector)


def _saying(asked: UnderstoodFact, facts: Sequence[tuple[Fact, UnderstoodFact]]) -> list[Fact]:
    """The facts that say what the query says."""
    return [fact for fact, apart in facts if succession(asked, apart) is Succession.SAME]


def _answering(asked: str, facts: Sequence[tuple[Fact, UnderstoodFact]]) -> list[Fact]:
    """The facts that answer the query if it is a question: `my dog's name`, `where I live`."""
    relations = _asked_relations(asked)
    return [fact for fact, apart in facts if relations & apart.relations()]


def _asked_relations(asked: str) -> set[tuple[str, ...]]:
    for pattern, answers in _QUESTIONS:
        if match := pattern.fullmatch(asked):
            filled = [answer.format(**match.groupdict()) for answer in answers]
            found = {relation for text in filled for relation in understood(text).relations()}
            return {relation for relation in found if relation[0] != "is a"}
    return set()


def _covering(
    topic: str, stated: UnderstoodFact | None, index: Index, vector: Vectors
) -> list[Fact]:
    """The facts that have all the topic's words and are about it."""
    wanted = frozenset(terms(topic))
    phrase = f" {' '.join(stems(topic))} "
    found = []
    for fact, words, cosine in zip(index.facts, index.words, index.likeness(vector), strict=True):
        if not wanted <= words or (stated and not _alike(stated, understood(fact.text))):
            continue
        if cosine >= _ABOUT or phrase in f" {' '.join(stems(folded(fact.text)))} ":
            found.append(fact)
    return found


def _alike(stated: UnderstoodFact, fact: UnderstoodFact) -> bool:
    """Whether both are about the same subject, and both or neither of them deny something."""
    mine, theirs = stated.statements[0], fact.statements[0]
    subject = 1 if mine.words()[:1] == ("i",) else 2
    return mine.negated == theirs.negated and mine.words()[:subject] == theirs.words()[:subject]


def _standing_out(wanted: frozenset[str], index: Index, vector: Vectors) -> list[Fact]:
    """The nearest fact, if the next one is far behind and it has half of the wanted words."""
    cosines = index.likeness(vector)
    order = np.argsort(-cosines, kind="stable")
    best = order[0]
    second = cosines[order[1]] if len(order) > 1 else 0.0
    if cosines[best] < _NEAR or cosines[best] - second < _NEARER:
        return []
    shared = len(wanted & index.words[best]) / len(wanted)
    return [index.facts[best]] if shared >= 0.5 else []
