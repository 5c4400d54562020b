"""Files that a request brings: a text is read as such, of every other the model is told only."""

import codecs
import re
from dataclasses import replace
from pathlib import PurePosixPath

from services.gateway.api import Ask, InvalidRequest
from services.shared.conversation import CallResult, File, Item, Message, Part, Text

# The longest text that is read of a file, in characters: some 100,000 tokens.
_MOST_CHARS = 400_000
_MOST_NAME = 255
# Media types of texts, beside those that begin with text/ and end with +json or +xml.
_TEXTS = {
    f"application/{kind}"
    for kind in (
        "csv ecmascript graphql javascript json jsonl ld+json ndjson rtf sql toml typescript"
        " x-httpd-php x-javascript x-json x-ndjson x-perl x-python x-ruby x-sh x-shellscript x-sql"
        " x-tex x-toml x-typescript x-yaml xhtml+xml xml yaml"
    ).split()
}
# Types that say nothing; the name's ending tells then.
_UNSAID = {"", "application/octet-stream", "binary/octet-stream"}
_ENDINGS = set(
    "asm awk bash bat c cc cfg clj cmake conf cpp cs css csv cxx dart diff dockerfile el env erl ex"
    " exs f90 fs gitignore go gradle graphql groovy h hpp hs htm html ini ipynb java jl js json"
    " json5 jsonl jsx kt kts less lisp log lua m4 makefile markdown md mjs ml ndjson nix patch php"
    " pl pm properties proto ps1 py pyi r rb rs rst sass scala scm scss sh sql srt svelte svg swift"
    " tcl tex text tf toml ts tsv tsx txt vb vim vtt vue xhtml xml yaml yml zig zsh".split()
)
# How text in another encoding than UTF-8 begins.
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# What no text holds.
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def with_read_files(ask: Ask) -> Ask:
    """The ask with the texts of text files in the places of the files.

    Moderation reads them like anything that is said. Raises `InvalidRequest` for one that is too
    long.
    """
    items = tuple(_with_texts(item, place) for place, item in enumerate(ask.input))
    return replace(ask, input=items)


def _with_texts(item: Item, place: int) -> Item:
    if not isinstance(item, Message | CallResult):
        return item
    if not any(isinstance(part, File) for part in item.parts):
        return item
    return replace(item, parts=tuple(_read(part, place) for part in item.parts))


def _read(part: Part, place: int) -> Part:
    if not isinstance(part, File) or not _is_text(part):
        return part
    text = _decoded(part.content)
    if text is None:
        return part
    if len(text) > _MOST_CHARS:
        raise InvalidRequest(
            f"has a text file of {len(text)} characters, at most {_MOST_CHARS}",
            param=f"input[{place}]",
            code="string_above_max_length",
        )
    return Text(f'<file name="{_name(part)}">\n{text}\n</file>')


def _is_text(file: File) -> bool:
    """By its type, or where that says nothing, by the ending of its name."""
    if not file.content:
        return False
    kind = file.media_type.lower()
    if kind in _UNSAID:
        path = PurePosixPath(file.name.lower())
        return (path.suffix or path.name).removeprefix(".") in _ENDINGS
    return kind.startswith("text/") or kind.endswith(("+json", "+xml")) or kind in _TEXTS


def _decoded(content: bytes) -> str | None:
    """None: it is no text, whatever its type says."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if _BINARY.search(text) else text


def _name(file: File) -> str:
    """On one line, and without what would end it."""
    name = re.sub(r'[\x00-\x1f\x7f"<>]', " ", file.name).strip()[:_MOST_NAME]
    return name or "unnamed"
