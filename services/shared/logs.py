"""Logs: one JSON object a line, with the request's ids, and never what people wrote."""

import logging
import sys
from contextvars import ContextVar
from typing import TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from services.shared.tracing import request_id, trace_id

service_name: ContextVar[str] = ContextVar("service_name", default="")
_transform = ExceptionDictTransformer(show_locals=False)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Writes our logs, and what libraries log from WARNING up, to `stream` or standard error."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
        structlog.processors.ExceptionRenderer(_traceback),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )
    output = logging.StreamHandler(stream)
    output.setLevel(logging.WARNING)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[output], force=True)


def _add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in (
        ("service", service_name.get()),
        ("request_id", request_id.get()),
        ("trace_id", trace_id()),
    ):
        if value:
            event.setdefault(key, value)
    return event


def _traceback(exc_info: ExcInfo) -> list[dict[str, object]]:
    """Where an exception happened and its class, without its text: that may hold a user's words."""
    stacks: list[dict[str, object]] = _transform(exc_info)
    for stack in stacks:
        stack.pop("exc_value", None)
        stack.pop("exc_notes", None)
    return stacks
