"""A made-up word list, so that no test needs one of the system's."""

from itertools import product

import pytest

from services.inference.demo_model.generator.composer import Composer
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder, ChatTemplate


@pytest.fixture(scope="session")
def words() -> list[str]:
    common = ["".join(parts) for parts in product("bdfkl", "aeo", "mnrst", "iu", "gpvz", "ay")]
    return common + [word.capitalize() for word in common[::7]]


@pytest.fixture(scope="session")
def composer(words: list[str]) -> Composer:
    return Composer(Lexicon(words, Split.TRAINING), Split.TRAINING, NOTHING_OUTSIDE)


@pytest.fixture(scope="session")
def held_out_composer(words: list[str]) -> Composer:
    return Composer(Lexicon(words, Split.HELD_OUT), Split.HELD_OUT, NOTHING_OUTSIDE)


@pytest.fixture(scope="session")
def template() -> ChatTemplate:
    return ChatTemplate((MODEL_FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def encoder() -> ChatEncoder:
    return ChatEncoder.load(MODEL_FOLDER)
