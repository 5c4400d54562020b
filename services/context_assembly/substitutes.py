"""What the model is told of the parts of a message that it cannot read.

A system message tells it, in our words. The words never stand in the message that the part came
with: a model would take them for what its sender said, and would answer or remember them.

The name of a file is not told, only what it is and how long. The name is the sender's word,
moderation has not read it, and in a system message a model would follow what it says.
"""

from collections.abc import Iterable, Sequence
from typing import TypeGuard

from services.shared.conversation import Audio, File, Part, Parts, Picture, Refusal, Role, Text

Unreadable = Picture | File | Audio

# One of a kind, and several.
_NAMES: dict[type[Unreadable], tuple[str, str]] = {
    Picture: ("a picture", "pictures"),
    File: ("a file", "files"),
    Audio: ("an audio recording", "audio recordings"),
}
# What a file is, by its media type; a sender could write anything into another type.
_OFFICE = "application/vnd.openxmlformats-officedocument"
_FILE_KINDS = {
    "application/pdf": "a PDF file",
    "application/zip": "a ZIP file",
    "application/msword": "a Word document",
    f"{_OFFICE}.wordprocessingml.document": "a Word document",
    "application/vnd.ms-excel": "an Excel workbook",
    f"{_OFFICE}.spreadsheetml.sheet": "an Excel workbook",
    "application/vnd.ms-powerpoint": "a PowerPoint presentation",
    f"{_OFFICE}.presentationml.presentation": "a PowerPoint presentation",
}
_PDF = b"%PDF-"
# Of more files than these, only the number is told.
_MOST_NAMED = 8
_SENDERS = {
    Role.USER: "The user",
    Role.ASSISTANT: "The assistant",
    Role.SYSTEM: "The application",
    Role.DEVELOPER: "The application",
}


def is_shown(part: Part) -> TypeGuard[Picture]:
    """Whether a model that sees can be shown the part: a picture that is here, not elsewhere."""
    return isinstance(part, Picture) and bool(part.content)


def unreadable(parts: Iterable[Part], *, shown: bool) -> Sequence[Unreadable]:
    """The parts that the model gets nothing of. `shown`: it gets the pictures that are here."""
    others = (part for part in parts if not isinstance(part, Text | Refusal))
    return [part for part in others if not (shown and is_shown(part))]


def before_message(role: Role, parts: Sequence[Unreadable], *, sees: bool) -> str:
    """Stands before the message that the parts came with."""
    return _told(f"{_SENDERS[role]}'s next message comes with {_counted(parts)}", parts, sees=sees)


def before_results(calls: int, parts: Sequence[Unreadable], *, sees: bool) -> str:
    """Stands before the message that makes the calls, since only results may follow on it."""
    results = "The next tool result comes" if calls == 1 else "The next tool results come"
    return _told(f"{results} with {_counted(parts)}", parts, sees=sees)


def anywhere(parts: Iterable[Unreadable], *, sees: bool) -> str:
    """Stands at the beginning of a conversation that has the parts.

    It does not count them, so that it changes as seldom as can be: all that follows on a change has
    to be read anew.
    """
    kinds = {type(part) for part in parts}
    plurals = [several for kind, (_, several) in _NAMES.items() if kind in kinds]
    return f"[Parts of this conversation are {_listed(plurals)}. {_limit(sees=sees)} them.]"


def transcribed(parts: Parts) -> str:
    """The parts as text for somebody who sees none of them: a picture is `[a picture]`."""
    return "\n".join(
        part.text if isinstance(part, Text | Refusal) else f"[{_NAMES[type(part)][0]}]"
        for part in parts
    )


def _told(sentence: str, parts: Sequence[Unreadable], *, sees: bool) -> str:
    them = "it" if len(parts) == 1 else "them"
    return f"[{sentence}. {_limit(sees=sees)} {them}.]"


def _limit(*, sees: bool) -> str:
    return "This model does not see" if sees else "This model reads text only and does not see"


def _counted(parts: Sequence[Unreadable]) -> str:
    by_kind = {kind: [part for part in parts if type(part) is kind] for kind in _NAMES}
    return _listed([_of_kind(kind, some) for kind, some in by_kind.items() if some])


def _of_kind(kind: type[Unreadable], parts: Sequence[Unreadable]) -> str:
    """Of files, what each is and how long."""
    one, several = _NAMES[kind]
    files = [part for part in parts if isinstance(part, File) and part.content]
    if not files or len(files) > _MOST_NAMED:
        return one if len(parts) == 1 else f"{len(parts)} {several}"
    if len(parts) == 1:
        return _described(files[0])
    return f"{len(parts)} {several} ({_listed([*map(_described, files)])})"


def _described(file: File) -> str:
    kind = _FILE_KINDS.get(file.media_type, "a file")
    if file.content.startswith(_PDF):
        kind = _FILE_KINDS["application/pdf"]
    return f"{kind} of {_length(len(file.content))}"


def _length(size: int) -> str:
    for unit, name in ((1_000_000, "MB"), (1_000, "kB")):
        if size >= unit:
            return f"{size / unit:.0f} {name}"
    return f"{size} bytes"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
