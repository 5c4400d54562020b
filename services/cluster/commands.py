"""`kubectl chatmesh`, or `chatmesh k8s`: shows and operates a release on a cluster."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import click
from click.shell_completion import get_completion_class
from rich.console import Group
from rich.live import Live

from services.cluster import actions
from services.cluster.completion import VARIABLE, candidates, components, named, pods_and_nodes
from services.cluster.completion import pools as known_pools
from services.cluster.diagnosis_commands import bundle, check, doctor, version
from services.cluster.key_commands import key
from services.cluster.opening import ReleaseOptions, cluster_of, console, output_option
from services.cluster.refusals import CannotDo
from services.cluster.tables import as_json, of_pods, of_pools, of_releases, of_services
from services.cluster.undo import undo
from services.cluster.view import Cluster, Component, View, releases

watch_option = click.option("--watch", "-w", is_flag=True, help="Again every two seconds.")


@click.group(help="A release of chatmesh on Kubernetes.")
@click.option("--namespace", "-n", default="", help="Else that of the kubeconfig's context.")
@click.option("--release", "-r", default="chatmesh", show_default=True, help="As in helm install.")
@click.option("--context", default="", help="Of the kubeconfig; else the current one.")
@click.option("--kubeconfig", envvar="KUBECONFIG", default="", help="Else ~/.kube/config.")
@click.pass_context
def k8s(given: click.Context, namespace: str, release: str, context: str, kubeconfig: str) -> None:
    """The commands below."""
    given.obj = ReleaseOptions(release, namespace, context, kubeconfig)


for _each in (bundle, check, doctor, key, version):
    k8s.add_command(_each)


def main() -> None:
    """`kubectl-chatmesh`, which kubectl finds on the PATH."""
    k8s(prog_name="kubectl chatmesh", complete_var=VARIABLE)


def complete() -> None:
    """`kubectl_complete-chatmesh`, which kubectl's own completion asks, if it is on the PATH."""
    for line in candidates(k8s, sys.argv[1:]):
        click.echo(line)


def _shown(cluster: Cluster, draw: Callable[[View], Any], *, watch: bool) -> None:
    screen = console()
    if not watch:
        screen.print(draw(cluster.view()))
        return
    with Live(draw(cluster.view()), console=screen, auto_refresh=False) as live:
        while True:
            time.sleep(2)
            live.update(draw(cluster.view()), refresh=True)


def _pool(view: View, name: str) -> Component:
    found = view.component(f"inference-{name}")
    if found is None:
        known = ", ".join(view.pools) or "none"
        raise CannotDo(f"no pool {name} in this release; there are: {known}")
    return found


@k8s.command()
@watch_option
@click.option("--all-namespaces", "-A", "everywhere", is_flag=True, help="A line for each release.")
@output_option
@click.pass_obj
def status(options: ReleaseOptions, *, watch: bool, everywhere: bool, output: str) -> None:
    """Services, pools and their use, in one screen."""
    if everywhere and watch:
        raise click.UsageError("either --all-namespaces or --watch")
    with cluster_of(options) as cluster:
        if everywhere:
            _status_of_all([each.view() for each in releases(cluster.api)], output)
            return
        if output == "json":
            click.echo(json.dumps(as_json(cluster.view()), indent=2))
            return
        _shown(cluster, lambda view: Group(of_services(view), of_pools(view)), watch=watch)


def _status_of_all(views: Sequence[View], output: str) -> None:
    if output == "json":
        click.echo(json.dumps([as_json(view) for view in views], indent=2))
    else:
        console().print(of_releases(views))


@k8s.command()
@watch_option
@click.pass_obj
def top(options: ReleaseOptions, watch: bool) -> None:
    """Every pod: where it is, how it is, what it does."""
    with cluster_of(options) as cluster:
        _shown(cluster, of_pods, watch=watch)


@k8s.command()
@watch_option
@output_option
@click.pass_obj
def pools(options: ReleaseOptions, watch: bool, output: str) -> None:
    """The pools of inference: replicas, streams, queue, KV cache, cache hits."""
    with cluster_of(options) as cluster:
        if output == "json":
            click.echo(json.dumps(as_json(cluster.view())["pools"], indent=2))
            return
        _shown(cluster, of_pools, watch=watch)


@k8s.command()
@click.argument("name", shell_complete=named(pods_and_nodes))
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    help="How long it may take; else as long as it takes.",
)
@click.pass_obj
def drain(options: ReleaseOptions, name: str, seconds: float | None) -> None:
    """Move new streams away from the pod or node NAME, wait for those that run, and report.

    Says what it waits for: a disruption budget, pods of the same kind that are away, streams.
    """
    with cluster_of(options) as cluster:
        actions.drain(cluster, name, click.echo, seconds=inf if seconds is None else seconds)


@k8s.command()
@click.argument("pool", shell_complete=named(known_pools))
@click.pass_obj
def sleep(options: ReleaseOptions, pool: str) -> None:
    """Let a pool have no replica until it is woken."""
    with cluster_of(options) as cluster:
        actions.sleep_pool(cluster, _pool(cluster.view(), pool), click.echo)


@k8s.command()
@click.argument("pool", shell_complete=named(known_pools))
@click.pass_obj
def wake(options: ReleaseOptions, pool: str) -> None:
    """Give a pool a replica now."""
    with cluster_of(options) as cluster:
        actions.wake_pool(cluster, _pool(cluster.view(), pool), click.echo)


@k8s.command()
@click.argument("component", shell_complete=named(components))
@click.option("--restart", is_flag=True, help="Begin one: new pods in place of the old.")
@click.option("--undo", "undone", is_flag=True, help="Back to the pods of the rollout before.")
@click.option("--to", type=click.IntRange(min=1), help="With --undo: to this revision.")
@click.pass_obj
def rollout(
    options: ReleaseOptions, component: str, *, restart: bool, undone: bool, to: int | None
) -> None:
    """Follow a rollout of the service or pool COMPONENT until it is over."""
    if restart and undone:
        raise click.UsageError("either --restart or --undo")
    if to and not undone:
        raise click.UsageError("--to goes with --undo")
    with cluster_of(options) as cluster:
        view = cluster.view()
        found = view.component(component) or view.component(f"inference-{component}")
        if found is None:
            known = ", ".join(one.name for one in view.components) or "none"
            raise CannotDo(f"no component {component} in this release; there are: {known}")
        if undone:
            revision = undo(cluster, found.workload, to or 0)
            click.echo(
                f"{found.name}: back to revision {revision}; the next helm upgrade decides anew"
            )
        if restart:
            cluster.workloads.restart(found.workload)
        for words in actions.rollout(cluster, found.workload):
            click.echo(f"{found.name}: {words}")


@k8s.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """A script by which SHELL completes `kubectl-chatmesh`.

    For `kubectl chatmesh`, kubectl's own completion is enough: it asks
    `kubectl_complete-chatmesh`, which is installed beside it.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    click.echo(kind(k8s, {}, "kubectl-chatmesh", VARIABLE).source())


if __name__ == "__main__":
    main()
