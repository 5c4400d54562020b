"""What may pass: thresholds for categories and actions for rules, read from a YAML file."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.moderation.api import CATEGORIES, Direction
from services.moderation.windows import WindowSize

BUNDLED = Path(__file__).parent / "policy.yaml"


class BrokenPolicy(ValueError):
    """The file is not a policy; the message says what is wrong, and where."""


class RuleAction(Enum):
    PASS = "pass"  # noqa: S105
    MASK = "mask"
    BLOCK = "block"


def _known(category: str) -> str:
    if category not in CATEGORIES:
        raise ValueError(f"{category} is no category; known are {', '.join(CATEGORIES)}")
    return category


Category = Annotated[str, AfterValidator(_known)]
Score = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Thresholds(_Frozen):
    """The lowest score that flags a text, and the lowest that blocks it; None: no score does."""

    flag: Score | None = None
    block: Score | None = None


_NEVER = Thresholds()


class DirectionPolicy(_Frozen):
    """The part of a policy that holds for one direction."""

    categories: dict[Category, Thresholds]
    # By a rule's name or by its family's; a rule's own entry comes before its family's.
    rules: dict[str, RuleAction]

    def action(self, rule: str, family: str) -> RuleAction:
        return self.rules.get(rule) or self.rules.get(family) or RuleAction.PASS

    def flagged(self, scores: Sequence[float]) -> tuple[str, ...]:
        return tuple(
            category
            for category, score in zip(CATEGORIES, scores, strict=True)
            if _reaches(score, self._thresholds(category).flag)
        )

    def blocking(self, scores: Sequence[float]) -> str:
        """The category that blocks, or an empty string; `sexual/minors` comes before `sexual`."""
        blocking = [
            (category.count("/"), score, category)
            for category, score in zip(CATEGORIES, scores, strict=True)
            if _reaches(score, self._thresholds(category).block)
        ]
        return max(blocking)[2] if blocking else ""

    def _thresholds(self, category: str) -> Thresholds:
        return self.categories.get(category, _NEVER)


def _reaches(score: float, threshold: float | None) -> bool:
    return threshold is not None and score >= threshold


class _Windows(_Frozen):
    words: int = Field(ge=8, le=100)
    overlap: int = Field(ge=0)

    @model_validator(mode="after")
    def _overlap_is_less(self) -> "_Windows":
        if self.overlap >= self.words:
            raise ValueError("overlap must be less than words")
        return self


class Policy(_Frozen):
    max_chars: int = Field(gt=0)
    # Of all texts of a request together.
    max_request_chars: int = Field(default=1_000_000, gt=0)
    windows: _Windows
    # After how many new words a growing reply is judged and shown: the first time, the second time,
    # and so on; the last number holds for all later times.
    release_after_words: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    # An operator's own words and phrases by category; a window that holds one scores 1 in it.
    phrases: dict[Category, tuple[Annotated[str, Field(min_length=1)], ...]]
    input: DirectionPolicy
    output: DirectionPolicy

    def for_direction(self, direction: Direction) -> DirectionPolicy:
        return self.input if direction is Direction.INPUT else self.output

    @property
    def window_size(self) -> WindowSize:
        return WindowSize(self.windows.words, self.windows.overlap)

    def release_after(self, releases: int) -> int:
        """How many new words the next release waits for, after so many releases."""
        return self.release_after_words[min(releases, len(self.release_after_words) - 1)]


def read_policy(path: Path) -> Policy:
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise BrokenPolicy(f"{path}: {error}") from None
