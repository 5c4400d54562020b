"""What a statement claims: answers to questions that have one answer at a time.

Where somebody lives is such a question: a second answer makes the first one old. Only plain English
statements are understood. Where a second answer may be true beside the first one, there is no
claim: two facts that stay do less harm than one that is lost.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from services.memory import lexicon
from services.memory.slots import slotted
from services.memory.statements import Statement
from services.memory.words import stems

_ARTICLES = frozenset({"a", "an", "the"})
_NO_PLACES = frozenset("a an my our his her their your this that it".split())
_NO_EMPLOYERS = frozenset("day days home it least night nights noon once weekdays weekends".split())
_OWNED = ("my ", "our ", "the ")
# A value in which another clause begins.
_GOES_ON = re.compile(r"(?:,| and| but| or| which| who| that) [a-z]")
# A longer statement says more than one thing.
_MAX_CHARS = 160
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")

# Who or what a statement is about, up to its verb.
_WHO = r"(?P<who>i|we|(?:my|our|the) [^,]+?|[\w-]+(?: [\w-]+)?(?:'s [^,]+?)?)"
# What may follow the name of a place or an employer and is no part of the name.
_TAIL = (
    r"(?P<tail> (?:with|since|for|until|because|together|but|so|when|where|while|after|before|near|"
    r"right|as|on|in the)\b.*)?"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """That `relation`, such as the home of a person, has the answer `value`; both are stems."""

    relation: tuple[str, ...]
    value: tuple[str, ...]
    # Whether the statement says nothing besides.
    whole: bool = True


MakesClaim = Callable[["FoundPattern"], Claim | None]


class FoundPattern:
    """A pattern that a statement has: its groups, in lower case and as they were written."""

    def __init__(self, match: re.Match[str], written: str) -> None:
        self._match = match
        self._written = written
        self.who = match["who"] if "who" in match.re.groupindex else "i"
        self.value = match["value"] if "value" in match.re.groupindex else ""

    def __getitem__(self, group: str) -> str:
        return self._match[group] or ""

    def written(self, group: str) -> str:
        if group not in self._match.re.groupindex:
            return ""
        return self._written[self._match.start(group) : self._match.end(group)]

    @property
    def thing(self) -> tuple[str, ...]:
        """The stems of the subject; empty where the subject is nobody in particular."""
        if self.who in {"i", "we", "my", "our"}:
            return ("i",)
        if self.who.startswith(_OWNED):
            return tuple(stem for stem in stems(self.who) if stem != "the")
        return tuple(stems(self.who)) if self.written("who")[0].isupper() else ()

    @property
    def one_of_many(self) -> bool:
        words = self.who.split()
        return words[-1] in lexicon.MANY and not lexicon.DISTINGUISHING & set(words)

    @property
    def head(self) -> str:
        """The noun of the subject: its last word before a preposition."""
        return re.split(r" (?:of|for|in|with|to|at|on|from|about) ", self.who)[0].split()[-1]

    @property
    def named(self) -> bool:
        """Whether the value looks like a name: capitals, no nationality, no date."""
        words = self.written("value").removeprefix("the ").split()
        first = words[0] if words else ""
        return (
            len(words) <= 5
            and any(letter.isupper() for letter in first)
            and first.lower() not in lexicon.NOT_NAMES
            and not slotted(first.lower())[1]
        )

    def claim(self, *relation: str, value: str = "") -> Claim | None:
        """That this relation of the subject has `value`, or else the value that was found."""
        answer = _words(value or self.value)
        if not self.thing or not answer or _GOES_ON.search(self.written("value")):
            return None
        said_more = any(self._match.groupdict().get(group) for group in ("tail", "before"))
        whole = not said_more and value in {"", self.value}
        return Claim((*relation, *self.thing), answer, whole=whole)


def claims(statement: Statement) -> list[Claim]:
    """What the statement claims; nothing where it denies something."""
    lower = statement.text.lower()
    if statement.negated or len(lower) != len(statement.text) or len(lower) > _MAX_CHARS:
        return []
    return [
        claim
        for pattern, makes_claim in _RULES
        if (match := pattern.fullmatch(lower))
        if (claim := makes_claim(FoundPattern(match, statement.text)))
    ]


def _words(text: str) -> tuple[str, ...]:
    return tuple(stem for stem in stems(text) if stem not in _ARTICLES)


def _name(found: FoundPattern) -> Claim | None:
    if found.one_of_many or found.value.split()[0] in lexicon.JUDGING:
        return None
    return found.claim("name")


def _identity(found: FoundPattern) -> Claim | None:
    """`my X is V`: the name of a being, an attribute's value, or a thing known by its name."""
    if found.one_of_many:
        return None
    for relation, values in (("diet", lexicon.DIETS), ("marital status", lexicon.MARITAL)):
        if found.value in values:
            return found.claim(relation)
    if not (found.who.startswith(_OWNED) or "'s " in found.who):
        return None
    if found.value in lexicon.COLOURS:
        return found.claim("colour")
    if found.head in lexicon.ATTRIBUTES or "favourite" in found.who.split():
        return _attribute(found)
    return _known_by_name(found) if found.named else None


