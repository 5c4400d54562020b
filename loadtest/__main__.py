"""`make bench`: measures this machine and prints tables; everything it starts, it stops."""

import asyncio
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from loadtest import cpu, latency, leaving, startup, throughput
from loadtest.bare import BareServer, bare_vllm
from loadtest.processes import SevenProcesses, seven_processes
from loadtest.report import machine
from services.local.preflight import free_port

PARTS = ("throughput", "cpu", "latency", "leaving", "startup")


@dataclass(frozen=True, slots=True)
class Width:
    """How much is measured."""

    rounds: int
    requests: int


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", default=5, show_default=True, help="Of the throughput comparison.")
@click.option("--requests", default=384, show_default=True, help="In each round.")
@click.option("--cold", is_flag=True, help="Also start with empty package caches: downloads 6 GB.")
def main(parts: tuple[str, ...], rounds: int, requests: int, cold: bool) -> None:
    """Measure PARTS: throughput, cpu, latency, leaving, startup; all of them by default."""
    wanted = set(parts or PARTS)
    click.echo(machine())
    if "startup" in wanted:
        click.echo(startup.first_token(cold=cold))
    if wanted == {"startup"}:
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmesh-bench-")))
        click.echo("starting seven processes and bare vLLM: about a minute")
        weather_port = free_port("127.0.0.1")
        weather = f"http://127.0.0.1:{weather_port}"
        there = {
            "TOOL_RUNNER_WEATHER_GEOCODING_URL": weather,
            "TOOL_RUNNER_WEATHER_FORECAST_URL": weather,
        }
        mesh = stack.enter_context(seven_processes(folder / "mesh", {"tool_runner": there}))
        bare = stack.enter_context(bare_vllm(folder / "bare.log"))
        click.echo(f"bare vLLM answered after {bare.start_seconds:.1f} s")
        wide = Width(rounds, requests)
        asyncio.run(_measure(wanted, mesh, bare, weather_port, wide))
    click.echo(f"\nafterwards: {machine()}")


async def _measure(
    wanted: set[str], mesh: SevenProcesses, bare: BareServer, weather_port: int, width: Width
) -> None:
    requests = width.requests
    if "throughput" in wanted:
        click.echo(await throughput.compare(mesh, bare, rounds=width.rounds, requests=requests))
    if "cpu" in wanted:
        for streams in (1, 8, throughput.STREAMS):
            click.echo(await cpu.shares(mesh, requests=requests // 2, streams=streams))
    if "leaving" in wanted:
        click.echo(await leaving.freed(mesh, weather_port, times=20))
    if "latency" in wanted:
        click.echo(await latency.added(mesh, bare, requests=100))


main()
