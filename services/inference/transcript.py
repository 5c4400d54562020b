"""One generation's outputs, read and counted."""

from collections.abc import Sequence

from services.inference.api import Delta, FinishReason, Piece, Usage
from services.inference.ports import Output, OutputReader, ReadOutput


class Transcript:
    """Turns a generation's outputs into pieces.

    One reader per choice tells calls and reasoning from text; without readers all is text.
    """

    def __init__(self, choices: int, readers: Sequence[OutputReader]) -> None:
        self._unfinished = choices
        self._readers = readers
        self._called = [False] * choices
        self._completion_tokens = 0

    def piece(self, output: Output) -> Piece:
        deltas = output.deltas
        if self._readers:
            deltas = tuple(map(self._read, deltas))
        for delta in deltas:
            self._completion_tokens += len(delta.ids)
            self._unfinished -= delta.finish_reason is not None
        return Piece(deltas, None if self._unfinished else self._usage(output))

    def _read(self, delta: Delta) -> Delta:
        finish = delta.finish_reason
        read = self._readers[delta.index].read(delta.text, delta.ids, finished=finish is not None)
        if read.calls:
            self._called[delta.index] = True
        if finish is FinishReason.STOP:
            finish = self._told(delta.index, read)
        return Delta(
            index=delta.index,
            ids=delta.ids,
            text=read.text,
            reasoning=read.reasoning,
            calls=read.calls,
            logprobs=delta.logprobs,
            finish_reason=finish,
        )

    def _told(self, index: int, last: ReadOutput) -> FinishReason:
        """Why a choice ended whose model had no more to say."""
        if last.broken:
            return FinishReason.INVALID_CALL
        return FinishReason.TOOL_CALLS if self._called[index] else FinishReason.STOP

    def _usage(self, last: Output) -> Usage:
        return Usage(
            prompt_tokens=last.prompt_tokens,
            cached_tokens=last.cached_tokens,
            completion_tokens=self._completion_tokens,
            reasoning_tokens=sum(reader.reasoning_tokens() for reader in self._readers),
        )
