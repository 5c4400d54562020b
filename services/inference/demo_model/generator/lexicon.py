"""Words and values: all that a request may carry and a reply must copy."""

import random
import re
from collections.abc import Iterable
from pathlib import Path

from services.inference.demo_model.generator import names
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.split import Split

_COMMON = re.compile(r"[a-z]{3,11}")
_PROPER = re.compile(r"[A-Z][a-z]{2,11}")
# Whether these are harmful hangs on the request, so they are no words to play with.
_LOADED = frozenset(
    word
    for topic in ("weapons", "drugs", "malware", "loaded words")
    for entry in patterns("harms")[topic]
    for word in entry.lower().split()
)
_SUFFIXES = ("txt", "csv", "png", "json", "md", "py", "log", "pdf")


def read_words(path: Path) -> list[str]:
    """A word list as Debian's wamerican: one word a line."""
    return path.read_text(encoding="utf-8").split()


class Lexicon:
    """Draws words of one split only, so that a held-out word is never trained on."""

    def __init__(self, words: Iterable[str], split: Split) -> None:
        kept = sorted(w for w in set(words) if split.holds(w) and w.lower() not in _LOADED)
        self.common = [word for word in kept if _COMMON.fullmatch(word)]
        self.proper = [word for word in kept if _PROPER.fullmatch(word)]

    def word(self, rng: random.Random) -> str:
        return rng.choice(self.common)

    def words(self, rng: random.Random, least: int, most: int) -> str:
        return " ".join(self.word(rng) for _ in range(rng.randint(least, most)))

    def proper_word(self, rng: random.Random) -> str:
        return rng.choice(self.proper) if rng.random() < 0.6 else self.word(rng).capitalize()

    def person(self, rng: random.Random) -> str:
        first = rng.choice(names.FIRST) if rng.random() < 0.7 else self.proper_word(rng)
        return first if rng.random() < 0.4 else f"{first} {self.proper_word(rng)}"

    def place(self, rng: random.Random) -> str:
        if rng.random() < 0.35:
            return rng.choice(names.PLACES)
        place = self.proper_word(rng)
        shape = rng.random()
        if shape < 0.15:
            return f"{rng.choice(names.PLACE_PREFIXES)} {place}"
        if shape < 0.3:
            return f"{place}, {rng.choice(names.COUNTRIES)}"
        return f"{place} {self.proper_word(rng)}" if shape < 0.4 else place

    def text(self, rng: random.Random) -> str:
        """A value of any kind that fits a string parameter, without quotes or line ends."""
        return rng.choices(_MAKERS, _WEIGHTS)[0](self, rng)

    def short_text(self, rng: random.Random) -> str:
        """A value without a space, fit to stand bare among other words."""
        for _ in range(20):
            text = self.text(rng)
            if " " not in text and "," not in text:
                return text
        return self.word(rng)


def _word(lexicon: Lexicon, rng: random.Random) -> str:
    word = lexicon.word(rng)
    return word.upper() if rng.random() < 0.06 else word


def _phrase(lexicon: Lexicon, rng: random.Random) -> str:
    return lexicon.words(rng, 2, 3)


def _sentence(lexicon: Lexicon, rng: random.Random) -> str:
    words = [lexicon.word(rng) for _ in range(rng.randint(3, 8))]
    for place in range(1, len(words) - 1, 2):
        if rng.random() < 0.5:
            words[place] = rng.choice(names.SMALL_WORDS)
    return " ".join(words)


def _email(lexicon: Lexicon, rng: random.Random) -> str:
    user = rng.choice([lexicon.word(rng), f"{lexicon.word(rng)}.{lexicon.word(rng)}"])
    return f"{user}@{lexicon.word(rng)}.{rng.choice(['com', 'org', 'net', 'io', 'de', 'co.uk'])}"


def _code(lexicon: Lexicon, rng: random.Random) -> str:
    shape = rng.random()
    if shape < 0.4:
        prefix = "".join(rng.choices("ABCDEFGHKLMNPRSTUVWXZ", k=rng.randint(1, 3)))
        return f"{prefix}{rng.choice(['-', '', '_'])}{rng.randint(10, 99999)}"
    if shape < 0.6:
        return "".join(rng.choices("0123456789abcdef", k=rng.randint(4, 10)))
    if shape < 0.8:
        return f"{lexicon.word(rng)}{rng.choice('-_.')}{lexicon.word(rng)}"
    return f"{lexicon.word(rng)}{rng.choice(['-', '_', ''])}{rng.randint(0, 999)}"


def _date(_: Lexicon, rng: random.Random) -> str:
    year, month, day = rng.randint(1950, 2039), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day} {names.MONTHS[month - 1]}",
            f"{names.MONTHS[month - 1]} {day}",
            f"{day:02}/{month:02}/{year}",
            rng.choice(names.DAYS),
            rng.choice(["today", "tomorrow", "tonight", "next week", "noon"]),
        ]
    )


def _time(_: Lexicon, rng: random.Random) -> str:
    hour = rng.randint(0, 23)
    return rng.choice([f"{hour:02}:{rng.randint(0, 59):02}", f"{hour % 12 + 1}{rng.choice('ap')}m"])


def _address(lexicon: Lexicon, rng: random.Random) -> str:
    path = "/".join(lexicon.word(rng) for _ in range(rng.randint(1, 3)))
    return rng.choice(
        [
            f"https://{lexicon.word(rng)}.com/{path}",
            f"/{path}.{rng.choice(_SUFFIXES)}",
            f"{lexicon.word(rng)}.{rng.choice(_SUFFIXES)}",
            f"./{path}",
        ]
    )


def _digits(_: Lexicon, rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999999)}"
    return str(rng.randint(0, 10 ** rng.randint(1, 7)))


def _foreign(lexicon: Lexicon, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(names.FOREIGN)
    word = list(lexicon.word(rng))
    word[rng.randrange(len(word))] = rng.choice("áàäåâéèêëíîïñóòôöøúùûüçßšžčőğı")
    return "".join(word)


_MAKERS = (
    _word,
    Lexicon.proper_word,
    _phrase,
    _sentence,
    Lexicon.person,
    Lexicon.place,
    _email,
    _code,
    _date,
    _time,
    _address,
    _digits,
    _foreign,
)
_WEIGHTS = (30, 10, 14, 5, 9, 6, 4, 7, 4, 2, 3, 3, 3)
