"""Grammars that a caller has written, in the words of xgrammar, vLLM's maker of grammars."""

import re

from xgrammar import Grammar

from services.inference.api import UnsupportedParameter

# xgrammar quotes from the grammar, which is the caller's.
_QUOTED = re.compile(r"'[^']*'")


def ebnf_of_lark(text: str) -> str:
    """The same grammar in EBNF, as vLLM guesses by a grammar's looks in which of the two it is.

    Raises `UnsupportedParameter` with the place and the reason.
    """
    try:
        return str(Grammar.from_lark(text))
    except RuntimeError as error:
        reason = _QUOTED.sub("a name", str(error).partition("\n")[0])
        raise UnsupportedParameter(f"format cannot be read: {reason}", param="format") from None
