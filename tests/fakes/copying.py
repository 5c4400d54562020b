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
            told += os.read(here, 1024)
        process.send_signal(stop)
        status = process.wait(timeout=60)
        try:
            while more := os.read(here, 1024):
                told += more
        except OSError:  # so ends a terminal whose other side was closed
            os.close(here)
    return status, told.decode()
