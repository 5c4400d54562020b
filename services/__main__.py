"""`python -m services`: the whole mesh on one machine, and the keys to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from services import __version__
from services.inference.config import InferenceConfig
from services.local import keys
from services.local.run_file import RunFile, alive
from services.local.stores import stores_option

DATA = Path(".chatmesh")
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA,
    show_default=True,
    help="Where everything is kept.",
)


# Imported only when they are used: `k8s` needs what no service needs, the others import services.
_LATER = {
    "backup": "services.local.backups",
    "copy": "services.local.copying",
    "erase": "services.local.person",
    "export": "services.local.person",
    "k8s": "services.cluster.commands",
    "restore": "services.local.backups",
}


class _Commands(click.Group):
    """Those below, and those of `_LATER`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LATER])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(import_module(_LATER[cmd_name]), cmd_name)
        return found


@click.group(cls=_Commands, help="A ChatGPT-class chat backend that a team runs itself.")
@click.version_option(__version__)
def main() -> None:
    """The commands below."""


@main.command()
@data_option
@stores_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8000, show_default=True, help="HTTP; gRPC takes the next one.")
@click.option("--model", default="", help="A model's directory or hub id; else the demo model.")
@click.option("--detach", is_flag=True, help="Return when the mesh is ready and leave it running.")
def up(data: Path, *, stores: str, host: str, port: int, model: str, detach: bool) -> None:
    """Start all seven services here and print a first request."""
    if detach:
        os.environ["CHATMESH_STORES"] = stores
        sys.exit(_detached(data, [f"--host={host}", f"--port={port}", f"--model={model}"]))
    from services.local.mesh import Settings  # noqa: PLC0415 - what it imports takes seconds
    from services.local.up import up as run  # noqa: PLC0415

    served = InferenceConfig(model=model) if model else InferenceConfig()
    run(Settings(data, host, port, port + 1, served.model, served.name, stores))


def _detached(data: Path, options: list[str]) -> int:
    """Starts the same command in a session of its own. What it prints is written to up.log."""
    from services.local.up import follow  # noqa: PLC0415

    data.mkdir(parents=True, exist_ok=True)
    log = data / "up.log"
    with log.open("w") as writing:
        child = subprocess.Popen(
            [sys.executable, "-m", "services", "up", f"--data={data}", *options],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return 0 if follow(log, child.pid, RunFile(data)) else 1


@main.command()
@data_option
@click.option("--seconds", default=60, show_default=True, help="How long it may take to drain.")
def down(data: Path, seconds: int) -> None:
    """Drain and stop the mesh that runs here."""
    runs = RunFile(data).read()
    if runs is None:
        click.echo("nothing runs here")
        return
    os.kill(runs.pid, signal.SIGTERM)
    if not _within(seconds, lambda: not alive(runs.pid)):
        raise click.ClickException(
            f"process {runs.pid} still drains after {seconds} s: wait, or kill it"
        )
    click.echo("stopped")


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    due = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > due:
            return False
        time.sleep(0.05)
    return True


@main.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where `up` keeps everything; else what the services' environment says.",
)
@stores_option
def migrate(data: Path | None, stores: str) -> None:
    """Bring all stores to this release's schema; `up` does it itself."""
    from services.local.migrate import migrate_here  # noqa: PLC0415 - what it imports takes seconds

    migrate_here(data, stores)


main.add_command(keys.key)


# Guarded: vLLM's engine process imports this module again.
if __name__ == "__main__":
    main()
