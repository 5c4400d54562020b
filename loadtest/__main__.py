"""`make bench`: measures this machine and prints tables; everything it starts, it stops."""

import asyncio
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from loadtest import (
    calls,
    chat,
    cpu,
    erasures,
    journal,
    latency,
    leaving,
    releases,
    stages,
    startup,
    stores,
    throughput,
    turns,
)
from loadtest.bare import BareServer, bare_vllm
from loadtest.interrupts import Interrupted, interruptible
from loadtest.processes import SevenProcesses, seven_processes
from loadtest.prompts import Questions
from loadtest.report import machine, progress
from loadtest.sameness import NotTheSame
from loadtest.sides import Sides
from services.local.kept import STORES
from services.local.preflight import free_port

# In the order in which they run.
PARTS = ("startup", "throughput", "cpu", "latency", "turns", "leaving", "stages")
# They need something to be told or ask for no ratio, so they run only when they are asked for.
ON_REQUEST = ("calls", "stores", "chat", "journal", "erasures", "releases")
_AGAINST_BARE = {"throughput", "cpu", "latency"}
_CHAT_TURNS = 200
_ERASURES = 200
_ON_ONE_MESH = {*_AGAINST_BARE, "turns", "leaving"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and of which mesh."""

    rounds: int
    requests: int
    # The URLs of what it does not keep in files, by what is kept.
    stores: Mapping[str, str]
    words: Path | None = None
    # Of stores that are measured by themselves.
    store_urls: Sequence[str] = ()
    lengths: Sequence[int] = ()
    # Another release.
    beside: Path | None = None


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice([*PARTS, *ON_REQUEST]))
@click.option("--rounds", default=5, show_default=True, help="Of the throughput comparison.")
@click.option(
    "--requests", default=384, show_default=True, help="In each round, and at each other width."
)
@click.option("--cold", is_flag=True, help="Also start with empty package caches: downloads 6 GB.")
@click.option(
    "--words",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A word list, one word a line (Debian: wamerican), of which `calls` makes its tools.",
)
@click.option(
    "--store",
    "store_urls",
    multiple=True,
    help="The URL of an empty store for `stores` and `erasures`, or file:<path>; several times.",
)
@click.option(
    "--length",
    "lengths",
    type=click.IntRange(min=2),
    multiple=True,
    default=stores.LENGTHS,
    show_default=True,
    help="Of the conversations of `stores`, in turns; several times.",
)
@click.option(
    "--beside",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="The folder of another release, in which `make install` has run, for `releases`.",
)
@click.option(
    "--mesh-store",
    "mesh_stores",
    type=(click.Choice([*STORES]), str),
    multiple=True,
    metavar="WHAT URL",
    help=f"Where the measured mesh keeps one of {', '.join(STORES)}: an empty store on a server,"
    " or file:<path> that holds its URL; several times. Else files do.",
)
def main(
    parts: tuple[str, ...],
    *,
    rounds: int,
    requests: int,
    cold: bool,
    words: Path | None,
    store_urls: tuple[str, ...],
    lengths: tuple[int, ...],
    beside: Path | None,
    mesh_stores: tuple[tuple[str, str], ...],
) -> None:
    """Measure PARTS of the mesh on this machine; the first seven by default, in a quarter of an
    hour.

    \b
    startup     from `make up` in a fresh clone to the first token
    throughput  tokens/s at 64 streams, the mesh against bare vLLM
    cpu         CPU of a request by process, beside bare vLLM's API server
    latency     time to the first token, beside bare vLLM, by output moderation
    turns       turns with tools and memory in use, the mesh alone
    leaving     how soon the engine and tools stop when a client hangs up
    stages      time to the first token, split by the services' spans

    \b
    calls       calls of invented tools, with the engine's grammar on and off
    stores      a turn written and a conversation read, by its length and its store
    chat        200 turns of one conversation in a small window, compacted as it grows
    journal     the same streams with their events in Redis and in memory; a limit check
    erasures    how soon three replicas of memory and context-assembly forget, by their store
    releases    tokens/s and first tokens of another release and this one, beside each other

    throughput, cpu, latency and releases ask the same of both: prompts and tokens are compared for
    every request, and where they differ the bench says so and ends without a ratio.
    """
    plan = Plan(rounds, requests, dict(mesh_stores), words, store_urls, lengths, beside)
    _refuse({*(parts or PARTS)}, plan)
    try:
        with interruptible():
            _on_request(parts, plan)
            _run(set(parts or PARTS) - {*ON_REQUEST}, plan, cold=cold)
    except Interrupted as error:
        sys.exit(f"stopped by {error}, and with it all that the bench had started")
    except NotTheSame as error:
        sys.exit(f"no ratio: {error}")
    except chat.WrongChat as error:
        sys.exit(f"the chat is wrong: {error}")


def _refuse(parts: Collection[str], plan: Plan) -> None:
    """What cannot be measured as it was asked for."""
    if "calls" in parts and plan.words is None:
        raise click.UsageError("`calls` needs --words")
    for part in {"stores", "erasures"} & {*parts}:
        if not plan.store_urls:
            raise click.UsageError(f"`{part}` needs a --store")
    if plan.stores and (others := {*parts} - _ON_ONE_MESH):
        named = ", ".join(sorted(others))
        raise click.UsageError(f"--mesh-store changes nothing for {named}: leave them out")
    if "releases" in parts:
        if plan.beside is None:
            raise click.UsageError("`releases` needs --beside")
        if missing := releases.wanting(plan.beside):
            raise click.UsageError(f"{plan.beside} has no {missing}: `make install` there")


def _on_request(parts: Collection[str], plan: Plan) -> None:
    if "calls" in parts and plan.words:
        _of_calls(plan.words, plan.requests)
    if "stores" in parts:
        click.echo(asyncio.run(stores.measured(plan.store_urls, plan.lengths)))
    if "erasures" in parts:
        _of_erasures(plan.store_urls)
    if "chat" in parts:
        _of_a_chat()
    if "journal" in parts:
        _of_the_journal(plan.rounds)
    if "releases" in parts and plan.beside:
        _of_releases(plan.beside, plan.rounds, plan.requests)


def _of_calls(words: Path, requests: int) -> None:
    with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
        click.echo(calls.measured(words, requests=requests, folder=Path(folder)))


def _of_the_journal(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
        click.echo(machine())
        click.echo(journal.measured(Path(folder), rounds=rounds))


def _of_releases(beside: Path, rounds: int, requests: int) -> None:
    with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
        click.echo(machine())
        click.echo(releases.measured(beside, Path(folder), rounds=rounds, requests=requests))


def _of_erasures(store_urls: Sequence[str]) -> None:
    click.echo(machine())
    for url in store_urls:
        with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
            click.echo(asyncio.run(erasures.measured(url, Path(folder), times=_ERASURES)))


def _of_a_chat() -> None:
    with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
        progress("starting seven processes: half a minute")
        with seven_processes(Path(folder) / "mesh") as mesh:
            click.echo(chat.measured(mesh, turns=_CHAT_TURNS))


def _run(wanted: set[str], plan: Plan, *, cold: bool) -> None:
    click.echo(machine())
    if "startup" in wanted:
        click.echo(startup.first_token(cold=cold))
    with tempfile.TemporaryDirectory(prefix="chatmesh-bench-") as folder:
        if wanted & _ON_ONE_MESH:
            _on_one_mesh(Path(folder), wanted, plan)
        if "stages" in wanted:
            progress("starting seven processes that export their spans: half a minute")
            click.echo(stages.by_stage(Path(folder) / "traced", requests=plan.requests))
    click.echo(f"\nafterwards: {machine()}")


def _on_one_mesh(folder: Path, wanted: set[str], plan: Plan) -> None:
    weather_port = free_port("127.0.0.1")
    weather = f"http://127.0.0.1:{weather_port}"
    there = {
        "TOOL_RUNNER_WEATHER_GEOCODING_URL": weather,
        "TOOL_RUNNER_WEATHER_FORECAST_URL": weather,
    }
    progress("starting seven processes: half a minute")
    with seven_processes(folder / "mesh", {"tool_runner": there}, plan.stores) as mesh:
        if wanted & _AGAINST_BARE:
            progress("starting bare vLLM: half a minute")
            with bare_vllm(folder / "bare.log") as bare:
                click.echo(f"bare vLLM answered after {bare.start_seconds:.1f} s")
                asyncio.run(_against_bare(wanted, mesh, bare, plan))
        asyncio.run(_alone(wanted, mesh, weather_port, plan))


async def _against_bare(
    wanted: set[str], mesh: SevenProcesses, bare: BareServer, plan: Plan
) -> None:
    sides = Sides(mesh, bare, Questions())
    if "throughput" in wanted:
        click.echo(await throughput.compare(sides, rounds=plan.rounds, requests=plan.requests))
    if "cpu" in wanted:
        click.echo(await cpu.shares(sides, requests=plan.requests))
    if "latency" in wanted:
        click.echo(await latency.added(sides, requests=plan.requests))


async def _alone(wanted: set[str], mesh: SevenProcesses, weather_port: int, plan: Plan) -> None:
    if "turns" in wanted:
        click.echo(await turns.with_tools(mesh, requests=plan.requests))
    if "leaving" in wanted:
        click.echo(await leaving.freed(mesh, weather_port, times=20))


main()
