"""How a `MeshError` crosses gRPC: as google.rpc.ErrorInfo in the status details.

A field that is wrong is told as BadRequest too, and when to come again as RetryInfo.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from services.shared.errors import GENERIC, InternalError, MeshError, Unavailable

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "chatmesh"
# A negative push-back tells a gRPC client not to retry (gRFC A6).
_DO_NOT_RETRY = ("grpc-retry-pushback-ms", "-1")


def status_code(error: MeshError) -> grpc.StatusCode:
    return grpc.StatusCode[error.status]


def trailers(error: MeshError) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata from which `mesh_errors` raises the same class again.

    They tell the caller's gRPC not to retry. Only a service that cannot be reached is called again,
    and only by its direct caller: if every layer retried, the retries would multiply.
    """
    details = [_packed(detail) for detail in _details(error)]
    status = Status(code=Code.Value(error.status), message=error.message, details=details)
    return ((_DETAILS, status.SerializeToString()), _DO_NOT_RETRY)


def _details(error: MeshError) -> Iterator[Message]:
    """What went wrong, in the words that gRPC's own tools know too."""
    yield ErrorInfo(reason=error.reason(), domain=_DOMAIN, metadata=error.details)
    if error.status == "INVALID_ARGUMENT" and "param" in error.details:
        field = BadRequest.FieldViolation(field=error.details["param"], description=error.message)
        yield BadRequest(field_violations=[field])
    if "retry_after" in error.details:
        yield RetryInfo(retry_delay=timedelta(seconds=float(error.details["retry_after"])))


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


@contextmanager
def mesh_errors(service: str) -> Iterator[None]:
    """Raises the class that `service` raised, or a general one if it did not say which."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _from_rpc(error, service) from None


def unreached(error: grpc.aio.AioRpcError) -> bool:
    """Whether the service was not reached. An error that it raised itself carries details."""
    details = (key for key, _ in error.trailing_metadata() or ())
    return error.code() is grpc.StatusCode.UNAVAILABLE and _DETAILS not in details


def _from_rpc(error: grpc.aio.AioRpcError, service: str) -> MeshError:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            return _from_status(Status.FromString(value))
    name = error.code().name
    if name in {"UNAVAILABLE", "CANCELLED"}:
        return Unavailable(f"{service} cannot be reached", service=service)
    general = GENERIC.get(name, InternalError)
    return general(f"{service} answered {name}", service=service)


def _from_status(status: Status) -> MeshError:
    general = GENERIC.get(Code.Name(status.code), InternalError)
    for packed in status.details:
        info = ErrorInfo()
        if packed.Unpack(info) and info.domain == _DOMAIN:
            known = MeshError.classes.get(info.reason, general)
            return known(status.message, **dict(info.metadata))
    return general(status.message)
