"""`chatmesh copy` in a process of its own, on a terminal, and stopped in its middle."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def copying_until(
    folder: Path, turns: int, stop: signal.Signals, *, source: str, target: str
) -> tuple[int, str]:
    """A copy on a terminal, stopped when it tells of so many turns; its status and words."""
    words = ["conversations", f"--from={source}", f"--to={target}", "--page=1"]
    here, there = pty.openpty()
    command = [sys.executable, "-m", "services", "copy", *words]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/protos/gen"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=there
    ) as process:
        os.close(there)
        told = b""
        while turns > max(map(int, re.findall(rb"copied: (\d+) turns", told)), default=0):
            more = _read(here)
            assert more, f"the copy ended by itself: {told.decode()}"
            told += more
        process.send_signal(stop)
        status = process.wait(timeout=60)
        while more := _read(here):
            told += more
    os.close(here)
    return status, told.decode()


def _read(terminal: int) -> bytes:
    """Empty: the other side has ended."""
    try:
        return os.read(terminal, 1024)
    except OSError:  # so ends a terminal
        return b""
