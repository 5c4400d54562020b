"""Texts of others that training reads when their files are at hand; none is committed here."""

import csv
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from services.inference.demo_model.generator.split import Split

_MAX_CHARS = 240
_PERSONAL = re.compile(r"\b(my|i|i'm|i've|me|mine|you|your|yourself|u|ur)\b")
# CLINC's intents that are skills of their own here, or depend on what the mesh knows.
_OWN_INTENTS = frozenset(
    """
weather time date timezone calculator greeting goodbye thank_you yes no maybe repeat cancel
user_name change_user_name what_is_your_name who_made_you are_you_a_bot what_can_i_ask_you
reminder reminder_update how_old_are_you where_are_you_from who_do_you_work_for
what_are_your_hobbies do_you_have_pets change_ai_name current_location meaning_of_life
share_location whisper_mode next_holiday
""".split()
)
# CatQA's topics that policy does not forbid.
_MILD_TOPICS = frozenset(("Tailored Financial Advice", "Political Campaigning"))


@dataclass(frozen=True, slots=True)
class OutsideTexts:
    """Requests that only a bigger model could serve, and such as none should."""

    general: tuple[str, ...]
    harmful: tuple[str, ...]


NOTHING_OUTSIDE = OutsideTexts((), ())


def read_outside(folder: Path, split: Split) -> OutsideTexts:
    """What there is of CLINC150, Self-Instruct, CyberSecEval, CatQA and AdvBench."""
    return OutsideTexts(
        _kept(split, [*_clinc(folder), *_seed_tasks(folder), *_benign_security(folder)]),
        _kept(split, [*_catqa(folder), *_advbench(folder)]),
    )


def any_text(rng: random.Random, texts: tuple[str, ...]) -> str | None:
    return rng.choice(texts) if texts else None


def _kept(split: Split, texts: list[str]) -> tuple[str, ...]:
    short = {text.strip() for text in texts if 3 < len(text.strip()) <= _MAX_CHARS}
    return tuple(sorted(text for text in short if split.holds(text)))


def _json(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _clinc(folder: Path) -> list[str]:
    sets = _json(folder / "clinc_data_full.json")
    assert isinstance(sets, dict)
    rows = [row for rows in sets.values() for row in rows]
    return [
        text for text, intent in rows if intent not in _OWN_INTENTS and not _PERSONAL.search(text)
    ]


def _seed_tasks(folder: Path) -> list[str]:
    path = folder / "selfinstruct_seed_tasks.jsonl"
    if not path.exists():
        return []
    tasks = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        task["instruction"] for task in tasks if not _PERSONAL.search(task["instruction"].lower())
    ]


def _benign_security(folder: Path) -> list[str]:
    rows = _json(folder / "cyberseceval_mitre_frr.json")
    return [row["mutated_prompt"] for row in rows] if isinstance(rows, list) else []


def _catqa(folder: Path) -> list[str]:
    topics = _json(folder / "catqa_english.json")
    assert isinstance(topics, dict)
    kept = {name: groups for name, groups in topics.items() if name not in _MILD_TOPICS}
    return [text for groups in kept.values() for texts in groups.values() for text in texts]


def _advbench(folder: Path) -> list[str]:
    path = folder / "advbench_harmful_behaviors.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row["goal"] for row in csv.DictReader(file)]
