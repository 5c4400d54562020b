"""Whether the mesh and bare vLLM were asked the same and did the same: else no ratio is told."""

from collections.abc import Sequence

from loadtest.client import Answer


class NotTheSame(Exception):
    """A request, or the work for it, that differs between the two sides; the words say how."""


def check_answers(
    questions: Sequence[str],
    prompts: Sequence[Sequence[int]],
    ours: Sequence[Answer],
    theirs: Sequence[Answer],
    *,
    tokens: int,
) -> int:
    """Raises `NotTheSame` for the first request that differs; says how many texts differ.

    The texts may: an engine adds up in another order when other requests run beside this one.
    """
    for question, prompt, our, their in zip(questions, prompts, ours, theirs, strict=True):
        for side, answer in (("the mesh", our), ("bare vLLM", their)):
            wrong = _wrong(answer, len(prompt), tokens)
            if wrong:
                raise NotTheSame(f"{side} {wrong}; asked: {question}")
    return sum(our.text != their.text for our, their in zip(ours, theirs, strict=True))


def _wrong(answer: Answer, prompt_tokens: int, tokens: int) -> str:
    if answer.prompt_tokens != prompt_tokens:
        return f"read {answer.prompt_tokens} tokens where the prompt has {prompt_tokens}"
    if answer.called:
        return "called a function"
    if answer.finish_reason != "length":
        return f"ended its reply for the reason {answer.finish_reason!r}, not for its length"
    if answer.tokens != tokens:
        return f"wrote {answer.tokens} tokens, not {tokens}"
    return ""


def check_work(
    side: str, prompts: Sequence[Sequence[int]], *, tokens: int, seen: tuple[int, int, int]
) -> None:
    """The engine's own count, `seen`, of generations, of prompt and of written tokens."""
    wanted = (len(prompts), sum(map(len, prompts)), tokens * len(prompts))
    names = ("generations", "prompt tokens", "written tokens")
    for name, want, have in zip(names, wanted, seen, strict=True):
        if want != have:
            raise NotTheSame(f"the engine of {side} counts {have} {name}, asked were {want}")
