"""Odd conversations, the same ones every time, and how an OpenAI client would send them."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from services.shared.conversation import Role
from services.shared.tools import Tool, ToolCall
from services.tokenizer.api import TemplateMessage

_PIECES = (
    *("Hello", "what's the weather", "in Oslo", "1234567.89", "I'LL", "e.g.", "TAB\tTAB", "a\0b"),
    *("Größe", "naïve cafe\u0301", "Привет, мир!", "こんにちは世界", "你好。"),
    *("مرحبا بالعالم", "שלום", "ﬁ ① ｆｕｌｌ", "\u200b\u200d\ufeff"),
    *("🎉", "👩‍👩‍👧‍👦", "🇳🇴", "e\u0301\u0302\u0303"),
    *("def f(x):\n    return x<<2 | x>>1", "if a<b and c>d: print('[x]')", "<table><tr></table>"),
    *("https://example.com/?q=a%20b#c", '{"a": [1, null, "\\u00e9"]}', "SELECT * FROM t; --"),
    *("   ", "\n\n\n", "\r\n", "\t", "…", "—", "''", '"', "\\"),
    *("|>", ">", "]"),
)
# What looks like a piece of a control token, or like what keeps typed ones apart.
_NEAR_MISSES = ("<", "[", "<|", "</", "\u2e10\u2e11\u2e0f", "\u2e11 \u2e10")
_ENDS = ("<|im_", "</tool_cal", "<｜", "<|e", "[/INS", "</s", "<", "[")
_STARTS = ("im_end|>", "tool_call>", "User｜>", "/INST]", "/s>", ">", "]")


@dataclass(frozen=True, slots=True)
class Chat:
    messages: Sequence[TemplateMessage]
    tools: Sequence[Tool] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """As an OpenAI client sends it."""
        request: dict[str, Any] = {
            "messages": [_openai_message(message) for message in self.messages],
            "chat_template_kwargs": {k: json.loads(v) for k, v in self.options.items()},
        }
        if self.tools:
            # vLLM renders tools that it may not parse calls of.
            request |= {"tools": [_openai_tool(t) for t in self.tools], "tool_choice": "none"}
        return request


def _openai_message(message: TemplateMessage) -> dict[str, Any]:
    calls = [
        {
            "type": "function",
            "id": call.id,
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in message.tool_calls
    ]
    return {
        "role": message.role.value,
        "content": _openai_content(message),
        **({"tool_calls": calls} if calls else {}),
        **({"reasoning": message.reasoning} if message.reasoning else {}),
        **({"tool_call_id": message.tool_call_id} if message.tool_call_id else {}),
    }


def _openai_content(message: TemplateMessage) -> str | list[dict[str, Any]] | None:
    if not message.pictures:
        return message.text or (None if message.tool_calls else "")
    # Nobody opens it.
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    content: list[dict[str, Any]] = []
    for begin, end in pairwise((0, *message.pictures, len(message.text))):
        if begin < end:
            content.append({"type": "text", "text": message.text[begin:end]})
        content.append(picture)
    return content[:-1]


def _openai_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters:
        function["parameters"] = json.loads(tool.parameters)
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


class Writer:
    """`near_misses`: texts hold pieces of control tokens, too, and start and end like them."""

    def __init__(self, seed: int, *, near_misses: bool) -> None:
        self._random = random.Random(seed)
        self._near_misses = near_misses
        self._pieces = _PIECES + _NEAR_MISSES if near_misses else _PIECES

    def chats(self, count: int) -> list[Chat]:
        return [self._taking_turns() if n % 3 else self._with_tools() for n in range(count)]

    def chats_with_pictures(self, count: int) -> list[Chat]:
        return [self._seeing(self._taking_turns()) for _ in range(count)]

    def _seeing(self, chat: Chat) -> Chat:
        """The chat with up to three pictures in its last message."""
        *before, last = chat.messages
        places = self._random.choices(range(len(last.text) + 1), k=self._random.randrange(1, 4))
        return replace(chat, messages=[*before, replace(last, pictures=tuple(sorted(places)))])

    def _taking_turns(self) -> Chat:
        first = self._random.choice([[], [TemplateMessage(Role.SYSTEM, self._text())]])
        turns = [self._turn() for _ in range(self._random.randrange(3))]
        messages = [
            *first,
            *(m for turn in turns for m in turn),
            TemplateMessage(Role.USER, self._text()),
        ]
        return Chat(messages, options=self._random.choice([{}, {"enable_thinking": "false"}]))

    def _turn(self) -> list[TemplateMessage]:
        reasoning = self._random.choice(["", "", self._text()])
        return [
            TemplateMessage(Role.USER, self._text()),
            TemplateMessage(Role.ASSISTANT, self._text(), reasoning=reasoning),
        ]

    def _with_tools(self) -> Chat:
        calls = tuple(self._call(n) for n in range(self._random.randrange(1, 4)))
        results = [TemplateMessage(Role.TOOL, self._text(), tool_call_id=call.id) for call in calls]
        speakers = [Role.SYSTEM, Role.DEVELOPER, Role.USER]
        spoken = [TemplateMessage(self._random.choice(speakers), self._text()) for _ in range(3)]
        called = TemplateMessage(Role.ASSISTANT, self._random.choice(["", self._text()]), "", calls)
        told = [called, *results, TemplateMessage(Role.USER, self._text())]
        return Chat([*spoken, *told], [self._tool(n) for n in range(self._random.randrange(4))])

    def _call(self, number: int) -> ToolCall:
        broken = self._random.choice(["", "{", "[1]", "null", '"text"'])
        whole = json.dumps(self._values(), ensure_ascii=self._random.random() < 0.5)
        return ToolCall(f"call_{number}", "look_up", self._random.choice([whole] * 4 + [broken]))

    def _values(self) -> dict[str, Any]:
        nested = {"list": [1, 2.5, True, None, self._text()], "empty": {}}
        return {"query": self._text(), "straße": nested, "n": self._random.randrange(10**12)}

    def _tool(self, number: int) -> Tool:
        fields = {"query": {"type": "string", "description": self._text()}, "ключ": {"enum": [1]}}
        schema = {"type": "object", "properties": fields, "required": ["query"]}
        parameters = self._random.choice([json.dumps(schema), json.dumps(schema), "{}", ""])
        description = self._random.choice(["", self._text()])
        return Tool(f"look_up_{number}", description, parameters, self._random.random() < 0.2)

    def _text(self) -> str:
        length = self._random.choice([0, 1, 1, 2, 3, 5, 8, 300])
        joints = self._random.choice(["", " ", " ", "\n"])
        text = joints.join(self._random.choices(self._pieces, k=length))
        if not self._near_misses or self._random.random() < 0.7:
            return text
        return self._random.choice(_STARTS) + text + self._random.choice(_ENDS)
