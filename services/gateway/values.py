"""The values that a caller may give, whichever protocol brings them: each rule stands here once."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field

from services.gateway.schemas import CallerSchema


class Body(BaseModel):
    """A piece of a request. Unknown fields are tolerated, as OpenAI does: clients send new ones.

    A value of another type is not: "5" is no number, and 1 is not true.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def tagged(choose: Callable[[Any], str | None], expected: str) -> Discriminator:
    """Chooses a union's branch; the tags start with @, so that errors can leave them out."""
    return Discriminator(
        lambda value: f"@{choose(value)}",
        custom_error_type="wrong_kind",
        custom_error_message=f"must be {expected}",
    )


def member(name: str) -> Callable[[Any], Any]:
    """What a value has under `name`, whether it was parsed already or not."""
    return lambda value: value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# `SchemaChecks` looks into it before the turn begins.
JsonSchema = Annotated[dict[str, Any], AfterValidator(CallerSchema)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
# More than any model's window or vocabulary, and what the services between here and there carry.
MOST_TOKENS = 2**31 - 1
# 5.0 is a whole number too, as JSON Schema has it. This stands behind the bounds: before them the
# document would not show them.
AsWhole = BeforeValidator(_whole)
TokenCount = Annotated[int, Field(ge=1, le=MOST_TOKENS), AsWhole]
CallCount = Annotated[int, Field(ge=0, le=MOST_TOKENS), AsWhole]
LikeliestTokens = Annotated[int, Field(ge=0, le=20), AsWhole]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
StopString = Annotated[str, Field(min_length=1, max_length=1024)]
MOST_STOPS = 16
# Tools of a request, names of tools that it lets be used, items of its input.
MOST_TOOLS, MOST_NAMES, MOST_ITEMS = 128, 256, 2048
# Items that are added to a conversation at once, as many as OpenAI takes; messages of a steer.
MOST_ADDED, MOST_WORDS = 20, 64
# What inference takes, in characters.
Grammar = Annotated[str, Field(min_length=1, max_length=65_536)]
# The person behind the request, as the application knows them; `user` is its older name.
SafetyIdentifier = Annotated[str, Field(max_length=256)]
Detail = Annotated[str, Field(max_length=32)]
FileName = Annotated[str, Field(max_length=1024)]
SoundFormat = Annotated[str, Field(pattern=r"^[a-z0-9.+-]{1,32}$")]
# Of a page of a list: how long it is, and the id of what comes before it.
PageLimit = Annotated[int, Field(ge=1, le=100)]
PageStart = Annotated[str, Field(max_length=256)]
EventNumber = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
_KEY = re.compile(r"[!-~]{1,255}")
_LONGEST_KEY, _LONGEST_VALUE = 64, 512


def idempotency_key(key: str) -> str:
    """Raises `ValueError` for what no key can be."""
    if not _KEY.fullmatch(key):
        raise ValueError("must be one text of 1 to 255 letters, digits and signs")
    return key


def web_address(url: str) -> str:
    """Of something that a request names. Raises `ValueError` for another scheme."""
    if not url.lower().startswith(("https://", "http://")):
        raise ValueError("must be an address that begins with https:// or http://")
    return url


def is_picture(media_type: str) -> bool:
    return media_type.startswith("image/")


# A protocol's own parts, or text in their place.
_Content = TypeVar("_Content")


def filled(parts: _Content) -> _Content:
    """What a person or an application says has a part. Raises `ValueError`."""
    if parts == []:
        raise ValueError("has no part")
    return parts


def _few(metadata: dict[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise ValueError("has a key over 64 or a value over 512 characters")
    return metadata


# What an application keeps with one of its objects.
Metadata = Annotated[
    dict[str, str],
    Field(
        max_length=16,
        json_schema_extra={
            "propertyNames": {"maxLength": _LONGEST_KEY},
            "additionalProperties": {"type": "string", "maxLength": _LONGEST_VALUE},
        },
    ),
    AfterValidator(_few),
]


def first_wrong(errors: Sequence[Any]) -> tuple[str | None, str]:
    """The first field that is wrong and what is said of it, without what the caller wrote in it.

    `errors` are Pydantic's. None: it is wrong as a whole.
    """
    first = errors[0]
    return field_path(first["loc"]), first["msg"].removeprefix("Value error, ")


def field_path(loc: Sequence[Any]) -> str | None:
    """`("messages", 0, "user", "content")` as `messages[0].content`.

    After a field whose value may be of several kinds, Pydantic adds the name of the kind that it
    tried. Ours begin with @ and are left out.
    """
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("@"):
            path += f".{part}" if path else part
    return path or None
