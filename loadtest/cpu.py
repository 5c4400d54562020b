"""CPU of a streamed request of 64 tokens, by service, vLLM's EngineCore left out."""

from loadtest.client import Target, load
from loadtest.processes import SERVICES, SevenProcesses
from loadtest.prompts import chat_body, questions
from loadtest.report import table

_TOKENS = 64


async def shares(mesh: SevenProcesses, *, requests: int, streams: int) -> str:
    """Milliseconds of each service's process, scaled to replies of 64 tokens."""
    target = Target(f"{mesh.base_url}/chat/completions", mesh.api_key)
    bodies = [chat_body(text, _TOKENS) for text in questions(2 * requests)]
    await load(target, bodies[:requests], streams=streams)  # warms, not counted
    before = {name: mesh.processes[name].cpu_seconds() for name in SERVICES}
    done = await load(target, bodies[requests:], streams=streams)
    spent = {
        name: 1000 * (mesh.processes[name].cpu_seconds() - before[name]) / requests
        for name in SERVICES
    }
    tokens = sum(answer.tokens for answer in done.answers) / requests
    rows = [(name.replace("_", "-"), spent[name]) for name in SERVICES]
    return table(
        f"CPU ms per streamed request, {streams} streams, {tokens:.1f} tokens a reply,"
        " EngineCore left out",
        ("service", "ms"),
        [*rows, ("all", sum(spent.values()))],
    )
