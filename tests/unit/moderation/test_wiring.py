"""The service as it runs, with the bundled models and policy."""

from pathlib import Path

import pytest

from services.moderation.api import Action, Direction
from services.moderation.client import connect_moderation
from services.moderation.config import ModerationConfig
from services.moderation.policy import BUNDLED, BrokenPolicy
from services.moderation.rules import UnknownRule
from services.moderation.wiring import SERVICE
from services.shared.process import running

KEY = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"


async def test_the_service_judges_with_all_its_parts() -> None:
    async with (
        running(SERVICE, ModerationConfig(address="127.0.0.1:0")) as endpoint,
        connect_moderation(endpoint.address, timeout=60) as moderation,
    ):
        verdicts = await moderation.screen(
            [
                "What is the capital of Norway?",
                "",
                f"my key is {KEY}",
                "I will come to your house tonight and kill you and your whole family.",
            ],
            Direction.INPUT,
        )
    assert [verdict.action for verdict in verdicts] == [
        Action.PASS,
        Action.PASS,
        Action.REWRITE,
        Action.BLOCK,
    ]


@pytest.mark.parametrize(
    ("was", "becomes", "error"),
    [
        ("secrets: mask", "secretz: mask", UnknownRule),
        ("max_chars", "max_charz", BrokenPolicy),
    ],
)
async def test_a_policy_with_a_wrong_key_stops_the_start(
    tmp_path: Path, was: str, becomes: str, error: type[Exception]
) -> None:
    wrong = tmp_path / "policy.yaml"
    wrong.write_text(BUNDLED.read_text().replace(was, becomes))
    with pytest.raises(error):
        async with running(SERVICE, ModerationConfig(address="127.0.0.1:0", policy=wrong)):
            pass
