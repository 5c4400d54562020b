"""Failures that a caller can act on, the same class on both sides of the wire."""

from typing import ClassVar


class CannotStart(Exception):
    """A service cannot start. The sentence says what is wrong and what to do, and ends it."""


class MeshError(Exception):
    """A failure the caller can act on. Anything else is a bug and reaches it as `InternalError`.

    `message` is a sentence written by us: it travels over the wire, so it never holds what a user
    wrote. `details` are short strings a caller may branch on, such as `param` or `retry_after`.
    """

    status: ClassVar[str] = "INTERNAL"
    classes: ClassVar[dict[str, type["MeshError"]]] = {}

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __init_subclass__(cls) -> None:
        """Every class is known by `<service>.<name>`, so that a client can raise it again."""
        known = MeshError.classes.setdefault(cls.reason(), cls)
        if known is not cls:
            raise TypeError(f"two errors are called {cls.reason()}")

    @classmethod
    def reason(cls) -> str:
        service = cls.__module__.split(".")[1] if "." in cls.__module__ else cls.__module__
        return f"{service}.{cls.__name__}"


class InternalError(MeshError):
    """A bug on the other side; its words stayed there."""


class Malformed(MeshError):
    """The request cannot be what the caller meant; `param` names the field."""

    status = "INVALID_ARGUMENT"


class OlderRelease(MeshError):
    """The caller was made for a release whose words this one no longer reads."""

    status = "FAILED_PRECONDITION"


class NotFound(MeshError):
    status = "NOT_FOUND"


class Unauthenticated(MeshError):
    status = "UNAUTHENTICATED"


class Forbidden(MeshError):
    status = "PERMISSION_DENIED"


class Overloaded(MeshError):
    """Too much is asked at once; `retry_after` says in how many seconds to come again."""

    status = "RESOURCE_EXHAUSTED"


class Unavailable(MeshError):
    """A service cannot be reached now; `service` names it."""

    status = "UNAVAILABLE"


class DeadlineExceeded(MeshError):
    status = "DEADLINE_EXCEEDED"


GENERIC: dict[str, type[MeshError]] = {
    error.status: error
    for error in (
        InternalError,
        Malformed,
        NotFound,
        Unauthenticated,
        Forbidden,
        Overloaded,
        Unavailable,
        DeadlineExceeded,
    )
}
