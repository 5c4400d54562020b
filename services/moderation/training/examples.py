"""What the models learn from: public sets, and passages written for this policy."""

import csv
import json
import random
import re
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.moderation.api import CATEGORIES
from services.moderation.policy import BUNDLED, read_policy
from services.moderation.windows import passages

# "sexual/minors" is composed, never learnt.
LEARNT = tuple(category for category in CATEGORIES if category != "sexual/minors")
_HERE = Path(__file__).parent
_PASSAGES = _HERE / "passages"
_COPIES = 6
# In how many orders the sentences of documents.txt are put, to be cut into windows.
_ORDERS = 3
# Every so many of CLINC150's requests are learnt from, and more of them by the reader.
_OF_CLINC, _MORE_OF_CLINC = 20, 4
# Passages of these files are harder than what people usually write.
_HARD = {
    *("distress", "methods", "requests", "crimes"),
    *("more_methods", "near_methods", "more_crimes", "near_crimes"),
    *("near_documents", "near_everyday"),
}
# Packages that the mesh runs on, of whose code is learnt as of the standard library's.
_PACKAGES = (
    *("aiohttp", "cassandra", "grpc", "kubernetes", "prometheus_client", "pydantic", "redis"),
    *("starlette", "structlog", "torch/distributed", "transformers/generation", "uvicorn", "vllm"),
)
# At most so many passages are taken of a module, and of a package so many modules.
_OF_A_MODULE, _OF_A_PACKAGE = 30, 60
# In a passage of code that holds one of these, a model may hear somebody who asks for an end.
_OF_ENDS = re.compile(
    r"(?i)\b(?:die[sd]?|dead|kill\w*|end(?:s|ed)?|gone|alive|last|wait\w*|nobody|no one|until|long"
    r"|how|which|where|stop\w*|left|lose[sd]?|lost|without|exit\w*|go(?:es)?|take[sn]?|finds?|them"
    r"|it|what|ways?)\b"
)
_SEED = 20261122


# What people ask for, to stand around something else.
_OTHERS = [
    text.split()
    for text in (
        "write a poem about spring",
        "please translate this for me",
        "summarise the following text",
        "thanks and have a nice day",
        "the weather is fine today",
        "tell me a joke about cats",
        "what time is it in Tokyo",
        "here is the list that you asked for",
        "the meeting is on Monday at ten",
        "lorem ipsum dolor sit amet",
        "add two eggs and some flour",
        "return the result as JSON",
    )
]
# What WordNet says in fewer words is hardly a sentence; these words it explains with coarse ones.
_LEAST_WORDS = 4
_COARSE = re.compile(r"(?i)fuck|shit|cunt|nigger|cock\b|whore|slut|screw|bitch|\bkike|faggot")


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    source: str
    # 1 or 0 where it is known; a category that is missing is unknown.
    labels: Mapping[str, int]
    # Examples of one group are never parted between training and testing.
    group: str

    @property
    def asks_last(self) -> bool:
        """Who tells a story before asking: what stands before the last window may be harmless."""
        return self.source == "hard passages" and any(self.labels.values())

    @property
    def benign(self) -> bool:
        return len(self.labels) == len(LEARNT) and not any(self.labels.values())


def own_passages() -> Iterator[Example]:
    """`passages/*.txt`: lines of `categories | text`; slots.txt fills `{slot}`.

    `-` stands for no category. After `not`, one that it is not, and of the others nothing is known.
    """
    stems = {path.stem for path in _PASSAGES.glob("*.txt")}
    yield from _passages("own passages", stems - {"slots"} - _HARD, among_others=False)


def hard_passages() -> Iterator[Example]:
    """Those that meaning alone does not tell apart; of each also a copy among other words."""
    yield from _passages("hard passages", _HARD, among_others=True)


def _passages(source: str, stems: Collection[str], *, among_others: bool) -> Iterator[Example]:
    slots = _slots()
    chooser = random.Random(_SEED)  # noqa: S311
    for stem in sorted(stems):
        for categories, text in _lines(_PASSAGES / f"{stem}.txt"):
            copies = _COPIES if "{" in text else 1
            filled = [_filled(text, slots, chooser) for _ in range(copies)]
            if among_others:
                filled = [*dict.fromkeys(filled), _among_others(filled[0], chooser)]
            for copy in filled:
                yield Example(copy, source, _labels(*categories), text)


