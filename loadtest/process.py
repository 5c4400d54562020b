"""A process that the bench starts, measures and stops, with all that descends from it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest.interrupts import signals_held

# How long a process may take to end after SIGTERM.
_GRACE_SECONDS = 30


@dataclass(slots=True)
class Process:
    """One process, wherever it is in its life.

    It leads a process group of its own. A terminal's Ctrl-C does therefore not reach it, and what
    it leaves behind can be found.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    folder: Path = Path()
    handle: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with signals_held(), self.log.open("ab") as writing:
            self.handle = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Gently; then what is left of its group is killed. A signal waits until this is done."""
        if self.handle is None:
            return
        with signals_held():
            if self.alive:
                self.signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    self.wait(_GRACE_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.handle.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.handle
        self.handle.send_signal(number)

    def wait(self, seconds: float) -> int:
        assert self.handle
        return self.handle.wait(seconds)

    def cpu_seconds(self) -> float:
        """CPU of the process itself, without its children."""
        return _cpu_seconds(_stat(self.pid))

    def children_cpu_seconds(self) -> float:
        """CPU of all others in its group: for a server of vLLM's that is the EngineCore."""
        others = (stat for pid, stat in _stats() if pid != self.pid and _group(stat) == self.pid)
        return sum(map(_cpu_seconds, others))

    @property
    def pid(self) -> int:
        assert self.handle
        return self.handle.pid

    @property
    def alive(self) -> bool:
        # A signal in the middle of `poll` would leave its lock taken for ever.
        with signals_held():
            return self.handle is not None and self.handle.poll() is None


def _stats() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield int(path.name), _stat(int(path.name))


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may itself hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _group(stat: Sequence[str]) -> int:
    return int(stat[2])


def _cpu_seconds(stat: Sequence[str]) -> float:
    """User and system time, of all threads."""
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
