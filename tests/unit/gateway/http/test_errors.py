"""Which status and code a failure has over HTTP."""

import pytest

from services.gateway.api import EventsGone, LeaseLost, ResponseNotFound, TurnStopped
from services.gateway.http.errors import failure, invalid
from services.shared.errors import GENERIC, MeshError, OlderRelease


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TurnStopped("stopped"), 409, "turn_stopped"),
        (LeaseLost("lost"), 503, "service_unavailable"),
        (OlderRelease("upgrade"), 503, "service_unavailable"),
        (EventsGone("gone"), 410, "events_gone"),
        (ResponseNotFound("none", param="response_id"), 404, "not_found"),
        (
            ResponseNotFound("none", param="previous_response_id"),
            404,
            "previous_response_not_found",
        ),
    ],
    ids=str,
)
def test_a_failure_has_its_status_and_its_code(error: MeshError, status: int, code: str) -> None:
    told = failure(error)
    assert (told.status, told.code, told.message) == (status, code, error.message)


@pytest.mark.parametrize("status", sorted(GENERIC))
def test_only_a_bug_is_the_servers_fault_without_a_way_out(status: str) -> None:
    told = failure(GENERIC[status]("said so"))
    assert (told.status == 500) == (status == "INTERNAL")


def test_a_bug_is_told_without_its_words() -> None:
    told = failure(ValueError("what a user wrote"))
    assert (told.status, told.message) == (500, "internal error")


def test_a_field_is_named_without_the_place_and_the_kinds_that_were_tried() -> None:
    wrong = {"type": "x", "msg": "Value error, is wrong"}
    told = invalid([{**wrong, "loc": ("body", "messages", 0, "@application", "content")}])
    assert (told.param, told.message) == ("messages[0].content", "messages[0].content: is wrong")
    told = invalid([{**wrong, "loc": ("body",)}])
    assert (told.param, told.message) == (None, "the body: is wrong")
