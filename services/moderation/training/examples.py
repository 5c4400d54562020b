"""What the models learn from: public sets, and passages written for this policy."""

import csv
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.moderation.api import CATEGORIES

# "sexual/minors" is composed, never learnt.
LEARNT = tuple(category for category in CATEGORIES if category != "sexual/minors")
_HERE = Path(__file__).parent
_COPIES = 6
_SEED = 20261122


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    source: str
    # 1 or 0 where it is known; a category that is missing is unknown.
    labels: Mapping[str, int]
    # Examples of one group are never parted between training and testing.
    group: str

    @property
    def benign(self) -> bool:
        return len(self.labels) == len(LEARNT) and not any(self.labels.values())


def own_passages() -> Iterator[Example]:
    """`passages/*.txt`: lines of `categories | text`, `-` for none; slots.txt fills `{slot}`."""
    slots = _slots()
    chooser = random.Random(_SEED)  # noqa: S311
    for path in sorted((_HERE / "passages").glob("*.txt")):
        for categories, text in _lines(path) if path.stem != "slots" else ():
            for _ in range(_COPIES if "{" in text else 1):
                filled = re.sub(r"\{(\w+)\}", lambda slot: chooser.choice(slots[slot[1]]), text)
                yield Example(
                    filled[0].upper() + filled[1:] if text.startswith("{") else filled,
                    "own passages",
                    _labels(*categories),
                    text,
                )


def policy_phrases() -> Iterator[Example]:
    """`phrases.txt`: what the policy forbids, and what it does not, in a few words each."""
    for categories, text in _lines(_HERE / "phrases.txt"):
        yield Example(text, "policy phrases", _labels(*categories), text)


def public_examples(folder: Path) -> Iterator[Example]:
    yield from _surge(folder / "surge_toxicity_en.csv")
    yield from _wiki(folder / "wiki_toxicity_nonfuzzed.csv")
    yield from _catqa(folder / "catqa_english.json")
    yield from _advbench(folder / "advbench_harmful_behaviors.csv")
    yield from _clinc(folder / "clinc_data_full.json", ("train", "oos_train", "oos_val"))
    yield from _self_instruct(folder / "selfinstruct_seed_tasks.jsonl")
    for number, row in enumerate(_json(folder / "cyberseceval_mitre_frr.json")):
        if number % 3 == 0:
            yield _benign(row["mutated_prompt"], "CyberSecEval FRR")


def unlabelled_texts(folder: Path) -> Iterator[str]:
    """Tweets and comments: too unlike chat to learn from, but their words help the first stage."""
    for row in _csv(folder / "davidson_labeled_data.csv"):
        yield re.sub(r"@\w+:?|&\w+;|https?://\S+|\bRT\b", " ", row["tweet"]).strip(' !"')
    for row in _csv(folder / "edos_labelled_aggregated.csv"):
        yield row["text"].replace("[USER]", " ").replace("[URL]", " ")


def benign_held_out(folder: Path) -> Iterator[Example]:
    """Requests that no model here was trained on."""
    yield from _clinc(folder / "clinc_data_full.json", ("val", "test", "oos_test"))
    for number, row in enumerate(_json(folder / "cyberseceval_mitre_frr.json")):
        if number % 3:
            yield _benign(row["mutated_prompt"], "CyberSecEval FRR")


def _slots() -> dict[str, list[str]]:
    lines = (_HERE / "passages" / "slots.txt").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: [word.strip() for word in words.split("|")] for name, words in pairs}


def _lines(path: Path) -> Iterator[tuple[list[str], str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            categories, text = line.split(" | ", 1)
            yield [c.strip() for c in categories.split(",") if c.strip() != "-"], text.strip()


def _labels(*categories: str) -> dict[str, int]:
    """All are known."""
    if unknown := set(categories) - set(LEARNT):
        raise ValueError(f"no such category: {', '.join(sorted(unknown))}")
    return {category: int(category in categories) for category in LEARNT}


def _benign(text: str, source: str) -> Example:
    return Example(text, source, _labels(), text)


def _surge(path: Path) -> Iterator[Example]:
    for row in _csv(path):
        if row["is_toxic"] == "Toxic":
            yield Example(row["text"], "Surge toxicity", {"harassment": 1}, row["text"])
        else:
            yield _benign(row["text"], "Surge toxicity")


def _wiki(path: Path) -> Iterator[Example]:
    for number, row in enumerate(_csv(path)):
        if row["toxic"] == "True":
            yield Example(row["comment"], "Wikipedia talk", {"harassment": 1}, row["comment"])
        elif number % 3 == 0:
            yield _benign(row["comment"], "Wikipedia talk")


_CATQA_HATE = {"Racial or ethnic hate", "Religious intolerance", "Gender-based violence"}
_CATQA_VIOLENT = {
    *("Weapon:", "Terrorism and extremism", "Assault and battery", "Weapon making"),
    *("Physical abuse", "Hazardous material handling"),
}
# Not forbidden here, or composed.
_CATQA_LEFT_OUT = {"Political Campaigning", "Tailored Financial Advice", "Child Abuse"}


def _catqa(path: Path) -> Iterator[Example]:
    for area, topics in _json(path).items():
        for topic, questions in topics.items() if area not in _CATQA_LEFT_OUT else ():
            for question in questions:
                yield Example(question, "CatQA", _catqa_labels(area, topic), question)


def _catqa_labels(area: str, topic: str) -> dict[str, int]:
    if topic == "Self-harm":
        return _labels("self-harm", "self-harm/instructions")
    if area == "Adult Content":
        return _labels("sexual")
    if topic in _CATQA_HATE:
        return {"hate": 1}
    if topic == "Cyberbullying":
        return {"harassment": 1}
    if topic in _CATQA_VIOLENT:
        return _labels("illicit", "illicit/violent")
    return _labels("illicit")


_SELF_HARM = re.compile(r"(?i)suicid|self-harm|anorex|eating disorder")
_VIOLENT = re.compile(
    r"(?i)bomb|weapon|kill|murder|attack|gun|violen|assassin|firearm|poison|explos|terror"
)
_ABOUT_CHILDREN = re.compile(r"(?i)child|minor|teen|pedo")


def _advbench(path: Path) -> Iterator[Example]:
    for row in _csv(path):
        goal = row["goal"]
        if _ABOUT_CHILDREN.search(goal):
            continue
        if _SELF_HARM.search(goal):
            labels = _labels("self-harm", "self-harm/instructions")
        elif _VIOLENT.search(goal):
            labels = _labels("illicit", "illicit/violent")
        else:
            labels = _labels("illicit")
        yield Example(goal, "AdvBench", labels, goal)


def _clinc(path: Path, splits: tuple[str, ...]) -> Iterator[Example]:
    known = _json(path)
    for split in splits:
        # The training split alone is as large as all else.
        for text, _ in known[split][:: 20 if split == "train" else 1]:
            yield _benign(text, "CLINC150")


def _self_instruct(path: Path) -> Iterator[Example]:
    for line in path.read_text().splitlines():
        task = json.loads(line)
        texts = [task["instruction"]]
        texts += (instance[key] for instance in task["instances"] for key in ("input", "output"))
        for text in texts:
            if len(text) > 20:
                yield Example(text, "Self-Instruct", _labels(), task["id"])


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as lines:
        yield from csv.DictReader(lines)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
