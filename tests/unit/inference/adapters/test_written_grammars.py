"""Grammars that a caller has written, as xgrammar understands them."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inference.api import UnsupportedParameter
from services.shared.tools import TextInput, TextSyntax
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = list(needs_vllm)
ARITHMETIC = """
start: expr
expr: term ((ADD | SUB) term)*
term: INT | "(" expr ")"
ADD: "+"
SUB: "-"
%import common.INT
"""
PATCH = """
start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?
hunk: "*** Add File: " /(.+)/ LF add_line+
add_line: "+" /(.*)/ LF
%import common.LF
"""
WORD = "[a-z\\]^-]+"
# A text's grammar, and texts that it allows and does not.
READ: list[tuple[TextInput, list[str], list[str]]] = [
    (TextInput(TextSyntax.LARK, ARITHMETIC), ["1", "1+(2-3)"], ["", "1+", "1 + 2"]),
    (
        TextInput(TextSyntax.LARK, PATCH),
        ['*** Begin Patch\n*** Add File: a.py\n+print("é")\\n\n*** End Patch'],
        ["*** Begin Patch\n*** End Patch"],
    ),
    (TextInput(TextSyntax.LARK, 'start: "a"i "::=" /b.c/s'), ["A::=b\nc"], ["a::=bc"]),
    (TextInput(TextSyntax.LARK, 'start: "\\"\\\\" /[^"]/'), ['"\\x', '"\\\n', '"\\🌞'], ['"\\"']),
    (TextInput(TextSyntax.LARK, 'start: "a"~2..3'), ["aa", "aaa"], ["a", "aaaa"]),
    (TextInput(TextSyntax.REGEX, r"^\d{4}-\d{2}$"), ["2026-11"], ["x2026-11", "2026-11\n"]),
    (TextInput(TextSyntax.REGEX, ".*"), ["", 'a"\\\té'], ["a\nb"]),
    (TextInput(TextSyntax.REGEX, "a/b\\/c\n"), ["a/b/c\n"], ["a/b/c"]),
    (TextInput(TextSyntax.REGEX, WORD), ["a-]^"], ["\\", "b_"]),
    (TextInput(TextSyntax.REGEX, ""), [""], ["a"]),
    (TextInput(TextSyntax.REGEX, r"[\x00-\x1f\\]"), ["\x01", "\n", "\\"], ["n", "\\n", "a"]),
]
BROKEN = {
    "unknown name": TextInput(TextSyntax.LARK, "start: canary"),
    "no start rule": TextInput(TextSyntax.LARK, 'begin: "canary"'),
    "names tokens": TextInput(TextSyntax.LARK, "start: <[5]>"),
    "lazy rules": TextInput(TextSyntax.LARK, "start[lazy]: /.*b/"),
    "parenthesis": TextInput(TextSyntax.REGEX, "(canary"),
    "Lookahead": TextInput(TextSyntax.REGEX, "(?=canary)"),
    "in its middle": TextInput(TextSyntax.REGEX, "canary$|b"),
    "optional parts": TextInput(TextSyntax.REGEX, "[a-z?]?" * 33),
    "more than 8192 characters": TextInput(TextSyntax.LARK, f"start: /{'a' * 9000}/"),
    "more than 65536 characters": TextInput(TextSyntax.REGEX, "a" * 70_000),
    "NUL": TextInput(TextSyntax.REGEX, "\0"),
}


def grammars(text: TextInput) -> tuple[str, str]:
    """Of the text alone, and of the JSON that holds it."""
    from services.inference.adapters.written_grammars import ebnf_of_input, in_json  # noqa: PLC0415

    ebnf = ebnf_of_input(text, "the grammar of tool 1", "tools")
    assert ebnf is not None
    return ebnf, in_json(ebnf, "input")


def accepted(ebnf: str, text: str) -> bool:
    from services.inference.adapters.written_grammars import follows  # noqa: PLC0415

    return follows(ebnf, text)


@pytest.mark.parametrize(("text", "right", "wrong"), READ)
def test_a_grammar_allows_what_it_says_and_nothing_else(
    text: TextInput, right: list[str], wrong: list[str]
) -> None:
    ebnf, in_json = grammars(text)
    for said in (*right, *wrong):
        assert accepted(ebnf, said) is (said in right), said
        for separators in ((", ", ": "), (",", ":")):
            written = json.dumps({"input": said}, ensure_ascii=False, separators=separators)
            assert accepted(in_json, written) is (said in right), written


@given(text=st.text(st.sampled_from('ab"\\\n\t\x01/é🌞]-^'), max_size=4))
@settings(deadline=None, derandomize=True)
def test_what_json_escapes_is_escaped(text: str) -> None:
    ebnf, in_json = grammars(TextInput(TextSyntax.REGEX, "[^b/]*"))
    right = re.fullmatch("[^b/]*", text) is not None
    assert accepted(ebnf, text) is right
    assert accepted(in_json, json.dumps({"input": text}, ensure_ascii=False)) is right
    assert not accepted(in_json, f'{{"input": "{text}"x}}')


@pytest.mark.parametrize("reason", BROKEN)
def test_a_grammar_that_cannot_be_read_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(UnsupportedParameter, match=re.escape(reason)) as caught:
        grammars(BROKEN[reason])
    assert caught.value.details == {"param": "tools"}
    assert str(caught.value).startswith("the grammar of tool 1 cannot be read: ")
    assert "canary" not in str(caught.value)


def test_ebnf_is_read_before_the_engine_reads_it() -> None:
    from services.inference.adapters.written_grammars import checked_ebnf  # noqa: PLC0415

    assert accepted(checked_ebnf('root ::= "a" | "b"', "format", "format"), "b")
    for broken in ("canary", "root ::= canary", 'other ::= "a"'):
        with pytest.raises(UnsupportedParameter, match="format cannot be read") as caught:
            checked_ebnf(broken, "format", "format")
        refused: Any = caught.value
        assert refused.details == {"param": "format"}
        assert "canary" not in str(refused)
