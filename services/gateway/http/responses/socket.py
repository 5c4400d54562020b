"""`/v1/responses` on a WebSocket: its messages, its lanes, and what it remembers.

Messages are `response.create`, which has the fields of `POST /v1/responses`, and `response.steer`.
Events are those of the stream over HTTP, one a message. A lane is what has one `stream_id`: its
responses are made one after another, those of several lanes at once.
"""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from pydantic import ValidationError, model_validator

from services.gateway.api import (
    Ask,
    Completed,
    Continued,
    Failed,
    InputBlocked,
    Numbered,
    Response,
    Started,
    SteeringRefused,
    TurnEvent,
    TurnMoved,
)
from services.gateway.front import KeySession
from services.gateway.http.errors import HttpFailure, failure, invalid
from services.gateway.http.presenting import JsonObject, PresentedTurn
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.http.responses.items import Input, ReadInput
from services.gateway.http.responses.request import ResponseRequest
from services.gateway.http.responses.steering import SteeringRequest, wanted_of_caller
from services.gateway.http.responses.unstored import UnstoredResponses
from services.gateway.http.turns import named
from services.gateway.http.websocket import Answering, Line, Talk
from services.gateway.schemas import SchemaChecks
from services.gateway.steering import Steer, following, over
from services.shared.background import end, failure_of
from services.shared.conversation import Item
from services.shared.errors import Malformed, MeshError, Overloaded
from services.shared.signal import Signal

# So many responses are made at once on one socket, in so many lanes that have names.
_MOST_AT_ONCE = 16
_MOST_LANES = 32
# So many messages wait until it is their turn.
_MOST_QUEUED = 64
_LANE = re.compile(r"[A-Za-z0-9_.-]{1,256}")
# Of so many responses it is known that they were made here.
_MOST_KNOWN = 1024
# So many responses may have words that wait for what the caller's function returns.
_MOST_PENDING = 64
_PENDING = "waiting_for_required_input"


class CreateMessage(ResponseRequest):
    """`response.create`. `stream` means nothing here: all that is said on a socket is streamed."""

    input: Input | None = None  # type: ignore[assignment]
    # False: the response has no output, but can be named by a later one.
    generate: bool | None = True

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_input(cls, message: Any) -> Any:
        """Whoever only gets ready may have nothing to say yet."""
        if not isinstance(message, dict) or message.get("generate") is not False:
            return message
        return {**message, "input": None} if message.get("input") in ("", []) else message

    def ask(self) -> Ask:
        if self.input is None and self.generate is not False:
            raise Malformed("input: Field required", param="input", code="invalid_value")
        return replace(super().ask(), generate=self.generate is not False)

    def given(self) -> ReadInput:
        return ReadInput((), (), ()) if self.input is None else super().given()


@dataclass(slots=True)
class _Given:
    """Words that were accepted, as they were sent, and for which response."""

    steer: Steer
    response_id: str
    input: Any

    @property
    def named(self) -> JsonObject:
        return {"id": self.steer.id, "previous_response_id": self.response_id}


@dataclass(slots=True)
class _Lane:
    stream_id: str | None
    jobs: deque[tuple[int, Callable[[], Awaitable[None]]]] = field(default_factory=deque)
    # Does the jobs, one after another; None: there are none.
    worker: asyncio.Task[None] | None = None
    # What the response that is made now answers, and whether it has begun.
    asked: Ask | None = None
    begun: bool = False
    # The last one that has completed.
    response: Response | None = None
    # The `sequence_number` of the last event.
    number: int = 0
    given: list[_Given] = field(default_factory=list)


@asynccontextmanager
async def open_responses_talk(
    session: KeySession, line: Line, schemas: SchemaChecks, *, max_bytes: int
) -> AsyncIterator[Talk]:
    """`max_bytes` is of one message; some times that are what a socket may hold altogether."""
    talk = _ResponsesTalk(session, line, schemas, max_bytes=max_bytes)
    try:
        yield talk
    finally:
        await talk.close()


