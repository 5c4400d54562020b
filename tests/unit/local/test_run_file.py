"""`run.json` says what runs here, to its owner alone, and is not believed of the dead."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.local.run_file import RunFile, RunningMesh, alive
from services.shared.process import Endpoint


def running(pid: int) -> RunningMesh:
    services = {"memory": Endpoint("127.0.0.1:5", "http://127.0.0.1:6/metrics")}
    return RunningMesh("http://127.0.0.1:1/v1", "127.0.0.1:2", "cm_live_x", "demo", pid, services)


@pytest.fixture
def dead() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_what_was_written_is_read(tmp_path: Path) -> None:
    RunFile(tmp_path).write(running(os.getpid()))
    assert RunFile(tmp_path).read() == running(os.getpid())


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    file.path.write_text("what was there")
    file.path.chmod(0o644)
    file.write(running(os.getpid()))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}', "\x00"])
def test_what_is_no_run_file_is_nothing_that_runs(tmp_path: Path, text: str) -> None:
    file = RunFile(tmp_path)
    file.path.write_text(text)
    assert file.read() is None


def test_the_dead_run_nothing(tmp_path: Path, dead: int) -> None:
    assert not alive(dead)
    RunFile(tmp_path).write(running(dead))
    assert RunFile(tmp_path).read() is None


def test_nothing_is_left_when_it_is_removed(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    file.write(running(os.getpid()))
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []
