"""One generation's outputs, read and counted."""

from collections.abc import Sequence

from services.inference.api import Delta, FinishReason, Piece, Usage
from services.inference.ports import Output, OutputReader


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
        if finish is FinishReason.STOP and self._called[delta.index]:
            finish = FinishReason.TOOL_CALLS
        return Delta(
            index=delta.index,
            ids=delta.ids,
            text=read.text,
            reasoning=read.reasoning,
            calls=read.calls,
            logprobs=delta.logprobs,
            finish_reason=finish,
        )

    def _usage(self, last: Output) -> Usage:
        return Usage(
            prompt_tokens=last.prompt_tokens,
            cached_tokens=last.cached_tokens,
            completion_tokens=self._completion_tokens,
            reasoning_tokens=sum(reader.reasoning_tokens() for reader in self._readers),
        )
