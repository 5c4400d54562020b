"""What of a growing text may be shown: moderation's word on it, window by window."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from enum import StrEnum
from typing import Protocol

from services.moderation.api import Grown, Moderation, Release
from services.shared.background import end

# What is collected before moderation is asked the first time; then it says itself how much.
_FIRST_WORDS = 8
# A text without spaces counts a word for every so many characters.
_CHARS_PER_WORD = 12


class OutputModeration(StrEnum):
    BLOCK = "block"  # nothing leaves before it was released
    PARALLEL = "parallel"  # all leaves at once, and stops within a window of what is blocked
    OFF = "off"


class Blocked(Exception):
    """Moderation stops the text here."""

    def __init__(self, category: str) -> None:
        super().__init__(category)
        self.category = category


class Guard(Protocol):
    """Stands between one growing text and its readers."""

    # Whether anything shown so far differs from what was fed.
    rewritten: bool

    async def feed(self, text: str, *, final: bool = False) -> str:
        """What may be shown now. Raises `Blocked`."""


OpenGuard = Callable[[], AbstractAsyncContextManager[Guard]]


def guards(moderation: Moderation, mode: OutputModeration) -> OpenGuard:
    """How to open a guard for another text."""
    if mode is OutputModeration.BLOCK:
        return lambda: _blocking(moderation)
    if mode is OutputModeration.PARALLEL:
        return lambda: _parallel(moderation)
    return _open


class _Watch:
    """One reply under moderation's eyes: each growth is answered by a release."""

    def __init__(self) -> None:
        self._grown: asyncio.Queue[Grown] = asyncio.Queue()
        self._releases: AsyncIterator[Release] | None = None
        self._held: list[str] = []
        self._spaces = 0
        self._chars = 0
        self._wanted_words = _FIRST_WORDS

    def opened_on(self, releases: AsyncIterator[Release]) -> None:
        self._releases = releases

    async def growth(self) -> AsyncIterator[Grown]:
        while True:
            grown = await self._grown.get()
            yield grown
            if grown.final:
                return

    def hold(self, text: str) -> bool:
        """Keeps the text; says whether enough is held to be worth asking."""
        self._held.append(text)
        self._spaces += text.count(" ")
        self._chars += len(text)
        return max(self._spaces, self._chars // _CHARS_PER_WORD) >= self._wanted_words

    async def ask(self, *, final: bool) -> str:
        assert self._releases is not None
        self._grown.put_nowait(Grown("".join(self._held), final))
        self._held.clear()
        self._spaces = self._chars = 0
        release = await anext(self._releases)
        if release.blocked_by:
            raise Blocked(release.blocked_by)
        self._wanted_words = release.next_words
        return release.text


@asynccontextmanager
async def _watched(moderation: Moderation) -> AsyncIterator[_Watch]:
    watch = _Watch()
    async with aclosing(moderation.watch(watch.growth())) as releases:
        watch.opened_on(releases)
        yield watch


class _BlockingGuard:
    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._unseen = ""
        self.rewritten = False

    async def feed(self, text: str, *, final: bool = False) -> str:
        self._unseen += text
        if not self._watch.hold(text) and not final:
            return ""
        released = await self._watch.ask(final=final)
        if self._unseen.startswith(released):
            self._unseen = self._unseen[len(released) :]
        else:
            self.rewritten = True
        self.rewritten = self.rewritten or (final and bool(self._unseen))
        return released


@asynccontextmanager
async def _blocking(moderation: Moderation) -> AsyncIterator[Guard]:
    async with _watched(moderation) as watch:
        yield _BlockingGuard(watch)


class _ParallelGuard:
    """Lets text through while a task of its own asks about it."""

    rewritten = False

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch
        self._asking: asyncio.Task[str] | None = None

    async def feed(self, text: str, *, final: bool = False) -> str:
        enough = self._watch.hold(text)
        if self._asking and (self._asking.done() or final):
            await self._asking  # raises what it was told
            self._asking = None
        if final:
            await self._watch.ask(final=True)
        elif enough and not self._asking:
            self._asking = asyncio.create_task(self._watch.ask(final=False))
        return text

    async def close(self) -> None:
        if self._asking:
            await end(self._asking)  # nobody is left to be told of a failure


@asynccontextmanager
async def _parallel(moderation: Moderation) -> AsyncIterator[Guard]:
    async with _watched(moderation) as watch:
        guard = _ParallelGuard(watch)
        try:
            yield guard
        finally:
            await guard.close()


class _OpenGuard:
    rewritten = False

    async def feed(self, text: str, *, final: bool = False) -> str:  # noqa: ARG002
        return text


@asynccontextmanager
async def _open() -> AsyncIterator[Guard]:
    yield _OpenGuard()
