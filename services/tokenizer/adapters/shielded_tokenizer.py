"""A tokenizer that tells control tokens from the same letters in a caller's text."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from services.shared.errors import CannotStart
from services.tokenizer.shield import ESCAPE, ESCAPED, MARK, Shield

Document = dict[str, Any]  # a tokenizer.json
# Letters that some normalizers take for the ASCII ones.
_FULL_WIDTH = {letter: letter + 0xFEE0 for letter in range(0x21, 0x7F)}


class UnusableModel(CannotStart):
    """The tokenizer cannot be read, or it would take what callers write for control tokens."""


def control_tokens(document: Document, template: str) -> dict[int, str]:
    """The added tokens that steer a model, by id; the others are pieces of text.

    Special ones steer, those shaped like it, and those that the template writes. A tag such as
    `<table>` that is none of these is text.
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
    """The tokenizer that takes the shield's marks out again."""
    document |= {"truncation": None, "padding": None}
    _match_as_written(document, controls)
    _never_spell(document, controls)
    for removal in (_before_normalizing, _between_words):
        tokenizer = Tokenizer.from_str(json.dumps(removal(document)))
        if not _leaks(tokenizer, controls, shield, document["model"]):
            return tokenizer
    raise UnusableModel("its control tokens cannot be told from the same letters typed by a user")


def _match_as_written(document: Document, controls: Mapping[int, str]) -> None:
    """Control tokens shall not arise by normalizing, such as from full-width letters."""
    empty = {"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": []}
    normalizer = Tokenizer.from_str(json.dumps(document | empty)).normalizer
    for token in document["added_tokens"]:
        content = token["content"]
        if token["id"] in controls and (
            normalizer is None or normalizer.normalize_str(content) == content
        ):
            token["normalized"] = False


def _never_spell(document: Document, controls: Mapping[int, str]) -> None:
    """Unigram models hold control tokens among their pieces, as the likeliest for their letters."""
    if document["model"]["type"] != "Unigram":
        return
    unlikely = dict.fromkeys(controls.values(), -1e6)
    pieces = document["model"]["vocab"]
    document["model"]["vocab"] = [[piece, unlikely.get(piece, score)] for piece, score in pieces]


def _before_normalizing(document: Document) -> Document:
    """The words are those of the plain text."""
    steps = [_replaced(MARK, ""), _replaced(ESCAPED, ESCAPE)]
    return document | {"normalizer": _first(steps, document["normalizer"], "normalizers")}


def _between_words(document: Document) -> Document:
    """For models that look for control tokens in what was normalized: a mark parts words."""
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
    """Whether control tokens can be typed. The unknown one can: it stands for what has no other."""
    unknown = model.get("unk_token")
    forbidden = {id for id, token in controls.items() if len(token) > 1 and token != unknown}
    forbidden.discard(model.get("unk_id"))
    return any(
        not forbidden.isdisjoint(tokenizer.encode(shield.text(text), add_special_tokens=False).ids)
        for token in controls.values()
        for text in (token, f"a {token} b", f"a{token}b", token.translate(_FULL_WIDTH))
    )
