"""What looks like a command, a file or a header with a secret, and holds none."""

from pathlib import Path

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
LINES = Path(__file__).with_name("look_alikes.txt").read_text().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_it_stays(line: str) -> None:
    assert SECRETS.find(line) == []


def test_all_together_stay() -> None:
    assert SECRETS.find("\n".join(LINES)) == []
