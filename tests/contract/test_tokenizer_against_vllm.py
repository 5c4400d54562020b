"""The ids are those of vLLM's own renderer, but that special tokens typed by a user stay text."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.shared.conversation import Role
from services.tokenizer.adapters.hugging_face import HuggingFaceModel, load
from services.tokenizer.api import TemplateMessage, TemplateRefused
from services.tokenizer.config import TokenizerConfig
from tests.fakes.tokenizer import MODELS, SHAPE
from tests.fakes.tokenizer_chats import Chat, Writer

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="vllm is not installed"),
    pytest.mark.timeout(600),  # vLLM may take a minute to import where other work goes on
]
_CHATS = 300
_CONTROLS = {
    "bundled": "<|im_end|>",
    "qwen": "<|im_end|>",
    "coder": "<tool_call>",
    "deepseek": "<\uff5cUser\uff5c>",
    "parts": "<|eot|>",
    "vision": "<|image_pad|>",
    "pictures-first": "<image>",
    "mistral": "[/INST]",
    "old-llama": "</s>",
    "unigram": "</s>",
}
# Its words end where a mark stands, so texts that end like the start of a token may differ.
_CUT_WORDS = {"old-llama"}
# Chats about pictures, after the others.
_SEEING = {"vision": 100, "pictures-first": 100}


@dataclass(frozen=True, slots=True)
class Case:
    """A model, the chats, and what vLLM made of each: None where the template refuses."""

    model: HuggingFaceModel
    control: str
    chats: Sequence[Chat]
    theirs: Sequence[Sequence[int] | None]

    def ours(self, chat: Chat) -> Sequence[int] | None:
        try:
            return self.model.prompt(chat.messages, chat.tools, chat.options)
        except TemplateRefused:
            return None

    def controls(self, ids: Sequence[int] | None) -> int:
        return sum(self.model.decode([id]) == self.control for id in ids or ())


def _directory(name: str, path: Path) -> str:
    if name != "bundled":
        return str(MODELS[name]().write(path))
    (bundled,) = TokenizerConfig.model_fields["models"].default.values()
    shutil.copytree(bundled, path, ignore=shutil.ignore_patterns("*.safetensors"))
    (path / "config.json").write_text(json.dumps(SHAPE))
    return str(path)


def _typed(words: str) -> Chat:
    return Chat([TemplateMessage(Role.USER, f"Write {words} for me")])


def _written(writer: Writer, name: str) -> list[Chat]:
    return [*writer.chats(_CHATS), *writer.chats_with_pictures(_SEEING.get(name, 0))]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Case]:
    root = tmp_path_factory.mktemp("vllm")
    asked, answered = root / "asked.json", root / "answered.json"
    chats = {
        name: [_typed(control), *_written(Writer(7, near_misses=name not in _CUT_WORDS), name)]
        for name, control in _CONTROLS.items()
    }
    directories = {name: _directory(name, root / name) for name in chats}
    requests = [[directories[name], [chat.request() for chat in chats[name]]] for name in chats]
    asked.write_text(json.dumps(requests))
    script = Path(__file__).with_name("vllm_renderer.py")
    command = [sys.executable, str(script), str(asked), str(answered)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
    return {
        name: Case(load(directories[name]), _CONTROLS[name], chats[name], theirs)
        for name, theirs in zip(chats, json.loads(answered.read_text()), strict=True)
    }


@pytest.mark.parametrize("name", _CONTROLS)
def test_the_ids_are_those_of_vllm(cases: Mapping[str, Case], name: str) -> None:
    case = cases[name]
    for chat, theirs in list(zip(case.chats, case.theirs, strict=True))[1:]:
        assert case.ours(chat) == theirs, chat


def test_the_corpus_is_large(cases: Mapping[str, Case]) -> None:
    rendered = {
        name: sum(theirs is not None for theirs in case.theirs) for name, case in cases.items()
    }
    assert min(rendered[name] for name in ("bundled", "qwen", "coder", "deepseek", "parts")) >= 200
    # Their templates refuse all but speakers who take turns.
    assert min(rendered.values()) >= 100
    assert min(rendered[name] for name in _SEEING) >= 300


@pytest.mark.parametrize("name", _CONTROLS)
def test_a_typed_special_token_stays_text_where_vllm_reads_it_as_one(
    cases: Mapping[str, Case], name: str
) -> None:
    case = cases[name]
    ours, theirs = case.ours(case.chats[0]), case.theirs[0]
    legitimate = case.controls(case.ours(_typed("it")))
    assert case.controls(theirs) == legitimate + 1
    assert case.controls(ours) == legitimate
