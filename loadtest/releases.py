"""Another release of the mesh and this one beside each other, asked the same questions turn about.

What this machine does to both at the time does not count then, as it would between two runs.
"""

import asyncio
import json
import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest.client import Load, Target, load
from loadtest.meters import counters
from loadtest.processes import SevenProcesses, seven_processes
from loadtest.prompts import Questions, plain_chat_body
from loadtest.report import progress, table
from loadtest.sameness import NotTheSame

# Streams at a time, and which part of the requests of a round they ask: one alone takes long.
_WIDTHS = ((64, 1.0), (16, 0.5), (1, 0.2))
# How many steps the engine has made: as many generations as run at the time share each.
_STEPS = "vllm:iteration_tokens_total_count"
_STOP_SECONDS = 60
# Runs in the other release's folder, with its code, until it has nothing more to read.
_SERVE = """
import json, sys, tempfile
from pathlib import Path
from loadtest.processes import seven_processes
with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
    with seven_processes(Path(folder) / "mesh") as mesh:
        told = mesh.base_url, mesh.api_key, mesh.metrics_url("inference")
        print(json.dumps(told), flush=True)
        sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Release:
    target: Target
    metrics_url: str

    async def steps(self) -> int:
        return (await counters(self.metrics_url)).total(_STEPS)


@dataclass(frozen=True, slots=True)
class Round:
    """What one release did with the questions of a round."""

    load: Load
    steps: int


@dataclass(frozen=True, slots=True)
class Pair:
    other: Round
    this: Round

    @property
    def ratio(self) -> float:
        return self.this.load.tokens_per_second / self.other.load.tokens_per_second


def wanting(tree: Path) -> str:
    """What a folder lacks to be measured; empty: nothing."""
    needed = Path(".venv/bin/python"), Path("protos/gen"), Path("loadtest/processes.py")
    missing = [str(each) for each in needed if not (tree / each).exists()]
    return ", ".join(missing)


def measured(tree: Path, folder: Path, *, rounds: int, requests: int) -> str:
    """Raises `NotTheSame`."""
    with ExitStack() as stack:
        progress("starting both meshes: two minutes")
        other = stack.enter_context(_served(tree))
        mesh = stack.enter_context(seven_processes(folder / "mesh"))
        return asyncio.run(_compare(other, _release(mesh), rounds=rounds, requests=requests))


def _release(mesh: SevenProcesses) -> Release:
    return _told(mesh.base_url, mesh.api_key, mesh.metrics_url("inference"))


def _told(base_url: str, api_key: str, metrics_url: str) -> Release:
    return Release(Target(f"{base_url}/chat/completions", api_key), metrics_url)


@contextmanager
def _served(tree: Path) -> Iterator[Release]:
    where = {**os.environ, "PYTHONPATH": f"{tree / 'protos/gen'}:{tree}"}
    process = subprocess.Popen(
        [tree / ".venv/bin/python", "-c", _SERVE],
        cwd=tree,
        env=where,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A signal to the terminal's group would end it before it has ended its services.
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        told = next((line for line in process.stdout if line.startswith("[")), "")
        if not told:
            raise RuntimeError(f"the mesh of {tree} does not start: see what it says above")
        yield _told(*json.loads(told))
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


async def _compare(other: Release, this: Release, *, rounds: int, requests: int) -> str:
    questions = Questions()
    rows = []
    for streams, part in _WIDTHS:
        asked = max(streams, int(part * requests))
        await _pair(other, this, questions.take(asked), streams, this_first=False)  # not counted
        pairs = []
        for number in range(rounds):
            progress(f"releases: {streams} streams, round {number + 1} of {rounds}")
            texts = questions.take(asked)
            pairs.append(await _pair(other, this, texts, streams, this_first=bool(number % 2)))
        rows.append(row(streams, pairs))
    return table(
        f"The same questions to both releases, turn about, {rounds} rounds, prompts and tokens"
        " equal (checked): medians, and the lowest and highest ratio of tokens/s",
        (
            *("streams", "tokens/s other", "this", "ratio", "lowest", "highest"),
            *("first token p50 ms other", "this", "p99 other", "this"),
            *("engine steps other", "this", "texts that differ"),
        ),
        rows,
    )


async def _pair(
    other: Release, this: Release, texts: Sequence[str], streams: int, *, this_first: bool
) -> Pair:
    done = {}
    for release in (this, other) if this_first else (other, this):
        before = await release.steps()
        loaded = await load(release.target, list(map(plain_chat_body, texts)), streams=streams)
        done[id(release)] = Round(loaded, await release.steps() - before)
    pair = Pair(done[id(other)], done[id(this)])
    check_same(pair)
    return pair


def check_same(pair: Pair) -> None:
    """Raises `NotTheSame`, where a request has another prompt or another number of tokens."""
    for other, this in zip(pair.other.load.answers, pair.this.load.answers, strict=True):
        for what in ("prompt_tokens", "tokens", "finish_reason"):
            theirs, ours = getattr(other, what), getattr(this, what)
            if theirs != ours:
                raise NotTheSame(f"{what}: the other release has {theirs}, this one {ours}")


def row(streams: int, pairs: Sequence[Pair]) -> Sequence[object]:
    ratios = [pair.ratio for pair in pairs]
    differ = sum(
        other.text != this.text
        for pair in pairs
        for other, this in zip(pair.other.load.answers, pair.this.load.answers, strict=True)
    )
    sides = [[pair.other for pair in pairs], [pair.this for pair in pairs]]
    return (
        streams,
        *(statistics.median(each.load.tokens_per_second for each in side) for side in sides),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        *(
            statistics.median(each.load.first_token_ms(share) for each in side)
            for share in (0.5, 0.99)
            for side in sides
        ),
        *(int(statistics.median(each.steps for each in side)) for side in sides),
        differ,
    )
