"""What every served call gets: its ids, a span, its deadline, metrics, and errors by class."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import grpc
import structlog

from services.shared.deadline import due_in
from services.shared.errors import InternalError, MeshError
from services.shared.logs import service_name
from services.shared.metrics import RpcMetrics
from services.shared.tracing import Tracer
from services.shared.wire_errors import status_code, trailers

_log = structlog.get_logger()
Method = Any  # grpc.RpcMethodHandler, whose type stubs lack its fields
Context = grpc.aio.ServicerContext[Any, Any]
# Health and reflection are called often, and are no part of the mesh's own work.
_UNMETERED = ("/grpc.health.", "/grpc.reflection.")


class Boundary(grpc.aio.ServerInterceptor):
    """Wraps the methods of one service's server."""

    def __init__(self, service: str, tracer: Tracer, metrics: RpcMetrics) -> None:
        self._service = service
        self._tracer = tracer
        self._metrics = metrics
        self._wrapped: dict[str, Method] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Method]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Method:
        method = handler_call_details.method
        if method.startswith(_UNMETERED):
            return await continuation(handler_call_details)
        if method not in self._wrapped:
            served = await continuation(handler_call_details)
            # A method that we do not have is not kept: callers could fill the memory with names.
            if served is None:
                return None
            self._wrapped[method] = self._wrap(method, served)
        return self._wrapped[method]

    def _wrap(self, method: str, served: Method) -> Method:
        if served.response_streaming:
            kind = "stream_stream" if served.request_streaming else "unary_stream"
            return served._replace(**{kind: self._streaming(method, getattr(served, kind))})
        kind = "stream_unary" if served.request_streaming else "unary_unary"
        return served._replace(**{kind: self._answering(method, getattr(served, kind))})

    def _answering(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Method:
        async def answer(request: Any, context: Context) -> Any:
            with self._call(method, context) as call:
                try:
                    return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the one place where bugs become INTERNAL
                    failure = call.failed(error)
                return await context.abort(status_code(failure), failure.message, trailers(failure))

        return answer

    def _streaming(
        self, method: str, behaviour: Callable[..., AsyncGenerator[Any, None]]
    ) -> Method:
        # We write the responses ourselves and do not hand the generator to gRPC. When a caller
        # cancels, gRPC leaves it open: its work would stop only when Python collects it.
        async def stream(request: Any, context: Context) -> None:
            with self._call(method, context) as call:
                try:
                    async with aclosing(behaviour(request, context)) as responses:
                        async for response in responses:
                            await context.write(response)
                    return
                except Exception as error:  # noqa: BLE001 - as above
                    failure = call.failed(error)
                await context.abort(status_code(failure), failure.message, trailers(failure))

        return stream

    @contextmanager
    def _call(self, method: str, context: Context) -> Iterator["_Call"]:
        carrier = {str(k): str(v) for k, v in context.invocation_metadata() or ()}
        call = _Call(method)
        started = time.perf_counter()
        token = service_name.set(self._service)
        self._metrics.started(method)
        try:
            with due_in(context.time_remaining()), self._tracer.span(method, carrier):
                yield call
        except BaseException:
            call.code = "CANCELLED" if call.code == "OK" else call.code
            raise
        finally:
            self._metrics.ended(method, call.code, time.perf_counter() - started)
            service_name.reset(token)


class _Call:
    """With which code one call ends."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.code = "OK"

    def failed(self, error: Exception) -> MeshError:
        """The error that the caller is told. A bug is logged here, and its text stays here."""
        if not isinstance(error, MeshError):
            _log.error("bug", method=self._method, exc_info=error)
            error = InternalError("internal error")
        self.code = error.status
        return error
