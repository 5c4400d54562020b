"""A call of Hermes' dialect whose argument holds the dialect's own markup."""

from pathlib import Path

import pytest

from services.inference.api import CallDelta
from tests.fakes.tiny_model import make_model
from tests.fakes.vllm_dialect import needs_vllm
from tests.unit.inference.adapters.test_vllm_parsers import CALLING, Model

pytestmark = list(needs_vllm)
HELD = [
    *("a</tool_call>b", "<tool_call>", "</tool_call>", "a <tool_call>{}</tool_call> b"),
    *(r"\"</tool_call>", r"\\", "</tool", '","b":"</tool_call>'),
]


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("cut", [[1], [3, 5], [100]])
def test_an_argument_may_hold_the_markup_of_calls(
    tmp_path: Path, held: str, cut: list[int]
) -> None:
    model = Model(make_model(tmp_path), "hermes", "")
    arguments = f'{{"city": "{held}"}}'
    call = f'<tool_call>\n{{"name": "weather", "arguments": {arguments}}}\n</tool_call>'
    read = model.streamed(CALLING, f"{call}\n{call}", cut)
    assert read.calls == (CallDelta(0, "weather", arguments), CallDelta(1, "weather", arguments))
    assert model.parsed(CALLING, f"{call}\n{call}") == read
