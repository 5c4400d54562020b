"""What is counted."""

from collections.abc import Sequence

import numpy as np
from prometheus_client import CollectorRegistry

from services.moderation.adapters.metered import (
    MeteredFirstStage,
    MeteredModeration,
    MeteredSecondStage,
)
from services.moderation.api import CATEGORIES, Direction
from services.moderation.ports import Scores
from tests.fakes.moderation import WordModeration, WordScorer, watched


class Harmless:
    def score(self, windows: Sequence[str]) -> Scores:
        return np.zeros((len(windows), len(CATEGORIES)), np.float32)


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"chatmesh_moderation_{name}", labels)


async def test_texts_are_counted_by_what_came_of_them() -> None:
    registry = CollectorRegistry()
    metered = MeteredModeration(WordModeration(), registry)
    await metered.screen(["fine", "also fine", "forbidden", "a secret"], Direction.INPUT)

    def texts(action: str, category: str = "") -> float | None:
        labels = {"direction": "input", "action": action, "category": category}
        return counted(registry, "texts_total", **labels)

    assert [texts("pass"), texts("rewrite"), texts("block", "violence")] == [2, 1, 1]


async def test_answers_about_replies_are_counted_by_what_blocked_them() -> None:
    registry = CollectorRegistry()
    await watched(MeteredModeration(WordModeration(), registry), "a ", "b ", "forbidden")
    assert counted(registry, "releases_total", category="") == 2
    assert counted(registry, "releases_total", category="violence") == 1


async def test_windows_are_counted_at_both_stages() -> None:
    registry = CollectorRegistry()
    MeteredFirstStage(Harmless(), registry).score(["a", "b", "c"])
    await MeteredSecondStage(WordScorer(), registry).score(["a", "b"])
    assert counted(registry, "windows_total") == 3
    assert counted(registry, "doubtful_windows_total") == 2
    assert counted(registry, "second_stage_seconds_count") == 1
