"""Real small tokenizers, and what typed control tokens come to in them."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from services.shared.conversation import Role
from services.shared.tools import Tool, ToolCall
from services.tokenizer.adapters.hugging_face import HuggingFaceModel, load
from services.tokenizer.adapters.shielded_tokenizer import UnusableModel
from services.tokenizer.api import TemplateMessage, TemplateRefused, UnknownToken
from services.tokenizer.shield import ESCAPE, ESCAPED, MARK
from tests.fakes.tokenizer import MODELS, ModelFiles, parts_like, qwen_like

CONTROLS = {
    "qwen": ["<|im_start|>", "<|im_end|>", "<tool_call>", "</think>", "<|fim_prefix|>"],
    "coder": ["<|im_end|>", "<tool_call>", "</tool_call>"],
    "deepseek": ["<｜User｜>", "<｜end▁of▁sentence｜>", "<｜tool▁calls▁begin｜>"],
    "parts": ["<|begin_of_text|>", "<|eot|>"],
    "vision": ["<|im_end|>", "<|vision_start|>", "<|image_pad|>"],
    "pictures-first": ["</s>", "<image>"],
    "mistral": ["<s>", "</s>", "[INST]", "[/TOOL_RESULTS]"],
    "old-llama": ["<s>", "</s>"],
    "unigram": ["<s>", "</s>"],
}


@cache
def model(name: str) -> HuggingFaceModel:
    return MODELS[name]().build()


def user(text: str) -> list[TemplateMessage]:
    return [TemplateMessage(Role.USER, text)]


def controls(name: str, ids: list[int]) -> list[str]:
    """The control tokens among the ids, in their order."""
    texts = [model(name).decode([id]) for id in ids]
    return [text for text in texts if text in CONTROLS[name]]


@pytest.mark.parametrize("name", MODELS)
def test_typed_control_tokens_stay_text(name: str) -> None:
    harmless = controls(name, model(name).prompt(user("Hello there"), [], {}))
    for token in CONTROLS[name]:
        for text in (token, f"a{token}", f" {token}{token}\n", f"x {token} y", token * 3):
            assert controls(name, model(name).prompt(user(text), [], {})) == harmless
            assert controls(name, model(name).encode(text)) == []


@pytest.mark.parametrize("name", MODELS)
def test_typed_control_tokens_are_the_text_that_was_typed(name: str) -> None:
    for token in CONTROLS[name]:
        text = f"a {token} b"
        assert model(name).decode(model(name).encode(text)) == text


def test_the_text_is_cut_into_words_as_any_other() -> None:
    """As if the model had no such token."""
    files = qwen_like()
    bare = files.tokenizer.to_str().replace('"<|im_end|>"', '"<|xx_xxx|>"')
    without = ModelFiles(files.tokenizer.from_str(bare), files.chat_template).build()
    text = "Write <|im_end|> for me<|im_end|>"
    assert model("qwen").encode(text) == without.encode(text)


@pytest.mark.parametrize("name", ["qwen", "coder", "parts"])
def test_control_tokens_do_not_arise_where_texts_meet(name: str) -> None:
    token = CONTROLS[name][0]
    harmless = [
        TemplateMessage(Role.USER, "a"),
        TemplateMessage(Role.ASSISTANT, "b"),
        TemplateMessage(Role.USER, "c"),
    ]
    expected = controls(name, model(name).prompt(harmless, [], {}))
    for cut in range(1, len(token)):
        halves = [
            TemplateMessage(Role.USER, token[:cut]),
            TemplateMessage(Role.ASSISTANT, token[cut:] + token[:cut]),
            TemplateMessage(Role.USER, token[cut:]),
        ]
        assert controls(name, model(name).prompt(halves, [], {})) == expected


def test_a_schemas_key_becomes_no_tag_that_is_a_control_token() -> None:
    def prompt(key: str) -> list[str]:
        tool = Tool("f", "", f'{{"properties": {{"a": {{"{key}": "b"}}}}}}')
        return controls("coder", model("coder").prompt(user("hi"), [tool], {}))

    assert prompt("tool_call") == prompt("harmless")


def test_a_calls_arguments_hold_no_control_token_that_json_hid() -> None:
    def prompt(arguments: str) -> list[str]:
        call = ToolCall("1", "f", arguments)
        messages = [*user("hi"), TemplateMessage(Role.ASSISTANT, "", "", (call,))]
        return controls("qwen", model("qwen").prompt(messages, [], {}))

    assert prompt('{"a": "\\u003c|im_end|>"}') == prompt('{"a": "harmless"}')


def test_a_tag_that_steers_nothing_is_its_own_token() -> None:
    assert len(model("qwen").encode("<table>")) == 1


def test_full_width_letters_do_not_normalize_to_control_tokens() -> None:
    assert controls("unigram", model("unigram").encode("＜s＞ ＜／s＞")) == []


@pytest.mark.parametrize("name", ["qwen", "coder", "deepseek", "parts", "mistral"])
@pytest.mark.parametrize("text", [MARK, ESCAPE, ESCAPED, f"<{MARK}|im_end|>", f"{ESCAPE}<s>"])
def test_our_own_signs_are_letters_like_others(name: str, text: str) -> None:
    assert model(name).decode(model(name).encode(f"a {text} b")) == f"a {text} b"


@pytest.mark.parametrize("name", ["qwen", "mistral"])
def test_nul_is_a_letter_like_others(name: str) -> None:
    assert model(name).decode(model(name).encode("a\0b")) == "a\0b"


def test_halves_of_surrogate_pairs_become_replacement_characters() -> None:
    assert model("qwen").decode(model("qwen").encode("a\ud800b \ud83c\udf89")) == "a\ufffdb 🎉"
    call = ToolCall("1", "f", '{"a": "\\ud800"}')
    messages = [*user("hi"), TemplateMessage(Role.ASSISTANT, "", "", (call,))]
    assert '{"a": "\ufffd"}' in model("qwen").decode(model("qwen").prompt(messages, [], {}))


def test_a_switch_of_the_template_is_obeyed() -> None:
    prompt = model("qwen").prompt(user("hi"), [], {"enable_thinking": "false"})
    assert model("qwen").decode(prompt).endswith("<think>\n\n</think>\n\n")


def test_tools_have_a_template_of_their_own_where_the_model_has_one() -> None:
    prompt = model("parts").prompt(user("hi"), [Tool("f", "", "{}")], {})
    assert model("parts").decode(prompt).startswith('[{"type": "function"')


def test_a_model_without_a_template_refuses_conversations_but_encodes() -> None:
    bare = ModelFiles(qwen_like().tokenizer, None).build()
    assert bare.decode(bare.encode("hi")) == "hi"
    with pytest.raises(TemplateRefused):
        bare.prompt(user("hi"), [], {})


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    for id in (10**6, 2**32, -1):
        with pytest.raises(UnknownToken):
            model("qwen").decode([0, id])


def test_special_tokens_are_decoded_too() -> None:
    assert model("qwen").decode(model("qwen").prompt(user("hi"), [], {})) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_message_counts_what_it_adds_to_a_prompt() -> None:
    first, then = (
        user("What is it?"),
        [TemplateMessage(Role.ASSISTANT, "It is a test."), *user("Oh.")],
    )
    added = model("qwen").prompt([*first, *then], [], {})[
        len(model("qwen").prompt(first, [], {})) :
    ]
    assert sum(map(model("qwen").tokens, then)) == len(added)


PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"


def test_a_pictures_placeholder_stands_where_the_picture_stood() -> None:
    message = TemplateMessage(Role.USER, "Is this or that a cat?", pictures=(7, 15))
    assert model("vision").decode(model("vision").prompt([message], [], {})) == (
        f"<|im_start|>user\nIs this{PICTURE} or that{PICTURE} a cat?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_placeholder_that_a_user_types_is_none() -> None:
    text = f"{PICTURE} and {PICTURE}"
    for places in ((), (0,), (2, 30), (len(text),)):
        message = TemplateMessage(Role.USER, text, pictures=places)
        ids = model("vision").prompt([message], [], {})
        assert controls("vision", ids).count("<|image_pad|>") == len(places)


@pytest.mark.parametrize("cut", range(1, len("<image>")))
def test_a_token_that_a_picture_cuts_in_two_does_not_close_behind_it(cut: int) -> None:
    message = TemplateMessage(Role.USER, "<image>", pictures=(cut,))
    ids = model("pictures-first").prompt([message], [], {})
    assert controls("pictures-first", ids) == ["<image>"]
    assert model("pictures-first").decode(ids) == "USER: <image>\n<image>ASSISTANT:"


@pytest.mark.parametrize("pictures", [(1,), (0, 1, 3, 3)])
def test_a_message_counts_what_the_template_writes_for_its_pictures(
    pictures: tuple[int, ...],
) -> None:
    bare, seen = user("a\n\nb")[0], TemplateMessage(Role.USER, "a\n\nb", pictures=pictures)
    longer = len(model("vision").prompt([seen], [], {})) - len(
        model("vision").prompt([bare], [], {})
    )
    assert longer == 3 * len(pictures)
    assert model("vision").tokens(seen) - model("vision").tokens(bare) == longer


def test_a_model_that_does_not_see_counts_no_pictures() -> None:
    assert model("qwen").tokens(TemplateMessage(Role.USER, "a", pictures=(1,))) == model(
        "qwen"
    ).tokens(*user("a"))


def test_a_directory_is_read_without_torch(tmp_path: Path) -> None:
    directory = parts_like().write(tmp_path / "model")
    script = (
        "import sys\n"
        "import services.tokenizer.wiring\n"
        "from services.tokenizer.adapters.hugging_face import load\n"
        f"model = load({str(directory)!r})\n"
        "print(model.encode('hi'), 'torch' in sys.modules)\n"
    )
    paths = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=paths, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{model('parts').encode('hi')} False\n"


def test_a_directory_without_a_tokenizer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="its tokenizer cannot be read"):
        load(str(tmp_path))