def _known_by_name(found: FoundPattern) -> Claim | None:
    if found.head in lexicon.BEINGS and not found["article"]:
        return found.claim("name")
    return found.claim("is a" if found["article"].startswith("a") else "is")


def _attribute(found: FoundPattern) -> Claim | None:
    first = found.value.split()[0]
    if first in lexicon.JUDGING and not found.written("value")[0].isupper():
        return None
    # There is a rule of its own for names.
    if found.who.endswith("'s name"):
        return None
    if found.who in {"my job", "my occupation", "my profession"}:
        return Claim(("occupation", "i"), _words(found.value))
    if found.who in {"my address", "my home address"}:
        return Claim(("home address", "i"), _words(found.value))
    return found.claim("is")


def _whereabouts(found: FoundPattern) -> Claim | None:
    """`our office is in V`. `I am in V` makes no claim: it may be true for an hour."""
    if found.who in {"i", "we"} or not found.named:
        return None
    return found.claim(found["preposition"], _extent(found.value))


def _extent(place: str) -> str:
    """Which kind of place it is, as a country and a town may both be true."""
    return "country" if place.removeprefix("the ") in lexicon.COUNTRIES else "place"


def _home(found: FoundPattern) -> Claim | None:
    place = found.value.split(",")[0]
    first = place.split()[0]
    unnamed = first == "the" and not found.named and _extent(place) != "country"
    if first in _NO_PLACES or unnamed or _YEAR.search(found.value + found["tail"]):
        return None
    if any(letter.isdigit() for letter in place):
        return found.claim("home address", value=place)
    return found.claim("home", _extent(place), value=place)


def _employer(found: FoundPattern) -> Claim | None:
    if found.value.split()[0] in _NO_EMPLOYERS or slotted(found.value)[1]:
        return None
    return found.claim("employer", value=re.split(r" in ", found.value)[0])


def _studies(found: FoundPattern) -> Claim | None:
    first = found.value.split()[0]
    if first in lexicon.LANGUAGES or first in {"for", "with", "in", "hard"}:
        return None
    if first == "at":
        return found.claim("school", value=found.value.removeprefix("at "))
    return found.claim("studies", value=found.value.split(" at ")[0])


def _origin(found: FoundPattern) -> Claim | None:
    return found.claim("origin", _extent(found.value)) if found.named else None


def _birth(found: FoundPattern) -> Claim | None:
    if slotted(found.value)[1]:
        return found.claim("birth date")
    return found.claim("birthplace", _extent(found.value))


