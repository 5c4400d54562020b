"""A tokenizer that tells control tokens from the same letters in a caller's text."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from services.shared.errors import CannotStart
from services.tokenizer.shield import ESCAPE, ESCAPED, MARK, Shield

Document = dict[str, Any]  # a tokenizer.json
# The full-width form of each ASCII letter: some normalizers make the ASCII letter of it.
_FULL_WIDTH = {letter: letter + 0xFEE0 for letter in range(0x21, 0x7F)}


class UnusableModel(CannotStart):
    """The tokenizer cannot be read, or callers could type its control tokens."""


def control_tokens(document: Document, template: str) -> dict[int, str]:
    """The added tokens that steer a model, by id. All other added tokens are text.

    A token steers if it is marked as special, if it looks like `<|this|>` or `[THIS]`, or if the
    template writes it. Any other one, such as `<table>`, is text.
    """
    shaped = re.compile(r"<[|\uff5c].*[|\uff5c]>|\[/?[A-Z_]+\]", re.DOTALL)
    return {
        token["id"]: content
        for token in document["added_tokens"]
        if (content := token["content"]).strip()
        and (
            token["special"]
            or shaped.fullmatch(content)
            or (content in template and not content.replace(" ", "").isalnum())
        )
    }


def shielded_tokenizer(
    document: Document, controls: Mapping[int, str], shield: Shield
) -> Tokenizer:
    """A tokenizer that removes the shield's marks. Raises `UnusableModel`."""
    document |= {"truncation": None, "padding": None}
    _match_as_written(document, controls)
    _never_spell(document, controls)
    for removal in (_before_normalizing, _between_words):
        tokenizer = Tokenizer.from_str(json.dumps(removal(document)))
        if not _leaks(tokenizer, controls, shield, document["model"]):
            return tokenizer
    raise UnusableModel("its control tokens cannot be told from the same letters typed by a user")


def _match_as_written(document: Document, controls: Mapping[int, str]) -> None:
    """Looks for control tokens before normalizing, which could make one of full-width letters."""
    empty = {"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": []}
    normalizer = Tokenizer.from_str(json.dumps(document | empty)).normalizer
    for token in document["added_tokens"]:
        content = token["content"]
        if token["id"] in controls and (
            normalizer is None or normalizer.normalize_str(content) == content
        ):
            token["normalized"] = False


def _never_spell(document: Document, controls: Mapping[int, str]) -> None:
    """Makes control tokens the least likely pieces of a Unigram model.

    Such a model has them among its pieces, and would choose them for their letters.
    """
    if document["model"]["type"] != "Unigram":
        return
    unlikely = dict.fromkeys(controls.values(), -1e6)
    pieces = document["model"]["vocab"]
    document["model"]["vocab"] = [[piece, unlikely.get(piece, score)] for piece, score in pieces]


def _before_normalizing(document: Document) -> Document:
    """Removes marks before all normalizing, so that the text is cut into words as without marks."""
    steps = [_replaced(MARK, ""), _replaced(ESCAPED, ESCAPE)]
    return document | {"normalizer": _first(steps, document["normalizer"], "normalizers")}


def _between_words(document: Document) -> Document:
    """Removes marks after normalizing, where a mark also ends a word.

    For models that look for control tokens in normalized text.
    """
    parted = {
        "type": "Split",
        "pattern": {"String": MARK},
        "behavior": "Removed",
        "invert": False,
    }
    steps = [_replaced(ESCAPED, ESCAPE)]
    return document | {
        "normalizer": _first(steps, document["normalizer"], "normalizers"),
        "pre_tokenizer": _first([parted], document["pre_tokenizer"], "pretokenizers"),
    }


def _first(steps: list[Document], then: Document | None, name: str) -> Document:
    return {"type": "Sequence", name: [*steps, then] if then else steps}


def _replaced(pattern: str, content: str) -> Document:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def _leaks(
    tokenizer: Tokenizer, controls: Mapping[int, str], shield: Shield, model: Document
) -> bool:
    """Whether a control token can be typed.

    Leaves out the unknown token, which stands for every text that has no other.
    """
    unknown = model.get("unk_token")
    forbidden = {id for id, token in controls.items() if len(token) > 1 and token != unknown}
    forbidden.discard(model.get("unk_id"))
    return any(
        not forbidden.isdisjoint(tokenizer.encode(shield.text(text), add_special_tokens=False).ids)
        for token in controls.values()
        for text in (token, f"a {token} b", f"a{token}b", token.translate(_FULL_WIDTH))
    )
