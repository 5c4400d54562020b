"""What may be configured, and how wrong values are told."""

from pathlib import Path

import pytest

from services.moderation.config import ModerationConfig
from services.moderation.policy import read_policy
from services.shared.process import read


def test_the_default_policy_can_be_read() -> None:
    assert read_policy(ModerationConfig().policy).max_chars > 0


def test_a_policy_of_ones_own_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODERATION_POLICY", "/etc/policy.yaml")
    assert read(ModerationConfig).policy == Path("/etc/policy.yaml")


@pytest.mark.parametrize("knob", ["MODERATION_CACHED_TEXTS", "MODERATION_EMBEDDER_THREADS"])
def test_a_wrong_value_ends_the_process_with_the_name_of_the_knob(
    knob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(knob, "0")
    with pytest.raises(SystemExit) as caught:
        read(ModerationConfig)
    assert knob in str(caught.value)
