"""The words of a message's content, as both protocols have them, and the mesh's parts."""

from base64 import b64encode
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.gateway.http.parts import Content, FilledContent, audio_format, parts_of
from services.shared.conversation import Audio, File, Part, Picture, Refusal, Text

PIXELS = b"\x89PNG\x00\xff"
BASE64 = b64encode(PIXELS).decode()
URL = f"data:image/png;base64,{BASE64}"

WORDS: list[tuple[dict[str, Any], Part]] = [
    ({"type": "text", "text": "hi"}, Text("hi")),
    ({"type": "input_text", "text": "hi"}, Text("hi")),
    ({"type": "output_text", "text": "", "annotations": []}, Text("")),
    ({"type": "of_a_new_kind", "text": "hi"}, Text("hi")),
    ({"type": "refusal", "refusal": "no"}, Refusal("no")),
    (
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        Picture("image/png", PIXELS, detail="low"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        Picture(url="https://a.example/b.png"),
    ),
    (
        {"type": "input_image", "image_url": URL, "file_id": None, "detail": "auto"},
        Picture("image/png", PIXELS, detail="auto"),
    ),
    (
        {"type": "input_image", "image_url": f"data:IMAGE/JPEG;charset=x;base64,{BASE64}"},
        Picture("image/jpeg", PIXELS),
    ),
    (
        {"type": "input_image", "image_url": "http://a.example/b.png"},
        Picture(url="http://a.example/b.png"),
    ),
    ({"type": "input_image", "file_id": "file-1"}, Picture(file_id="file-1")),
    # One of the three is kept: what is there at once, before what must be fetched.
    (
        {"type": "input_image", "image_url": URL, "file_id": "file-1"},
        Picture("image/png", PIXELS),
    ),
    (
        {"type": "input_file", "file_data": BASE64, "filename": "a.pdf"},
        File("a.pdf", content=PIXELS),
    ),
    (
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{BASE64}"},
        File("", "application/pdf", PIXELS),
    ),
    (
        {"type": "input_file", "file_url": "https://a.example/b.pdf"},
        File(url="https://a.example/b.pdf"),
    ),
    (
        {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
        File("a.pdf", file_id="file-1"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        Audio("audio/wav", PIXELS),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "mp3"}},
        Audio("audio/mpeg", PIXELS),
    ),
]
CONTENT: TypeAdapter[Any] = TypeAdapter(Content)
FILLED: TypeAdapter[Any] = TypeAdapter(FilledContent)


@pytest.mark.parametrize(("words", "part"), WORDS, ids=lambda value: str(value)[:50])
def test_a_part_is_read(words: dict[str, Any], part: Part) -> None:
    assert parts_of(CONTENT.validate_python([words])) == (part,)


def test_a_text_alone_is_one_part() -> None:
    assert parts_of(CONTENT.validate_python("hi")) == (Text("hi"),)
    assert parts_of(None) == ()


def test_a_part_of_an_unknown_kind_is_left_out_beside_others() -> None:
    words = [{"type": "hologram", "rays": 5}, {"type": "text", "text": "hi"}]
    assert parts_of(CONTENT.validate_python(words)) == (Text("hi"),)


def test_unknown_kinds_alone_are_refused() -> None:
    with pytest.raises(ValidationError, match="no part of a kind"):
        CONTENT.validate_python([{"type": "hologram"}])


def test_who_says_something_says_a_part_and_others_may_not() -> None:
    assert parts_of(CONTENT.validate_python([])) == ()
    with pytest.raises(ValidationError, match="has no part"):
        FILLED.validate_python([])
    assert parts_of(FILLED.validate_python("")) == (Text(""),)


@pytest.mark.parametrize("name", ["wav", "mp3", "flac"])
def test_a_sounds_format_keeps_its_name(name: str) -> None:
    words = {"type": "input_audio", "input_audio": {"data": BASE64, "format": name}}
    (part,) = parts_of(CONTENT.validate_python([words]))
    assert isinstance(part, Audio)
    assert audio_format(part.media_type) == name