def _preferred(found: FoundPattern) -> Claim | None:
    """`I prefer red wine` contradicts white wine; `I prefer tea` does not contradict dark mode."""
    words = found.value.split()
    if words[0].endswith("ing") and words[0] not in {"morning", "evening", "spring"}:
        return None
    if {words[0], words[-1]} & {"to", "if", "when", "alone", "early", "late", "it", "not"}:
        return None
    return found.claim("preferred", *_words(words[-1]))


def _preferred_of_two(found: FoundPattern) -> Claim | None:
    pair = sorted((_words(found.value), _words(found["other"])))
    return found.claim("preferred of", *pair[0], "or", *pair[1])


def _used(found: FoundPattern) -> Claim | None:
    return found.claim("used for", *_words(found["purpose"]))


def _reply_length(found: FoundPattern) -> Claim | None:
    words = set(found.value.split())
    if words & lexicon.SHORT:
        return Claim(("reply length",), ("short",))
    return Claim(("reply length",), ("long",)) if words & lexicon.LONG else None


def _unit(found: FoundPattern) -> Claim | None:
    return Claim((lexicon.UNITS[found.value],), (found.value,))


def _tone(found: FoundPattern) -> Claim | None:
    return Claim(("tone",), (found.value.removesuffix("ly"),))


def _quantity(found: FoundPattern) -> Claim | None:
    """`my flight leaves at <time>`: the sentence is the relation, and the time is the value.

    What people say of themselves often differs by the day. So of `I run 5 km on Monday` only the
    number is the value, and the day belongs to the relation.
    """
    text, slots = slotted(found["rest"], one_kind=found.thing == ("i",))
    before, _, _ = text.partition("<")
    anothers_age = found.one_of_many and text == "is <number>"
    if not slots or anothers_age or {"a", "an"} & set(before.split()):
        return None
    return found.claim(*stems(text), value=" ".join(slots))


def _age(found: FoundPattern) -> Claim | None:
    """One of several children is known by its age: `my daughter is 9` claims that one is 9."""
    return found.claim("age", found.value) if found.one_of_many else None


def _age_before(found: FoundPattern) -> Claim | None:
    """The same child was a year younger, so the new age takes the place of that one only."""
    return found.claim("age", str(int(found.value) - 1)) if found.one_of_many else None


def _partly(makes_claim: MakesClaim) -> MakesClaim:
    """For a pattern of which a part is left out of the claim."""

    def makes_part(found: FoundPattern) -> Claim | None:
        claim = makes_claim(found)
        return claim and replace(claim, whole=False)

    return makes_part


def _stated(*relation: str) -> MakesClaim:
    return lambda found: found.claim(*relation)


def _name_stated(relation: str) -> MakesClaim:
    return lambda found: found.claim(relation) if found.named else None


_REPLIES = r"(?:answers|replies|responses|explanations|messages|it)"
_ANSWER = (
    r"(?:(?:always|only) )?(?:answer|reply|respond|write|talk|speak)(?: to)?(?: me)?(?: only)?"
)
_LANGUAGE = "|".join(sorted(lexicon.LANGUAGES))
_LENGTH = "|".join(sorted(lexicon.SHORT | lexicon.LONG))
_UNIT = "|".join(lexicon.UNITS)
_TONE = "|".join(sorted(lexicon.TONES))
_COUNTED = (
    "am|is|are|have|has|weigh|weighs|earn|earns|wake|wakes|get|gets|go|goes|take|takes|cost|costs|"
    "start|starts|begin|begins|end|ends|finish|finishes|leave|leaves|depart|departs|arrive|arrives|"
    "land|lands|open|opens|close|closes|sleep|sleeps|run|runs|walk|walks|pay|pays|expire|expires|"
    "eat|eats|drink|drinks|need|needs|own|owns|work|works|train|trains|meet|meets|measure|measures"
)


def _compiled(
    rules: Iterable[tuple[str, MakesClaim]],
) -> list[tuple[re.Pattern[str], MakesClaim]]:
    return [(re.compile(pattern), makes_claim) for pattern, makes_claim in rules]


