"""A bench that is interrupted stops all that it has started, and what that has started."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SECONDS = 60
# In the place of Python or make: never serves, and has a child, which is deaf, as an engine may be.
# Each holds the pipe open for as long as it lives. Told to create a key, it ends at once.
STAND_IN = """#!{python} -IS
import os, signal, sys
if "key" in sys.argv:
    sys.exit()
pipe = os.open({pipe!r}, os.O_WRONLY)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
os.write(pipe, (f"{{os.getpid()}} " + " ".join(sys.argv[1:]) + "\\n").encode())
while True:
    signal.pause()
"""
BENCH = """
import runpy, sys
sys.executable = sys.argv.pop(1)
runpy.run_module("loadtest", run_name="__main__", alter_sys=True)
"""
FAULTS = BENCH.replace('"loadtest"', '"loadtest.gateways"')
BARE = """
import pathlib, sys
from loadtest.bare import bare_vllm
sys.executable = sys.argv[1]
with bare_vllm(pathlib.Path(sys.argv[2])):
    pass
"""

DESTRUCTOR = """
import signal
from loadtest.interrupts import interruptible
class Loud:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
with interruptible():
    Loud()
    while True:
        signal.pause()
"""


@dataclass(slots=True)
class StandIns:
    """The processes that tell of themselves through one pipe."""

    folder: Path
    reading: int
    heard: str = ""
    benches: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def python(self) -> str:
        return str(self.folder / "make")

    def bench(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        bench = subprocess.Popen(
            [sys.executable, "-c", script, self.python, *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}:{ROOT}/protos/gen"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.benches.append(bench)
        return bench

    def wait_for(self, words: str) -> None:
        """Returns when a process of these arguments and its child have told of themselves."""
        while self.heard.count(words) < 2:
            assert self._read(), f"all ended before {words}"

    def wait_ended(self) -> None:
        """Returns when nobody holds the pipe any more."""
        while self._read():
            pass

    def _read(self) -> bytes:
        ready, _, _ = select.select([self.reading], [], [], SECONDS)
        assert ready, f"nothing happens; heard: {self.heard}"
        told = os.read(self.reading, 4096)
        self.heard += told.decode()
        return told

    def kill(self) -> None:
        """What a bench left behind goes first, for it holds the bench's standard error."""
        for bench in self.benches:
            bench.kill()
        for line in self.heard.splitlines():
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        for bench in self.benches:
            bench.communicate()


@pytest.fixture
def stand_ins(tmp_path: Path) -> Iterator[StandIns]:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    script = STAND_IN.format(python=sys.executable, pipe=str(pipe))
    clone = "#!/bin/sh\nfor folder; do :; done; mkdir -p $folder\n"
    for name, text in (("make", script), ("git", clone)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    started = StandIns(tmp_path, reading)
    yield started
    started.kill()
    os.close(reading)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        (BENCH, ["throughput"], "services.gateway"),
        (BENCH, ["startup"], "up"),
        (FAULTS, [], "services.gateway"),
    ],
)
def test_a_signal_while_it_starts_ends_all_it_has_started(
    stand_ins: StandIns, script: str, arguments: list[str], words: str, number: signal.Signals
) -> None:
    bench = stand_ins.bench(script, *arguments)
    stand_ins.wait_for(words)
    bench.send_signal(number)
    _, errors = bench.communicate(timeout=SECONDS)
    stand_ins.wait_ended()
    assert bench.returncode == 1
    last = errors.splitlines()[-1]
    assert last == f"stopped by {number.name}, and with it all that the bench had started"


def test_the_engine_of_bare_vllm_ends_with_its_server(stand_ins: StandIns) -> None:
    bench = stand_ins.bench(BARE, str(stand_ins.folder / "bare.log"))
    stand_ins.wait_for("vllm.entrypoints.openai.api_server")
    bench.send_signal(signal.SIGINT)
    bench.communicate(timeout=SECONDS)
    stand_ins.wait_ended()


def test_a_second_signal_does_not_leave_processes_behind(stand_ins: StandIns) -> None:
    bench = stand_ins.bench(BENCH, "throughput")
    stand_ins.wait_for("services.gateway")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        bench.send_signal(number)
    bench.communicate(timeout=SECONDS)
    stand_ins.wait_ended()
    assert bench.returncode == 1


def test_a_signal_within_a_destructor_is_not_lost() -> None:
    bench = subprocess.run(
        [sys.executable, "-c", DESTRUCTOR],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert bench.returncode
    assert bench.stderr.splitlines()[-1] == "loadtest.interrupts.Interrupted: SIGTERM"
