"""The time to the first token on an idle machine: what the mesh adds to bare vLLM."""

import statistics

from loadtest.bare import BareServer
from loadtest.client import Target, ask, connected
from loadtest.processes import SevenProcesses
from loadtest.prompts import chat_body, completion_body, prompt_ids, questions
from loadtest.report import table

_MAX_TOKENS = 64


async def added(mesh: SevenProcesses, bare: BareServer, *, requests: int) -> str:
    rows = []
    for mode in ("off", "parallel", "block"):
        mesh.restart("gateway", GATEWAY_OUTPUT_MODERATION=mode)
        ours, theirs = await _first_tokens(mesh, bare, requests)
        rows.append((mode, ours, theirs, ours - theirs))
    return table(
        f"Time to the first token, one request at a time, p50 of {requests}, ms",
        ("output moderation", "mesh", "bare vLLM", "added"),
        rows,
    )


async def _first_tokens(
    mesh: SevenProcesses, bare: BareServer, requests: int
) -> tuple[float, float]:
    """Medians in milliseconds; each question goes to both, one after the other."""
    chat = Target(f"{mesh.base_url}/chat/completions", mesh.api_key)
    completions = Target(f"{bare.base_url}/completions", "none")
    texts = questions(requests + 5)
    ids = await prompt_ids(mesh, texts)
    ours, theirs = [], []
    async with connected(1) as session:
        for text, prompt in zip(texts, ids, strict=True):
            theirs.append(await ask(session, completions, completion_body(prompt, _MAX_TOKENS)))
            ours.append(await ask(session, chat, chat_body(text, _MAX_TOKENS)))
    first = [
        1000 * statistics.median(answer.first_token for answer in answers[5:])
        for answers in (ours, theirs)
    ]
    return first[0], first[1]