_RULES = _compiled(
    [
        (rf"{_WHO} (?:am|is|are) called (?P<value>.+)", _name),
        (rf"(?:the )?name of {_WHO} is (?P<value>.+)", _name),
        (rf"{_WHO}'s name is (?P<value>.+)", _name),
        (r"(?P<who>my|our) name is (?P<value>.+)", _name),
        (rf"{_WHO} (?:am|is) (?P<article>an? |the )?(?P<value>[^,]+)", _identity),
        (rf"{_WHO} is (?P<preposition>in|on|at|with|by) (?P<value>[^,]+)", _whereabouts),
        (
            rf"{_WHO} (?:live|lives|(?:am|is|are) living|resides?|(?:am|is|are) based"
            rf"|(?:am|is|are) located) (?:in|at|near) (?P<value>.+?){_TAIL}",
            _home,
        ),
        (
            rf"{_WHO} (?:(?:have |has )?(?:moved|relocated))(?: back)?(?P<before> from .+?)?"
            rf" to (?P<value>.+?){_TAIL}",
            _home,
        ),
        (
            rf"{_WHO} (?:works?|(?:am|is) working|(?:am|is) employed) (?:at|for|by)"
            rf" (?P<value>.+?){_TAIL}",
            _employer,
        ),
        (
            rf"{_WHO} (?:works?|(?:am|is) working) as (?:an? |the )?(?P<value>.+?)"
            r"(?P<tail> (?:at|for|in|on|with|since) .+)?",
            _stated("occupation"),
        ),
        (rf"{_WHO} works? as .+? (?:at|for) (?P<value>.+)", _partly(_employer)),
        (rf"{_WHO} (?:study|studies|(?:am|is) studying) (?P<value>.+?){_TAIL}", _studies),
        (
            rf"{_WHO} (?:go|goes|am going|is going) to (?P<value>.+"
            r" (?:school|college|university|academy|kindergarten))",
            _name_stated("school"),
        ),
        (rf"{_WHO} drives? (?:an? |the )?(?P<value>.+)", _name_stated("drives")),
        (rf"{_WHO} commutes? by (?P<value>\w+)", _stated("commutes by")),
        (rf"{_WHO} (?:am|is|come|comes) from (?P<value>[^,]+)", _origin),
        (rf"{_WHO} (?:was|were) born (?:in|on) (?P<value>[^,]+)", _birth),
        (
            r"i (?:would )?prefer (?P<value>.+?) (?:over|to|rather than|instead of)"
            r" (?P<other>.+)",
            _preferred_of_two,
        ),
        (r"i prefer (?P<value>[\w-]+(?: [\w-]+){1,2})", _preferred),
        (r"i use (?:an? |the )?(?P<value>.+?) for (?P<purpose>[^,]+)", _used),
        (rf"{_ANSWER} in (?P<value>{_LANGUAGE})", _stated("reply language")),
        (rf"(?:keep|make) (?:your |the )?{_REPLIES} (?P<value>[\w -]+)", _reply_length),
        (
            rf"(?:i (?:prefer|like|want) |give (?:me )?|write )?(?P<value>{_LENGTH}) {_REPLIES}",
            _reply_length,
        ),
        (rf"{_ANSWER} (?P<value>{_LENGTH})", _reply_length),
        (rf"(?:always )?use (?:the )?(?P<value>{_UNIT})(?: units| system| degrees)?", _unit),
        (rf"(?:be |use a |{_ANSWER} )(?P<value>{_TONE})(?: tone)?", _tone),
        (r"(?:always )?(?:call|address) me (?:as )?(?P<value>.+)", _stated("called")),
        (rf"{_WHO} is (?P<value>\d{{1,2}})(?: years? old)?", _age),
        (rf"{_WHO} is (?P<value>\d{{1,2}})(?: years? old)?", _age_before),
        (rf"{_WHO} (?P<rest>(?:{_COUNTED})\b .+)", _quantity),
    ]
)
