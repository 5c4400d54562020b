"""`POST /v1/responses/compact`: a conversation, made short enough to go on."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, ValidationInfo, field_validator

from services.gateway.api import Ask, Completed, TurnEvent
from services.gateway.http.fields import one_given
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.items import Input, read_input
from services.gateway.http.responses.request import field_of
from services.gateway.http.responses.resources import item_resource, usage_resource
from services.gateway.http.turns import TurnRequest


class CompactRequest(TurnRequest):
    """Has the model summarise the input, or a stored conversation and the input behind it.

    The answer's `output` is the input of the next request: the summary stands in it, sealed.
    """

    model_config = ConfigDict(json_schema_extra=one_given("input", "previous_response_id"))

    # There is one answer, when the summary is written.
    stream: Annotated[Any, AfterValidator(lambda _: False)] = False
    model: str
    previous_response_id: str | None = None
    input: Input | None = None
    instructions: str | None = None
    prompt_cache_key: str | None = None

    @field_validator("input")
    @classmethod
    def _something(cls, given: Any, known: ValidationInfo) -> Any:
        if given is None and not known.data.get("previous_response_id"):
            raise ValueError("is missing, and so is previous_response_id")
        return given

    def ask(self) -> Ask:
        given = read_input(self.input or [])
        return Ask(
            model=self.model,
            input=given.items,
            references=given.references,
            instructions=self.instructions or "",
            previous_response_id=self.previous_response_id or "",
            store=False,
            only_compacts=True,
            steerable=False,
            shows_kept=True,
        )

    def field(self, param: str) -> str:
        given = self.input or []
        return field_of(param, None if isinstance(given, str) else read_input(given))


class CompactionPresenter:
    """Its events are not shown: nobody can ask for them."""

    resumes = False

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:  # noqa: ARG002
        return ()

    @staticmethod
    def whole(events: Iterable[TurnEvent]) -> JsonObject:
        (response,) = [event.response for event in events if isinstance(event, Completed)]
        return {
            "id": response.id,
            "object": "response.compaction",
            "created_at": response.created_at_ms // 1000,
            "output": [*map(item_resource, response.output)],
            "usage": usage_resource(response.usage),
        }
