"""Hermes' calls, `<tool_call>{...}</tool_call>`, also where an argument holds that very markup."""

import re

from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
from vllm.tool_parsers.utils import is_complete_json, partial_tag_overlap

# A string of JSON, or the beginning of one; else the end of a call.
_STRING_OR_END = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|(?P<end></tool_call>)', flags=re.DOTALL
)


class WholeStringsHermesParser(Hermes2ProToolParser):
    """vLLM's, but a call does not end within a string.

    A call whose string the model never closes has no end: its arguments stay half.
    """

    def _extract_tool_call_jsons(self, text: str) -> list[tuple[str, bool]]:
        calls: list[tuple[str, bool]] = []
        start = text.find(self.tool_call_start_token)
        while start != -1:
            begin = start + len(self.tool_call_start_token)
            found = _STRING_OR_END.finditer(text, begin)
            end = next((match for match in found if match["end"]), None)
            if end is None:
                return [*calls, self._unfinished(text[begin:])]
            calls.append((text[begin : end.start()].strip(), True))
            start = text.find(self.tool_call_start_token, end.end())
        return calls

    def _unfinished(self, call: str) -> tuple[str, bool]:
        overlap = partial_tag_overlap(call, self.tool_call_end_token)
        call = call[: len(call) - overlap].strip()
        return call, bool(call) and is_complete_json(call)
