"""What stands in a message's `content`. OpenAI's words for it become the mesh's parts here.

Both protocols accept the words of both: some clients mix them.
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from services.gateway.http.fields import one_given
from services.gateway.values import (
    Body,
    Detail,
    FileName,
    SoundFormat,
    filled,
    is_picture,
    member,
    tagged,
    web_address,
)
from services.shared.conversation import Audio, File, Parts, Picture, Refusal, Text

# The media types of sounds whose format has another name in a request.
_AUDIO_TYPES = {"mp3": "audio/mpeg"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where something is: in the request itself, or behind an address."""

    media_type: str = ""
    content: bytes = b""
    url: str = ""


def _decoded(text: Any) -> bytes:
    try:
        content = b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("must be base64") from None
    if not content:
        raise ValueError("is empty")
    return content


def _of_data_url(url: str) -> Source:
    head, _, encoded = url[len("data:") :].partition(",")
    media_type, *options = head.split(";")
    if "base64" not in map(str.lower, options):
        raise ValueError("must be a data URL in base64")
    return Source(media_type.lower(), _decoded(encoded))


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and value[: len("data:")].lower() == "data:"


def _address(value: Any) -> Source:
    return Source(url=web_address(value if isinstance(value, str) else ""))


def _picture(value: Any) -> Source:
    if not _is_data_url(value):
        return _address(value)
    source = _of_data_url(value)
    if not is_picture(source.media_type):
        raise ValueError("must be a data URL of a picture: data:image/...")
    return source


def _file(value: Any) -> Source:
    if _is_data_url(value):
        return _of_data_url(value)
    return Source(content=_decoded(value))


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


_BASE64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
_HTTP = "https?://.*"
Base64 = Annotated[bytes, PlainValidator(_decoded), _text(_BASE64)]
Address = Annotated[Source, PlainValidator(_address), _text(_HTTP)]
PictureSource = Annotated[
    Source, PlainValidator(_picture), _text(f"{_HTTP}|data:image/[a-z.+-]+;base64,{_BASE64}")
]
FileSource = Annotated[
    Source, PlainValidator(_file), _text(f"(data:[a-z]+/[a-z.+-]+;base64,)?{_BASE64}")
]
# The types of parts that hold something else than words.
_ATTACHED = ("image_url", "input_image", "file", "input_file", "input_audio")
_TEXTS = ("text", "input_text", "output_text")
_REFUSAL = "refusal"
_ABSENT = {"type": "null"}
# A kind of part that is not known here, as the document has it.
_OTHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "not": {"enum": [*_ATTACHED, *_TEXTS, _REFUSAL]}},
        "text": _ABSENT,
        "refusal": _ABSENT,
    },
    "required": ["type"],
}


def _without_text(schema: dict[str, Any]) -> None:
    schema["properties"]["text"] = _ABSENT


def _named_otherwise(*kinds: str) -> Any:
    return Field(json_schema_extra={"not": {"enum": [*kinds]}})


class TextPart(Body):
    """A text; also what has a `text` under a type that is not known here."""

    type: Annotated[str, _named_otherwise(*_ATTACHED)]
    text: str

    def parts(self) -> Parts:
        return (Text(self.text),)


class RefusalPart(Body):
    model_config = ConfigDict(json_schema_extra=_without_text)

    type: Annotated[str, _named_otherwise(*_ATTACHED, *_TEXTS)]
    refusal: str

    def parts(self) -> Parts:
        return (Refusal(self.refusal),)


class PictureAddress(Body):
    url: PictureSource
    detail: Detail | None = None


class ChatPicturePart(Body):
    type: Literal["image_url"]
    image_url: PictureAddress

    def parts(self) -> Parts:
        return (_shared_picture(self.image_url.url, "", self.image_url.detail),)


class ResponsesPicturePart(Body):
    model_config = ConfigDict(json_schema_extra=one_given("image_url", "file_id"))

    type: Literal["input_image"]
    image_url: PictureSource | None = None
    file_id: str | None = None
    detail: Detail | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> "ResponsesPicturePart":
        if not (self.image_url or self.file_id):
            raise ValueError("needs an image_url or a file_id")
        return self

    def parts(self) -> Parts:
        source = self.image_url or Source()
        return (_shared_picture(source, self.file_id or "", self.detail),)


