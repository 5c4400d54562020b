"""`make bench`: measures this machine and prints tables; everything it starts, it stops."""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from loadtest import cpu, latency, leaving, startup, throughput
from loadtest.bare import BareServer, bare_vllm
from loadtest.processes import SevenProcesses, seven_processes
from loadtest.report import machine

PARTS = ("throughput", "cpu", "latency", "leaving", "startup")


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
        mesh = stack.enter_context(seven_processes(folder / "mesh"))
        bare = stack.enter_context(bare_vllm(folder / "bare.log"))
        click.echo(f"bare vLLM answered after {bare.start_seconds:.1f} s")
        asyncio.run(_measure(wanted, mesh, bare, rounds=rounds, requests=requests))
    click.echo(f"\nafterwards: {machine()}")


async def _measure(
    wanted: set[str], mesh: SevenProcesses, bare: BareServer, *, rounds: int, requests: int
) -> None:
    if "throughput" in wanted:
        click.echo(await throughput.compare(mesh, bare, rounds=rounds, requests=requests))
    if "cpu" in wanted:
        for streams in (1, 8, throughput.STREAMS):
            click.echo(await cpu.shares(mesh, requests=requests // 2, streams=streams))
    if "leaving" in wanted:
        click.echo(await leaving.freed(mesh, times=20))
    if "latency" in wanted:
        click.echo(await latency.added(mesh, bare, requests=100))


main()
