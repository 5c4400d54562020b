"""What a caller of gRPC is told beside the status."""

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.shared.errors import Malformed, MeshError, NotFound, Overloaded
from services.shared.wire_errors import trailers


def told(error: MeshError) -> tuple[ErrorInfo, list[BadRequest], list[RetryInfo]]:
    """The details of each kind."""
    packed = dict(trailers(error))["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    info, *others = Status.FromString(packed).details
    first = ErrorInfo()
    assert info.Unpack(first)
    wrong, again = [], []
    for other in others:
        violation, retry = BadRequest(), RetryInfo()
        if other.Unpack(violation):
            wrong.append(violation)
        if other.Unpack(retry):
            again.append(retry)
    assert len(others) == len(wrong) + len(again)
    return first, wrong, again


def test_a_wrong_field_is_named() -> None:
    info, (wrong,), again = told(Malformed("must be from 1 to 100", param="limit"))
    (violation,) = wrong.field_violations
    assert (violation.field, violation.description) == ("limit", "must be from 1 to 100")
    assert (info.reason, dict(info.metadata), again) == (
        "shared.Malformed",
        {"param": "limit"},
        [],
    )


def test_when_to_come_again_is_told() -> None:
    _, wrong, (again,) = told(Overloaded("full", retry_after="1.5"))
    assert again.retry_delay.ToMilliseconds() == 1500
    assert wrong == []


def test_what_is_not_there_is_no_wrong_field() -> None:
    info, wrong, again = told(NotFound("no such response", param="response_id"))
    assert (dict(info.metadata), wrong, again) == ({"param": "response_id"}, [], [])