class _ResponsesTalk:
    """`Talk`."""

    def __init__(
        self, session: KeySession, line: Line, schemas: SchemaChecks, *, max_bytes: int
    ) -> None:
        self._session = session
        self._line = line
        self._schemas = schemas
        self._max_bytes = max_bytes
        self._unstored = UnstoredResponses(most_bytes=4 * max_bytes)
        self._lanes: dict[str | None, _Lane] = {}
        # Words are offered one after another, in the order in which they came.
        self._steering = _Lane(None)
        # The lane of each response that was made here, the oldest first.
        self._known: OrderedDict[str, _Lane] = OrderedDict()
        # Words that come before the input of the response that goes on from one: by the
        # conversation of that one, or else by its id.
        self._pending: OrderedDict[str, list[_Given]] = OrderedDict()
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)
        self._refusal: MeshError | None = None
        self._worked = Signal()

    async def hear(self, message: JsonObject, size: int) -> None:
        lane = self._steering
        try:
            kind = message.get("type")
            if kind == "response.steer":
                self._put(lane, size, lambda: self._steer(message))
                return
            if kind != "response.create":
                raise Malformed(
                    "type: must be response.create or response.steer",
                    param="type",
                    code="invalid_value",
                )
            lane = self._lane(message.get("stream_id"))
            self._put(lane, size, lambda: self._create(lane, message))
        except MeshError as error:
            await self._tell(failure(error), lane)

    async def tell(self, told: HttpFailure) -> None:
        await self._tell(told, self._steering)

    def refuse(self, why: MeshError) -> None:
        self._refusal = why

    async def idle(self) -> None:
        while self._working:
            await self._worked.wait()

    async def close(self) -> None:
        if working := self._working:
            await end(*working)

    @property
    def _working(self) -> list[asyncio.Task[None]]:
        lanes = (*self._lanes.values(), self._steering)
        return [lane.worker for lane in lanes if lane.worker]

    def _lane(self, stream_id: Any) -> _Lane:
        if stream_id is not None and not (
            isinstance(stream_id, str) and _LANE.fullmatch(stream_id)
        ):
            raise Malformed(
                "stream_id: must be 1 to 256 letters, digits, underscores, hyphens and periods",
                param="stream_id",
                code="invalid_stream_id",
            )
        if stream_id not in self._lanes:
            if len(self._lanes.keys() - {None}) >= _MOST_LANES and stream_id is not None:
                raise Malformed(
                    f"this socket has {_MOST_LANES} lanes: use one of them, or another socket",
                    param="stream_id",
                    code="websocket_stream_limit_reached",
                )
            self._lanes[stream_id] = _Lane(stream_id)
        return self._lanes[stream_id]

    def _put(self, lane: _Lane, size: int, job: Callable[[], Awaitable[None]]) -> None:
        """Raises why nothing more is begun, or `Overloaded`."""
        if self._refusal:
            raise self._refusal
        queued = [waits for each in (*self._lanes.values(), self._steering) for waits in each.jobs]
        held = size + sum(waits for waits, _ in queued)
        if len(queued) >= _MOST_QUEUED or held > 2 * self._max_bytes:
            raise Overloaded("too many messages wait on this socket", code="rate_limit_exceeded")
        lane.jobs.append((size, job))
        if lane.worker is None:
            lane.worker = asyncio.create_task(self._work(lane))

    async def _work(self, lane: _Lane) -> None:
        try:
            while lane.jobs:
                _, job = lane.jobs.popleft()
                await job()
        finally:
            lane.worker = None
            self._worked.notify()

    async def _create(self, lane: _Lane, message: JsonObject) -> None:
        async with self._places:
            with self._line.answering("response.create") as answering:
                error = await failure_of(self._respond(lane, message, answering))
                if isinstance(error, TurnMoved):  # the socket closes, which says it
                    answering.status = failure(error).status
                elif error:
                    told = failure(error)
                    answering.status = told.status
                    self._failed(lane, message.get("previous_response_id"))
                    await self._tell(told, lane)

    async def _respond(self, lane: _Lane, message: JsonObject, answering: Answering) -> None:
        """A failure before the response has begun is raised; a later one is its last event."""
        request = _read(CreateMessage, message)
        await self._schemas.check(request)
        ask = request.ask()
        async with AsyncExitStack() as stack:
            with self._with_pending(ask) as words:
                try:
                    lane.asked, lane.begun = await self._asked(ask, words), False
                    turn = PresentedTurn(self._noted(lane, lane.asked), ResponsesPresenter())
                    await stack.enter_async_context(aclosing(turn))
                    await turn.begin()
                except MeshError as error:
                    raise named(error, request.field) from None
            async for shown in turn:
                for each in shown:
                    await self._show(lane, each)
                    answering.first_event = answering.first_event or perf_counter()
        await self._tell_outcomes(lane)

    @contextmanager
    def _with_pending(self, ask: Ask) -> Iterator[tuple[Item, ...]]:
        """The words that wait for it: one response takes them. If it cannot begin, they wait on."""
        goes_on_from = ask.conversation or ask.previous_response_id
        pending = self._pending.pop(goes_on_from, [])
        try:
            yield tuple(item for each in pending for item in each.steer.words)
        except BaseException:
            if pending:
                self._pending[goes_on_from] = pending + self._pending.get(goes_on_from, [])
            raise

    async def _asked(self, ask: Ask, words: tuple[Item, ...]) -> Ask:
        """What is asked, after what this socket remembers of the response that it goes on from."""
        if unstored := self._unstored.find(ask.previous_response_id):
            items = (*unstored.items, *words)
            ask = replace(ask, parent_id=unstored.parent_id, unstored=items)
        elif words:
            ask = replace(ask, unstored=words)
        return await self._session.resolved(ask)

    async def _noted(self, lane: _Lane, ask: Ask) -> AsyncGenerator[Numbered, None]:
        """The events of the turn, and of those that go on with words for it."""
        async with aclosing(self._session.respond(ask)) as events:
            async for numbered in events:
                self._note(lane, numbered.event)
                yield numbered

    def _note(self, lane: _Lane, event: TurnEvent) -> None:
        """Remembers what is needed later, before the caller hears of it."""
        assert lane.asked is not None
        match event:
            case Started():
                lane.number, lane.begun = 0, True
                self._known[event.response_id] = lane
                if len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
            case Completed(response=response):
                lane.response = response
                # In a conversation it is stored all the same, with what came before it.
                if not lane.asked.store and not lane.asked.conversation:
                    self._unstored.keep(lane.asked, response, lane.stream_id)
            case Continued(input=words):
                assert lane.response is not None
                lane.begun = False
                lane.asked = following(lane.asked, lane.response, words)
            # Where none could begin to answer words, the caller goes on from the one before.
            case Failed() if lane.begun:
                self._failed(lane, lane.asked.previous_response_id)

    def _failed(self, lane: _Lane, previous_response_id: Any) -> None:
        """What a turn could not go on from is forgotten, as the specification has it."""
        if isinstance(previous_response_id, str):
            self._unstored.evict(previous_response_id, lane.stream_id)

    async def _steer(self, message: JsonObject) -> None:
        """Offers words to a response that is being made here."""
        with self._line.answering("response.steer") as answering:
            target = message.get("previous_response_id")
            lane = self._known.get(target) if isinstance(target, str) else None
            accepted: list[_Given] = []

            async def offer() -> None:
                words = _words(message)
                if lane is None:
                    raise _not_here()
                steer = await self._session.offer(str(target), words)
                accepted.append(_Given(steer, str(target), message["input"]))
                lane.given += accepted

            error = await failure_of(offer())
            lane = lane or self._steering
            if error:
                answering.status = failure(error).status
                steer = {"previous_response_id": str(target or ""), "input": message.get("input")}
                await self._tell_failed(lane, error, steer)
                return
            await self._tell_steer(lane, "accepted", steer=accepted[0].named)

    async def _tell_outcomes(self, lane: _Lane) -> None:
        """Of words for the responses that have ended, which were not taken in, and why."""
        given, lane.given = lane.given, []
        for each in given:
            error = await failure_of(_told(each.steer))
            if error is None:
                continue
            if error.details.get("code") == _PENDING and lane.response:
                await self._wait_for_caller(lane, each, lane.response)
                continue
            await self._tell_failed(lane, error, {**each.named, "input": each.input})

    async def _wait_for_caller(self, lane: _Lane, given: _Given, response: Response) -> None:
        """The words come before the input of the response that brings what functions return."""
        self._pending.setdefault(response.conversation or response.id, []).append(given)
        if len(self._pending) > _MOST_PENDING:
            _, dropped = self._pending.popitem(last=False)
            for each in dropped:
                await self._tell_failed(lane, over(), {**each.named, "input": each.input})
        wanted = wanted_of_caller(response)
        await self._tell_steer(
            lane, "pending", steer=given.named, reason=_PENDING, required_input=wanted
        )

    async def _tell_failed(self, lane: _Lane, error: MeshError, steer: JsonObject) -> None:
        shown = {
            "type": "invalid_request_error",
            "code": _steering_code(error),
            "message": error.message,
        }
        await self._tell_steer(lane, "failed", error=shown, steer=steer)

    async def _tell_steer(self, lane: _Lane, event: str, **fields: object) -> None:
        """Not of the response's own events: it has the number of the last one of these."""
        shown = {"type": f"response.steer.{event}", "sequence_number": lane.number, **fields}
        await self._send(lane, shown)

    async def _tell(self, told: HttpFailure, lane: _Lane) -> None:
        # The specification of these errors wants a code where HTTP may have none.
        named = replace(told, code=told.code or told.type)
        await self._send(lane, {"type": "error", "status": told.status, **named.envelope})

    async def _show(self, lane: _Lane, shown: JsonObject) -> None:
        """An event of the response. That it failed is told once, by `response.failed`."""
        lane.number = shown["sequence_number"]
        if shown["type"] != "error":
            await self._send(lane, shown)

    async def _send(self, lane: _Lane, shown: JsonObject) -> None:
        named = {} if lane.stream_id is None else {"stream_id": lane.stream_id}
        await self._line.send({**shown, **named})


def _read(kind: type[CreateMessage], message: JsonObject) -> CreateMessage:
    try:
        return kind.model_validate(message)
    except ValidationError as error:
        raise _malformed(error) from None


async def _told(steer: Steer) -> None:
    """Raises why the words were not taken in."""
    await steer.told()


def _words(message: JsonObject) -> tuple[Item, ...]:
    """Of a `response.steer`. Raises `Malformed` for what it has not."""
    body = {name: message[name] for name in message if name not in {"type", "previous_response_id"}}
    try:
        return SteeringRequest.model_validate(body).words()
    except ValidationError as error:
        raise _malformed(error) from None


def _malformed(error: ValidationError) -> Malformed:
    told = invalid(error.errors())
    details = {"param": told.param} if told.param else {}
    return Malformed(told.message, code="invalid_value", **details)


def _not_here() -> SteeringRefused:
    return SteeringRefused("no such response was made on this socket", code="response_not_found")


def _steering_code(error: MeshError) -> str:
    """OpenAI's word for why words were not taken in."""
    if isinstance(error, InputBlocked):
        return "content_policy_violation"
    if error.status == Malformed.status:
        return "invalid_input"
    return error.details.get("code", "response_not_active")
