"""What only the wiring does: the secret under which keys are hashed."""

import stat
import threading
from pathlib import Path

import pytest

from services.gateway.wiring import pepper
from services.shared.errors import CannotStart

AT_ONCE = 8


def test_the_pepper_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "pepper"
    made = pepper(file)
    assert len(made) == 32
    assert pepper(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["pepper"]


def test_whoever_starts_at_the_same_time_reads_all_of_it(tmp_path: Path) -> None:
    for number in range(100):
        file = tmp_path / f"pepper{number}"
        found: list[bytes] = []
        begin = threading.Barrier(AT_ONCE)

        def start(file: Path, found: list[bytes], begin: threading.Barrier) -> None:
            begin.wait()
            found.append(pepper(file))

        threads = [
            threading.Thread(target=start, args=(file, found, begin)) for _ in range(AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {*found} == {file.read_bytes()}
        assert len(found) == AT_ONCE


def test_an_empty_pepper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").touch()
    with pytest.raises(CannotStart, match="is empty"):
        pepper(tmp_path / "pepper")
