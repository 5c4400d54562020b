"""Text in PostgreSQL, which holds every character except NUL, and people send that one too.

Every `str` that is written has its NULs replaced, and every text that is read has them again, so
that no table has to know. Other text stands in the tables as it is.
"""

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.types.string import StrDumper, TextBinaryLoader, TextLoader

# The control character SUBSTITUTE, and after it what it stands for.
_SUBSTITUTE, _NUL = "\x1a", "\0"
_ITSELF, _FOR_NUL = f"{_SUBSTITUTE}S", f"{_SUBSTITUTE}N"


def without_nul(text: str) -> str:
    """Different texts stay different ones, so that ids may be compared."""
    if _NUL not in text and _SUBSTITUTE not in text:
        return text
    return text.replace(_SUBSTITUTE, _ITSELF).replace(_NUL, _FOR_NUL)


def with_nul(text: str) -> str:
    """What `without_nul` was given."""
    if _SUBSTITUTE not in text:
        return text
    return text.replace(_FOR_NUL, _NUL).replace(_ITSELF, _SUBSTITUTE)


class _Dumper(StrDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(without_nul(obj))


class _Loader(TextLoader):
    def load(self, data: Buffer) -> str:
        return with_nul(str(super().load(data)))


class _BinaryLoader(TextBinaryLoader):
    def load(self, data: Buffer) -> str:
        return with_nul(str(super().load(data)))


def register(context: AdaptContext) -> None:
    """For one connection. From then on a parameter that is a `str` is of the type text."""
    context.adapters.register_dumper(str, _Dumper)
    loaders: tuple[type[Loader], ...] = (_Loader, _BinaryLoader)
    for loader in loaders:
        context.adapters.register_loader("text", loader)