class AttachedFile(Body):
    model_config = ConfigDict(json_schema_extra=one_given("file_data", "file_url", "file_id"))

    file_data: FileSource | None = None
    file_url: Address | None = None
    file_id: str | None = None
    filename: FileName | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> "AttachedFile":
        if not (self.file_data or self.file_url or self.file_id):
            raise ValueError("needs file_data, a file_url or a file_id")
        return self

    def parts(self) -> Parts:
        source = self.file_data or self.file_url
        name = self.filename or ""
        if source is None:
            return (File(name, file_id=self.file_id or ""),)
        return (File(name, source.media_type, source.content, source.url),)


class ChatFilePart(Body):
    type: Literal["file"]
    file: AttachedFile

    def parts(self) -> Parts:
        return self.file.parts()


class ResponsesFilePart(AttachedFile):
    type: Literal["input_file"]


class Recording(Body):
    data: Base64
    format: SoundFormat


class AudioPart(Body):
    type: Literal["input_audio"]
    input_audio: Recording

    def parts(self) -> Parts:
        wanted = self.input_audio.format
        media_type = _AUDIO_TYPES.get(wanted, f"audio/{wanted}")
        return (Audio(media_type, self.input_audio.data),)


class OtherPart(Body):
    """A kind of part that is not known here. The model reads nothing in its place."""

    type: str

    def parts(self) -> Parts:
        return ()


def _kind(value: Any) -> str:
    kind = str(member("type")(value))
    if kind in _ATTACHED:
        return kind
    if kind in _TEXTS or member("text")(value) is not None:
        return "text"
    if kind == _REFUSAL or member("refusal")(value) is not None:
        return "refusal"
    return "other"


PartField = Annotated[
    Annotated[TextPart, Tag("@text")]
    | Annotated[RefusalPart, Tag("@refusal")]
    | Annotated[ChatPicturePart, Tag("@image_url")]
    | Annotated[ResponsesPicturePart, Tag("@input_image")]
    | Annotated[ChatFilePart, Tag("@file")]
    | Annotated[ResponsesFilePart, Tag("@input_file")]
    | Annotated[AudioPart, Tag("@input_audio")]
    | Annotated[OtherPart, Tag("@other"), WithJsonSchema(_OTHER)],
    tagged(_kind, "a part"),
]


def _some_known(parts: list[PartField]) -> list[PartField]:
    if parts and all(isinstance(part, OtherPart) for part in parts):
        raise ValueError("has no part of a kind that is known here")
    return parts


# Not all of the list is of kinds that are not known here.
_NOT_ALL_OTHER: dict[str, Any] = {"not": {"minItems": 1, "items": _OTHER}}
PartFields = Annotated[
    list[PartField], Field(json_schema_extra=_NOT_ALL_OTHER), AfterValidator(_some_known)
]
_CONTENT = tagged(
    lambda value: {str: "text", list: "parts"}.get(type(value)),  # type: ignore[call-overload]
    "a string or a list of parts",
)
# What somebody says or a tool returns. The list may be empty: assistants and tools give such back.
Content = Annotated[Annotated[str, Tag("@text")] | Annotated[PartFields, Tag("@parts")], _CONTENT]
# What a person or an application says: it has a part.
FilledContent = Annotated[
    Annotated[str, Tag("@text")]
    | Annotated[
        PartFields, Field(json_schema_extra={"minItems": 1}), AfterValidator(filled), Tag("@parts")
    ],
    _CONTENT,
]


def parts_of(content: str | Sequence[PartField] | None) -> Parts:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(part for each in content for part in each.parts())


def audio_format(media_type: str) -> str:
    """The name under which a request has sounds of that media type."""
    for name, known in _AUDIO_TYPES.items():
        if known == media_type:
            return name
    return media_type.removeprefix("audio/")


def _shared_picture(source: Source, file_id: str, detail: str | None) -> Picture:
    if source.content or source.url:
        file_id = ""
    return Picture(source.media_type, source.content, source.url, file_id, detail or "")
