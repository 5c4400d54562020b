import pytest

from services.shared.process import read
from services.tool_runner.config import ToolRunnerConfig


def test_all_tools_are_on_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOL_RUNNER_TOOLS", raising=False)
    names = {"calculator", "clock", "weather", "remember", "forget"}
    assert read(ToolRunnerConfig).tools == names


def test_tools_are_named_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOL_RUNNER_TOOLS", "clock, calculator")
    assert read(ToolRunnerConfig).tools == {"clock", "calculator"}


def test_all_tools_may_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOL_RUNNER_TOOLS", "")
    assert not read(ToolRunnerConfig).tools


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("TOOL_RUNNER_TOOLS", "clock,shell"),
        ("TOOL_RUNNER_TIMEOUT_SECONDS", "0"),
        ("TOOL_RUNNER_MAX_OUTPUT_CHARS", "10"),
        ("TOOL_RUNNER_WEATHER_FORECAST_URL", "file:///etc/passwd"),
    ],
)
def test_a_wrong_value_names_its_knob(
    monkeypatch: pytest.MonkeyPatch, knob: str, value: str
) -> None:
    monkeypatch.setenv(knob, value)
    with pytest.raises(SystemExit, match=knob):
        read(ToolRunnerConfig)
