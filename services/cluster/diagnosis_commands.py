"""`doctor`, `check`, `bundle` and `version`: is it well, will it be, and what to send about it."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml
from kubernetes import client
from rich.table import Table

from services import __version__
from services.cluster.bundle import pack
from services.cluster.doctor import examine
from services.cluster.finding import Examination
from services.cluster.needs import Values, merged, needs_of
from services.cluster.opening import ReleaseOptions, cluster_of, console, output_option
from services.cluster.precheck import Check, Readiness, checks
from services.cluster.refusals import CannotDo


@click.command()
@output_option
@click.pass_obj
def doctor(options: ReleaseOptions, output: str) -> None:
    """What is wrong, and what to type. Exit status 1 when something is."""
    with cluster_of(options) as cluster:
        examined = examine(cluster, cluster.view())
    _tell(examined, output)


def _tell(examined: Examination, output: str) -> None:
    found = examined.findings
    if output == "json":
        named = [{"where": f.where, "what": f.what, "remedy": f.remedy} for f in found]
        click.echo(json.dumps(named, indent=2))
    elif found:
        table = Table("where", "what is wrong", "what to do", show_lines=True)
        for one in found:
            table.add_row(one.where, one.what, one.remedy)
        console().print(table)
    else:
        click.echo("nothing is wrong")
    for each in examined.unseen:
        click.echo(f"not looked at: {each}", err=True)
    sys.exit(1 if found else 0)


@click.command()
@click.option("--pre", is_flag=True, help="Of a cluster, before an install.")
@click.option(
    "--values",
    "-f",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --pre: the values that you will give to helm install; may be given again.",
)
@output_option
@click.pass_obj
def check(options: ReleaseOptions, *, pre: bool, files: Sequence[Path], output: str) -> None:
    """Whether the release is well, as doctor says; with --pre, whether it can be installed.

    Exit status 1 when something is missing.
    """
    if files and not pre:
        raise click.UsageError("--values goes with --pre")
    if not pre:
        with cluster_of(options) as cluster:
            examined = examine(cluster, cluster.view())
        _tell(examined, output)
    with cluster_of(options) as cluster:
        found = list(checks(cluster, needs_of(_values(files))))
    _tell_checks(found, output)
    sys.exit(1 if any(one.verdict is Readiness.MISSING for one in found) else 0)


def _values(files: Sequence[Path]) -> Values:
    values: Values = {}
    for file in files:
        try:
            read = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CannotDo(f"{file} is no YAML: {error}") from None
        if read is not None and not isinstance(read, dict):
            raise CannotDo(f"{file} holds no values: they are a mapping")
        values = merged(values, read or {})
    return values


def _tell_checks(found: Sequence[Check], output: str) -> None:
    if output == "json":
        told: list[dict[str, Any]] = [
            {"what": one.what, "verdict": one.verdict.value, "told": one.told} for one in found
        ]
        click.echo(json.dumps(told, indent=2))
        return
    table = Table("what", "is", "")
    for one in found:
        table.add_row(one.what, one.verdict.value, one.told)
    console().print(table)


@click.command()
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False, writable=True)
)
@click.pass_obj
def bundle(options: ReleaseOptions, file: Path | None) -> None:
    """Pack what a bug report needs into FILE, a .tar.gz that is not there yet.

    It holds no Secret, no word of a conversation and no value of a variable.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    chosen = file or Path(f"chatmesh-{options.release}-{stamp}.tar.gz")
    with cluster_of(options) as cluster:
        try:
            missing = pack(cluster, chosen)
        except OSError as error:
            raise CannotDo(f"{chosen}: {error.strerror}") from None
    for each in missing:
        click.echo(f"not in it: {each}", err=True)
    click.echo(str(chosen))


@click.command()
@output_option
@click.pass_obj
def version(options: ReleaseOptions, output: str) -> None:
    """Of this plugin, of the release's services, and of the cluster."""
    with cluster_of(options) as cluster:
        view = cluster.view()
        server = client.VersionApi(cluster.api).get_code().git_version
    told = {
        "plugin": __version__,
        "release": {one.name: one.workload.version for one in view.components},
        "kubernetes": server,
    }
    if output == "json":
        click.echo(json.dumps(told, indent=2))
        return
    table = Table("what", "version")
    table.add_row("this plugin", __version__)
    for name, its in told["release"].items():
        table.add_row(name, its)
    table.add_row("Kubernetes", server)
    console().print(table)
