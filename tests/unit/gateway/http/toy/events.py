"""A turn's events as the toy protocol has them: words, each with its number, then the end."""

from collections.abc import Iterable, Sequence

from services.gateway.api import Completed, Failed, TextDelta, TurnEvent
from services.gateway.http.errors import failure
from services.gateway.http.presenting import JsonObject


class ToyPresenter:
    """Answers with the words alone."""

    resumes = False

    def __init__(self) -> None:
        self._number = 0

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        match event:
            case TextDelta(text=text):
                return [self._numbered("word", text=text)]
            case Completed():
                return [self._numbered("end")]
            case Failed():
                return [self._numbered("failure", message=failure(event.error()).message)]
            case _:
                return ()

    @staticmethod
    def whole(events: Iterable[TurnEvent]) -> JsonObject:
        return {"answer": "".join(event.text for event in events if isinstance(event, TextDelta))}

    def _numbered(self, kind: str, /, **fields: str) -> JsonObject:
        self._number += 1
        return {"type": kind, "number": self._number, **fields}