def _filled(text: str, slots: Mapping[str, list[str]], chooser: random.Random) -> str:
    filled = re.sub(r"\{(\w+)\}", lambda slot: chooser.choice(slots[slot[1]]), text)
    return filled[0].upper() + filled[1:] if text.startswith("{") else filled


def _among_others(text: str, chooser: random.Random) -> str:
    before, after = chooser.sample(_OTHERS, 2)
    begin, end = chooser.randrange(len(before)), chooser.randrange(len(after))
    return " ".join((*before[begin:], text.strip(" .!?"), *after[:end]))


def policy_phrases() -> Iterator[Example]:
    """`phrases.txt`: what the policy forbids, and what it does not, in a few words each."""
    for categories, text in _lines(_HERE / "phrases.txt"):
        yield Example(text, "policy phrases", _labels(*categories), text)


def documents() -> Iterator[Example]:
    """`documents.txt`: harmless sentences on grave matters, and what is cut from their texts."""
    window_size = read_policy(BUNDLED).window_size
    chooser = random.Random(_SEED)  # noqa: S311
    for topic, sentences in _topics():
        orders = (chooser.sample(sentences, len(sentences)) for _ in range(_ORDERS))
        cut = (passage for order in orders for passage in passages(" ".join(order), window_size))
        for passage in dict.fromkeys(cut):
            yield Example(passage, "documents", _labels(), topic)


def _topics() -> Iterator[tuple[str, list[str]]]:
    for section in (_HERE / "documents.txt").read_text().split("# ")[1:]:
        topic, *sentences = section.strip().splitlines()
        yield topic, sentences


def wordnet_examples(folder: Path) -> Iterator[Example]:
    """The sentences that WordNet gives for its words: plain English on anything."""
    for path in sorted(folder.glob("data.*")):
        for line in path.read_text().splitlines():
            for text in re.findall(r'"([^"]+)"', line.partition(" | ")[2]):
                if len(text.split()) >= _LEAST_WORDS and not _COARSE.search(text):
                    yield Example(text, "WordNet", _labels(), text)


def code_examples() -> Iterator[Example]:
    """Code, and prose about it: Python's standard library, and packages that the mesh runs on."""
    chooser = random.Random(_SEED)  # noqa: S311
    for path in _modules(chooser):
        of_ends = [
            each
            for each in _cut(path)
            if len(each.split()) >= _LEAST_WORDS and _OF_ENDS.search(each)
        ]
        for passage in chooser.sample(of_ends, min(len(of_ends), _OF_A_MODULE)):
            yield Example(passage, "code", _labels(), path.name)


def _modules(chooser: random.Random) -> Iterator[Path]:
    yield from sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for package in _PACKAGES:
        found = sorted((Path(sysconfig.get_path("purelib")) / package).rglob("*.py"))
        yield from chooser.sample(found, min(len(found), _OF_A_PACKAGE))


def _cut(path: Path) -> list[str]:
    return passages(path.read_text(errors="replace"), read_policy(BUNDLED).window_size)


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


def more_requests(folder: Path) -> Iterator[Example]:
    """Everyday requests of CLINC150's training part, most of which `public_examples` leaves out."""
    for number, (text, _) in enumerate(_json(folder / "clinc_data_full.json")["train"]):
        if number % _MORE_OF_CLINC == 1:
            yield _benign(text, "CLINC150")


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
    lines = (_PASSAGES / "slots.txt").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: [word.strip() for word in words.split("|")] for name, words in pairs}


def _lines(path: Path) -> Iterator[tuple[list[str], str]]:
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            categories, text = line.split(" | ", 1)
            yield [c.strip() for c in categories.split(",") if c.strip() != "-"], text.strip()


def _labels(*categories: str) -> dict[str, int]:
    """All are known, but where it is told what a text is not."""
    denied = [category.removeprefix("not ") for category in categories if "not " in category]
    if unknown := set(denied or categories) - set(LEARNT):
        raise ValueError(f"no such category: {', '.join(sorted(unknown))}")
    if denied:
        return dict.fromkeys(denied, 0)
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
        for text, _ in known[split][:: _OF_CLINC if split == "train" else 1]:
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
