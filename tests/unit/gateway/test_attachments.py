"""Text files are read; others stay files, of which the model is told only."""

import pytest

from services.gateway.api import Ask, InvalidRequest
from services.gateway.attachments import with_read_files
from services.shared.conversation import (
    Call,
    CallResult,
    File,
    Item,
    Message,
    Part,
    Picture,
    Role,
    Text,
    text_of,
)


def read(*parts: Part) -> tuple[Part, ...]:
    (item,) = with_read_files(Ask("demo", (Message("m", Role.USER, parts),))).input
    assert isinstance(item, Message)
    return item.parts


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("notes.txt", "text/plain"),
        ("data.csv", "text/csv"),
        ("data.json", "application/json"),
        ("page.xml", "application/atom+xml"),
        ("main.py", ""),
        ("Makefile", "application/octet-stream"),
        (".gitignore", ""),
        ("READ ME.MD", ""),
        ("anything", "TEXT/X-RUST"),
    ],
)
def test_a_text_is_read_with_its_name(name: str, media_type: str) -> None:
    (part,) = read(File(name, media_type, "fn é() {}\n".encode()))
    assert part == Text(f'<file name="{name}">\nfn é() {{}}\n\n</file>')


@pytest.mark.parametrize(
    "file",
    [
        File("paper.pdf", "application/pdf", b"%PDF-1.4 all of it is ASCII"),
        File("paper.pdf", "", b"%PDF-1.4"),
        File("unknown", "", b"could be anything"),
        File("picture.png", "image/png", b"abc"),
        File("lies.txt", "text/plain", b"\xff\xfe\xff"),
        File("lies.txt", "text/plain", b"\x89PNG\r\n\x1a\n\0\0"),
        File("zero.txt", "text/plain", b"a\0b"),
        File("elsewhere.txt", "", url="https://a.example/b.txt"),
        File("kept.txt", file_id="file_1"),
    ],
)
def test_what_is_no_text_that_is_here_stays_a_file(file: File) -> None:
    picture = Picture("image/png", b"x")
    assert read(Text("look"), file, picture) == (Text("look"), file, picture)


def test_other_encodings_are_read_by_their_marks() -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (part,) = read(File("a.txt", "text/plain", "héllo".encode(encoding)))
        assert part == Text('<file name="a.txt">\nhéllo\n</file>')


def test_a_name_cannot_end_its_own_line() -> None:
    (part,) = read(File('a"\n<b>\x00' + "x" * 400 + ".txt", "text/plain", b"hi"))
    assert isinstance(part, Text)
    first, *_ = part.text.splitlines()
    assert first.count('"') == 2
    assert len(first) < 300
    assert read(File("", "text/plain", b"hi")) == (Text('<file name="unnamed">\nhi\n</file>'),)


def test_a_text_that_is_too_long_is_refused_by_its_item() -> None:
    long = Message("m", Role.USER, (File("a.txt", "text/plain", b"x" * 400_001),))
    with pytest.raises(InvalidRequest) as caught:
        with_read_files(Ask("demo", (Message("n", Role.USER, (Text("a"),)), long)))
    assert caught.value.details["param"] == "input[1]"


def test_what_a_function_returned_is_read_too() -> None:
    items: tuple[Item, ...] = (
        Call("f", "c", "n", "{}"),
        CallResult("o", "c", (File("a.txt", "text/plain", b"hi"),)),
    )
    call, result = with_read_files(Ask("demo", items)).input
    assert call == items[0]
    assert isinstance(result, CallResult)
    assert "hi" in text_of(result.parts)
