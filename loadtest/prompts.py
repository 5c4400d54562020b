"""The same prompts for the mesh and for bare vLLM: as requests, and as the mesh's own ids.

Only `prompt_ids` knows the insides of the mesh: it asks context-assembly as the gateway does.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bare import NAME
from loadtest.processes import SevenProcesses
from services.context_assembly.api import Assembly, Model
from services.context_assembly.client import connect_context_assembly
from services.gateway.ports import Account, AccountKind
from services.inference.config import InferenceConfig
from services.inference.models import CALL_OPENINGS
from services.shared.conversation import Role, said

# The length of every reply that is compared.
TOKENS = 64
_TOPICS = (
    "history of paper rise of cities art of glass taste of salt growth of trees sound of bells"
    " shape of rivers use of iron work of bees price of silk"
).split(" of ")
# Enough digits from the start, so that prompts do not grow: the demo model's are tokens.
_FIRST_NUMBER = 100_000


class Questions:
    """Texts of which none comes twice, so that no side has one in its prefix cache."""

    def __init__(self) -> None:
        self._numbers = itertools.count(_FIRST_NUMBER)

    def take(self, count: int) -> list[str]:
        return [
            f"Write about the {_TOPICS[n % len(_TOPICS)]} in region number {n}, at some length."
            for n in itertools.islice(self._numbers, count)
        ]


def chat_body(question: str, max_tokens: int = TOKENS) -> dict[str, Any]:
    """A turn with all that the mesh has: its tools and its memory."""
    asking = {"tools": [{"type": "mcp", "server_label": "chatmesh"}]}
    return _plain(question, max_tokens) | asking


def plain_chat_body(question: str) -> dict[str, Any]:
    """A turn of one round: no tools, and a reply that only its length ends."""
    return _plain(question, TOKENS) | {"logit_bias": never_ends()}


def completion_body(prompt_ids: Sequence[int]) -> dict[str, Any]:
    """`plain_chat_body` to bare vLLM, its prompt already tokenized.

    The mesh lets no model begin a call where none is offered: neither does this.
    """
    biases = never_ends() | _never_calls()
    return {"model": NAME, "prompt": list(prompt_ids), "logit_bias": biases} | _sampling(TOKENS)


def _plain(question: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": InferenceConfig().name,
        "messages": [{"role": "user", "content": question}],
        **_sampling(max_tokens),
    }


def _sampling(max_tokens: int) -> dict[str, Any]:
    return {
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def never_ends() -> dict[str, int]:
    """A bias against the model's end-of-turn tokens."""
    ends = set[int]()
    for name in ("config.json", "generation_config.json"):
        config = json.loads((Path(InferenceConfig().model) / name).read_text())
        end = config.get("eos_token_id") or []
        ends.update(end if isinstance(end, list) else [end])
    return dict.fromkeys(map(str, sorted(ends)), -100)


def _never_calls() -> dict[str, int]:
    """A bias against the tokens with which the model begins a call."""
    tokenizer = json.loads((Path(InferenceConfig().model) / "tokenizer.json").read_text())
    added = tokenizer.get("added_tokens") or []
    return {str(each["id"]): -100 for each in added if each["content"] in CALL_OPENINGS}


async def prompt_ids(mesh: SevenProcesses, texts: Sequence[str]) -> list[list[int]]:
    """What the mesh's model reads for each question of the account `bench`, no tools offered."""
    made = []
    address = mesh.address("context_assembly")
    async with connect_context_assembly(address, timeout=30) as context:
        for text in texts:
            assembly = Assembly(
                scope=Account("acct_bench", "bench", AccountKind.PERSONAL).scope(""),
                model=Model(InferenceConfig().name, 4096, summarises=False),
                input=[said("msg_0", Role.USER, text)],
                output_tokens=TOKENS,
            )
            made.append(list((await context.assemble(assembly)).prompt_ids))
    return made
