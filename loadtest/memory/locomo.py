"""How well memory's search finds what answers a question, on LoCoMo's conversations.

    python -m loadtest.memory.locomo <locomo.json>

Every turn of a conversation is a fact, every question of it a query; recall@k is the share of a
question's evidence among the k best, averaged over questions. Evidence is split at semicolons and
blanks, `D30:05` is `D30:5`, `D:11:26` is `D11:26`, what does not exist is dropped, and so are
questions left without any. The names of the two who talk are taken out of the query before it is
embedded, as the keeper does with the person's own.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.memory.api import Fact, Kind
from services.memory.index import Index
from services.memory.ports import EmbeddedFact, ScopeFacts, Vectors
from services.shared.embedder import DIMENSIONS, Embedder, open_embedder

_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_CUTS = (5, 10)
_NO_MEANING = np.zeros(DIMENSIONS, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Turn:
    id: str
    session: int
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    category: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A conversation with what is to be compared already embedded, a row for each."""

    turns: Sequence[Turn]
    questions: Sequence[Question]
    turn_vectors: Vectors
    question_vectors: Vectors


Ranking = Callable[[Embedded], Iterator[Sequence[str]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("locomo", type=Path, help="LoCoMo's JSON file")
    conversations = json.loads(parser.parse_args().locomo.read_text())
    with open_embedder() as embedder:
        embedded = [_embedded(conversation, embedder) for conversation in conversations]
    asked = sum(len(conversation.questions) for conversation in embedded)
    print(f"{len(embedded)} conversations, {asked} questions; recall@5 / recall@10\n")
    names = ["all", *_CATEGORIES.values()]
    print("| | " + " | ".join(names) + " |")
    print("|---" * (1 + len(names)) + "|")
    for name, ranking in _RANKINGS.items():
        print(f"| {name} | " + " | ".join(_row(embedded, ranking, names)) + " |")


def _row(embedded: Sequence[Embedded], ranking: Ranking, names: Sequence[str]) -> Iterator[str]:
    recalls: dict[str, list[list[float]]] = {name: [] for name in names}
    for conversation in embedded:
        for question, best in zip(conversation.questions, ranking(conversation), strict=True):
            shares = [
                len(question.evidence & set(best[:cut])) / len(question.evidence) for cut in _CUTS
            ]
            recalls["all"].append(shares)
            recalls[question.category].append(shares)
    for name in names:
        yield " / ".join(f"{mean:.3f}" for mean in np.mean(recalls[name], axis=0))


def _by_words(conversation: Embedded) -> Iterator[Sequence[str]]:
    index = _index(conversation, [turn.text for turn in conversation.turns])
    for question in conversation.questions:
        yield _best(index, question.text, _NO_MEANING)


def _by_meaning(conversation: Embedded) -> Iterator[Sequence[str]]:
    for cosines in conversation.question_vectors @ conversation.turn_vectors.T:
        yield [conversation.turns[row].id for row in np.argsort(-cosines, kind="stable")[:10]]


def _as_kept(conversation: Embedded) -> Iterator[Sequence[str]]:
    yield from _searched(conversation, [turn.text for turn in conversation.turns])


def _with_turn_before(conversation: Embedded) -> Iterator[Sequence[str]]:
    """What answers a question in a dialogue is often said in the turn after it; facts have none."""
    yield from _searched(
        conversation,
        [
            f"{before.text} {turn.text}" if before.session == turn.session else turn.text
            for before, turn in zip(
                (conversation.turns[0], *conversation.turns[:-1]), conversation.turns, strict=True
            )
        ],
    )


def _searched(conversation: Embedded, texts: Sequence[str]) -> Iterator[Sequence[str]]:
    index = _index(conversation, texts)
    pairs = zip(conversation.questions, conversation.question_vectors, strict=True)
    for question, vector in pairs:
        yield _best(index, question.text, vector)


def _index(conversation: Embedded, texts: Sequence[str]) -> Index:
    kept = [
        EmbeddedFact(Fact(turn.id, text, Kind.FACT, 0, 0), vector)
        for turn, text, vector in zip(
            conversation.turns, texts, conversation.turn_vectors, strict=True
        )
    ]
    return Index(ScopeFacts(1, kept))


def _best(index: Index, query: str, vector: Vectors) -> Sequence[str]:
    return [match.fact.id for match in index.search(query, vector, max(_CUTS))]


def _embedded(conversation: dict[str, Any], embedder: Embedder) -> Embedded:
    talk = conversation["conversation"]
    names = "|".join(re.escape(talk[key]) for key in ("speaker_a", "speaker_b"))
    turns = list(_turns(talk))
    questions = list(_questions(conversation["qa"], {turn.id for turn in turns}))
    nameless = [
        " ".join(re.sub(rf"\b(?:{names})\b(?:'s)?", "", question.text).split())
        for question in questions
    ]
    return Embedded(
        turns,
        questions,
        embedder.embed_now([turn.text for turn in turns]),
        embedder.embed_now(nameless),
    )


def _turns(talk: dict[str, Any]) -> Iterator[Turn]:
    for session in range(1, len(talk)):
        for turn in talk.get(f"session_{session}", ()):
            text = f"{turn['speaker']}: {turn['text']} {turn.get('blip_caption', '')}".strip()
            yield Turn(turn["dia_id"], session, text)


def _questions(asked: Sequence[dict[str, Any]], known: set[str]) -> Iterator[Question]:
    for each in asked:
        parts = re.split(r"[;\s]+", " ".join(each.get("evidence", ())))
        evidence = frozenset(_turn_id(part) for part in parts) & known
        if evidence:
            yield Question(each["question"], _CATEGORIES[each["category"]], evidence)


def _turn_id(written: str) -> str:
    numbers = re.findall(r"\d+", written)
    return "D" + ":".join(str(int(number)) for number in numbers)


_RANKINGS: dict[str, Ranking] = {
    "words (BM25)": _by_words,
    "meaning (vectors)": _by_meaning,
    "memory's search": _as_kept,
    "the same, words with the turn before": _with_turn_before,
}

if __name__ == "__main__":
    main()
