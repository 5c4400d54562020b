"""The same prompts for the mesh and for bare vLLM: as requests, and as the mesh's own ids."""

from collections.abc import Sequence
from typing import Any

from loadtest.bare import NAME
from loadtest.processes import SevenProcesses
from services.context_assembly.api import Assembly, Model, Text
from services.context_assembly.client import connect_context_assembly
from services.gateway.ports import Account, AccountKind
from services.inference.config import InferenceConfig
from services.shared.chat import Role
from services.tool_runner.client import connect_tool_runner

# Questions that no tool answers, so that a reply is one round of the model on both sides.
_TOPICS = (
    "history of paper rise of cities art of glass taste of salt growth of trees sound of bells"
    " shape of rivers use of iron work of bees price of silk"
).split(" of ")
_ACCOUNT = Account("acct_bench", "bench", AccountKind.PERSONAL)


def questions(count: int) -> list[str]:
    """So many texts, all different."""
    return [
        f"Write about the {_TOPICS[n % len(_TOPICS)]} in region number {n}, at some length."
        for n in range(count)
    ]


def chat_body(question: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": InferenceConfig().name,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def completion_body(prompt_ids: Sequence[int], max_tokens: int) -> dict[str, Any]:
    """The same request to bare vLLM, its prompt already tokenized."""
    return {
        "model": NAME,
        "prompt": list(prompt_ids),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def prompt_ids(mesh: SevenProcesses, texts: Sequence[str]) -> list[list[int]]:
    """What the mesh's model reads for each question: built-in tools and all."""
    scope = _ACCOUNT.scope("")
    async with (
        connect_tool_runner(mesh.address("tool_runner"), timeout=30) as tool_runner,
        connect_context_assembly(mesh.address("context_assembly"), timeout=30) as context,
    ):
        tools = await tool_runner.list_tools(scope)
        made = []
        for text in texts:
            assembly = Assembly(
                scope=scope,
                model=Model(InferenceConfig().name, 4096, summarises=False),
                input=[Text("msg_0", Role.USER, text)],
                output_tokens=64,
                tools=tools,
            )
            made.append(list((await context.assemble(assembly)).prompt_ids))
    return made
