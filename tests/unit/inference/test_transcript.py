"""One generation's outputs, read and counted."""

from collections.abc import Sequence

from services.inference.api import CallDelta, Delta, FinishReason, Usage
from services.inference.ports import Output, OutputReader, ReadOutput
from services.inference.transcript import Transcript


class Shouting:
    """Reads capitals as calls, and `~` as a thought."""

    def __init__(self) -> None:
        self._thought = 0

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        self._thought += len(ids) if text.startswith("~") else 0
        if text.startswith("~"):
            return ReadOutput(reasoning=text[1:])
        if text.isupper():
            return ReadOutput(calls=(CallDelta(0, text),))
        return ReadOutput(text)

    def reasoning_tokens(self) -> int:
        return self._thought


def output(
    text: str, finish: FinishReason | None = None, index: int = 0, ids: Sequence[int] = (1,)
) -> Output:
    delta = Delta(index, ids, text, finish_reason=finish)
    return Output((delta,), prompt_tokens=7, cached_tokens=5)


def test_passes_text_on_untouched_where_nothing_reads_it() -> None:
    transcript = Transcript(1, [])
    said = output("HELLO")
    assert transcript.piece(said).deltas is said.deltas


def test_the_usage_comes_with_the_last_piece_of_all_choices() -> None:
    transcript = Transcript(2, [])
    assert transcript.piece(output("a", FinishReason.STOP)).usage is None
    assert transcript.piece(output("b", index=1, ids=(1, 2))).usage is None
    last = transcript.piece(output("", FinishReason.LENGTH, index=1))
    assert last.usage == Usage(prompt_tokens=7, cached_tokens=5, completion_tokens=4)


def test_each_choice_has_a_reader_of_its_own() -> None:
    readers: list[OutputReader] = [Shouting(), Shouting()]
    transcript = Transcript(2, readers)
    transcript.piece(output("CALL"))
    transcript.piece(output("~hm", index=1, ids=(1, 2, 3)))
    first = transcript.piece(output("", FinishReason.STOP)).deltas[0]
    second = transcript.piece(output("", FinishReason.STOP, index=1))
    assert first.finish_reason is FinishReason.TOOL_CALLS
    assert second.deltas[0].finish_reason is FinishReason.STOP
    assert second.usage is not None
    assert second.usage.reasoning_tokens == 3


def test_the_ids_stay_where_the_reader_keeps_the_text() -> None:
    transcript = Transcript(1, [Shouting()])
    delta = transcript.piece(output("CALL", ids=(4, 5))).deltas[0]
    assert (delta.ids, delta.text, delta.calls) == ((4, 5), "", (CallDelta(0, "CALL"),))


def test_a_call_cut_by_its_limit_ends_by_its_limit() -> None:
    transcript = Transcript(1, [Shouting()])
    transcript.piece(output("CALL"))
    delta = transcript.piece(output("", FinishReason.LENGTH)).deltas[0]
    assert delta.finish_reason is FinishReason.LENGTH
