"""Facts about a user: how they are told, asked about and referred to."""

import random
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from services.inference.demo_model.generator import names
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.phrasebook import sections
from services.inference.demo_model.generator.phrases import Phraser

_RELATIVES = """
sister brother mother father wife husband son daughter friend boss neighbour cousin aunt uncle
partner grandmother grandfather girlfriend boyfriend teacher doctor dentist roommate landlord
colleague mum dad
""".split()
_THINGS = """
dog cat car bike house horse parrot rabbit boat band team company school computer laptop phone robot
garden street book film song colour food drink city country season sport game number fruit animal
subject hobby holiday shop restaurant bank hotel plant guitar camera watch bag coat key wallet
passport printer
""".split()


@dataclass(frozen=True, slots=True)
class Fact:
    """`about` names what is known: two facts about the same would answer the same question."""

    about: str
    text: str
    question: str
    subject: str


@dataclass(frozen=True, slots=True)
class _Relation:
    about: str
    told: str
    asked: tuple[str, ...]
    subject: str


def _relations() -> Iterator[_Relation]:
    """In the phrasebook, `>` tells the fact, `~` refers to it, and all else asks for it."""
    for section in sections("facts"):
        marked = {line[0]: line[2:] for line in section.lines if line[0] in ">~"}
        asked = tuple(line for line in section.lines if line[0] not in ">~")
        yield _Relation(section.title, marked[">"], asked, marked["~"])


_RELATIONS = tuple(_relations())


class Biographer:
    """Makes up facts about a user; people write I in capitals or not."""

    def __init__(self, lexicon: Lexicon, phraser: Phraser) -> None:
        self._lexicon = lexicon
        self._phraser = phraser

    def facts(self, rng: random.Random, count: int, known: Set[str]) -> list[Fact]:
        """Facts of which no two are about the same, and none about what is known."""
        found: dict[str, Fact] = {}
        while len(found) < count:
            fact = self.fact(rng)
            if fact.about not in known:
                found.setdefault(fact.about, fact)
        return list(found.values())

    def fact(self, rng: random.Random) -> Fact:
        relation = rng.choice(_RELATIONS)
        slots = self._slots(rng)
        write = self._writer(rng, slots)
        return Fact(
            relation.about.format_map(slots),
            _as_stored(rng, write(relation.told)),
            write(rng.choice(relation.asked)),
            write(relation.subject),
        )

    def _writer(self, rng: random.Random, slots: dict[str, str]) -> Callable[[str], str]:
        def write(pattern: str) -> str:
            return self._phraser.phrase(rng, pattern, **slots)

        return write

    def _slots(self, rng: random.Random) -> dict[str, str]:
        lexicon = self._lexicon
        return {
            "n": self._noun(rng),
            "m": lexicon.word(rng),
            "name": lexicon.person(rng),
            "value": rng.choice([lexicon.word, lexicon.proper_word, lexicon.text])(rng),
            "place": lexicon.place(rng),
            "company": lexicon.proper_word(rng) + rng.choice(["", "", " Inc", " Labs", " GmbH"]),
            "proper": lexicon.proper_word(rng),
            "code": rng.choice([lexicon.short_text(rng), str(rng.randint(0, 99999))]),
            "email": f"{lexicon.word(rng)}@{lexicon.word(rng)}.{rng.choice(['com', 'org', 'io'])}",
            "number": str(rng.randint(2, 99)),
            "date": rng.choice(
                [
                    f"{rng.choice(names.MONTHS)} {rng.randint(1, 28)}",
                    f"{rng.randint(1, 28)} {rng.choice(names.MONTHS)}",
                    f"20{rng.randint(10, 35)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
                    rng.choice(names.DAYS),
                ]
            ),
        }

    def _noun(self, rng: random.Random) -> str:
        shape = rng.random()
        if shape < 0.25:
            return rng.choice(_RELATIVES)
        return rng.choice(_THINGS) if shape < 0.55 else self._lexicon.word(rng)


def _as_stored(rng: random.Random, text: str) -> str:
    """Most users write I as I."""
    if text.startswith("i ") and rng.random() < 0.6:
        return f"I{text[1:]}"
    return text
