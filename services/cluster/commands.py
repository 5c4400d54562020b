"""`kubectl chatmesh`, or `chatmesh k8s`: shows and operates a release on a cluster."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from kubernetes import config
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from urllib3.exceptions import HTTPError

from services.cluster import actions
from services.cluster.actions import CannotDo
from services.cluster.doctor import findings
from services.cluster.tables import as_json, of_pods, of_pools, of_services
from services.cluster.view import Cluster, Component, View

_FORBIDDEN, _UNAUTHORIZED = 403, 401
# Columns of an output that is no terminal: names are not cut off.
_WIDE = 160
watch_option = click.option("--watch", "-w", is_flag=True, help="Again every two seconds.")
output_option = click.option(
    "--output", "-o", type=click.Choice(["table", "json"]), default="table", show_default=True
)


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """Which release is meant, as its options say. What is empty, the kubeconfig says."""

    release: str
    namespace: str
    context: str
    kubeconfig: str


@click.group(help="A release of chatmesh on Kubernetes.")
@click.option("--namespace", "-n", default="", help="Else that of the kubeconfig's context.")
@click.option("--release", "-r", default="chatmesh", show_default=True, help="As in helm install.")
@click.option("--context", default="", help="Of the kubeconfig; else the current one.")
@click.option("--kubeconfig", envvar="KUBECONFIG", default="", help="Else ~/.kube/config.")
@click.pass_context
def k8s(given: click.Context, namespace: str, release: str, context: str, kubeconfig: str) -> None:
    """The commands below."""
    given.obj = ReleaseOptions(release, namespace, context, kubeconfig)


def main() -> None:
    """`kubectl-chatmesh`, which kubectl finds on the PATH."""
    k8s(prog_name="kubectl chatmesh")


def _console() -> Console:
    # Texts of pods are printed as they are: rich shall not read their brackets or colons.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


@contextmanager
def _cluster(options: ReleaseOptions) -> Iterator[Cluster]:
    """The cluster that is meant. A failure within ends the command with a sentence."""
    try:
        yield _opened(options)
    except CannotDo as error:
        raise click.ClickException(str(error)) from None
    except ConfigException as error:
        raise click.ClickException(f"no cluster: {error}; set KUBECONFIG") from None
    except HTTPError as error:
        raise click.ClickException(f"the API server does not answer: {error}") from None
    except ApiException as error:
        raise click.ClickException(_refusal(error, options.release)) from None


def _opened(options: ReleaseOptions) -> Cluster:
    kubeconfig = options.kubeconfig or None
    api = config.new_client_from_config(kubeconfig, options.context or None)
    contexts, current = config.list_kube_config_contexts(kubeconfig)
    chosen = next((each for each in contexts if each["name"] == options.context), current)
    here = chosen["context"].get("namespace", "default")
    return Cluster(api, options.namespace or here, options.release)


def _refusal(error: ApiException, release: str) -> str:
    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = error.reason
    if error.status == _FORBIDDEN:
        roles = f"the role {release}-viewer to look, {release}-operator to act"
        return f"you may not: {said}. Ask for {roles}"
    if error.status == _UNAUTHORIZED:
        return f"the API server does not know you: {said}"
    return f"the API server says: {said}"


def _shown(cluster: Cluster, draw: Callable[[View], Any], *, watch: bool) -> None:
    console = _console()
    if not watch:
        console.print(draw(cluster.view()))
        return
    with Live(draw(cluster.view()), console=console, auto_refresh=False) as live:
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
@output_option
@click.pass_obj
def status(options: ReleaseOptions, watch: bool, output: str) -> None:
    """Services, pools and their use, in one screen."""
    with _cluster(options) as cluster:
        if output == "json":
            click.echo(json.dumps(as_json(cluster.view()), indent=2))
            return
        _shown(cluster, lambda view: Group(of_services(view), of_pools(view)), watch=watch)


@k8s.command()
@watch_option
@click.pass_obj
def top(options: ReleaseOptions, watch: bool) -> None:
    """Every pod: where it is, how it is, what it does."""
    with _cluster(options) as cluster:
        _shown(cluster, of_pods, watch=watch)


@k8s.command()
@watch_option
@output_option
@click.pass_obj
def pools(options: ReleaseOptions, watch: bool, output: str) -> None:
    """The pools of inference: replicas, streams, queue, KV cache, cache hits."""
    with _cluster(options) as cluster:
        if output == "json":
            click.echo(json.dumps(as_json(cluster.view())["pools"], indent=2))
            return
        _shown(cluster, of_pools, watch=watch)


@k8s.command()
@click.argument("name")
@click.pass_obj
def drain(options: ReleaseOptions, name: str) -> None:
    """Move new streams away from the pod or node NAME, wait for those that run, and report."""
    with _cluster(options) as cluster:
        nodes = {pod.node for c in cluster.view().components for pod in c.pods}
        act = actions.drain_node if name in nodes else actions.drain_pod
        act(cluster, name, click.echo)


@k8s.command()
@click.argument("pool")
@click.pass_obj
def sleep(options: ReleaseOptions, pool: str) -> None:
    """Let a pool have no replica until it is woken."""
    with _cluster(options) as cluster:
        actions.sleep_pool(cluster, _pool(cluster.view(), pool), click.echo)


@k8s.command()
@click.argument("pool")
@click.pass_obj
def wake(options: ReleaseOptions, pool: str) -> None:
    """Give a pool a replica now."""
    with _cluster(options) as cluster:
        actions.wake_pool(cluster, _pool(cluster.view(), pool), click.echo)


@k8s.command()
@click.argument("component")
@click.option("--restart", is_flag=True, help="Begin one: new pods in place of the old.")
@click.pass_obj
def rollout(options: ReleaseOptions, component: str, restart: bool) -> None:
    """Follow a rollout of the service or pool COMPONENT until it is over."""
    with _cluster(options) as cluster:
        view = cluster.view()
        found = view.component(component) or view.component(f"inference-{component}")
        if found is None:
            known = ", ".join(one.name for one in view.components) or "none"
            raise CannotDo(f"no component {component} in this release; there are: {known}")
        if restart:
            cluster.workloads.restart(found.workload)
        for words in actions.rollout(cluster, found.workload):
            click.echo(f"{found.name}: {words}")


@k8s.command()
@output_option
@click.pass_obj
def doctor(options: ReleaseOptions, output: str) -> None:
    """What is wrong, and what to type. Exit status 1 when something is."""
    with _cluster(options) as cluster:
        found = list(findings(cluster, cluster.view()))
    if output == "json":
        named = [{"where": f.where, "what": f.what, "remedy": f.remedy} for f in found]
        click.echo(json.dumps(named, indent=2))
    elif found:
        table = Table("where", "what is wrong", "what to do", show_lines=True)
        for one in found:
            table.add_row(one.where, one.what, one.remedy)
        _console().print(table)
    else:
        click.echo("nothing is wrong")
    sys.exit(1 if found else 0)


@k8s.group()
def key() -> None:
    """API keys."""


@key.command()
@click.argument("name")
@click.option("--application", is_flag=True, help="For a program with many users.")
@click.option("--change-kind", is_flag=True, help="Also where the account is of the other kind.")
@click.option("--memory", is_flag=True, help="The model may remember and forget for its requests.")
@click.pass_obj
def create(
    options: ReleaseOptions, name: str, application: bool, change_kind: bool, memory: bool
) -> None:
    """Make an API key for the account NAME and show it this once."""
    with _cluster(options) as cluster:
        made = actions.create_key(
            cluster, name, application=application, change_kind=change_kind, memory=memory
        )
        click.echo(made)


@key.command("list")
@click.pass_obj
def list_(options: ReleaseOptions) -> None:
    """Show all keys with their accounts; of a key only its id."""
    with _cluster(options) as cluster:
        click.echo(actions.list_keys(cluster))


@key.command()
@click.argument("key_id", default="", metavar="[KEY]")
@click.option("--account", default="", help="All keys of this account, by its name.")
@click.pass_obj
def revoke(options: ReleaseOptions, key_id: str, account: str) -> None:
    """Revoke a key, by its id, or all keys of an account. Its turns stop within 5 seconds."""
    if bool(key_id) == bool(account):
        raise click.UsageError("name either a key or an --account")
    with _cluster(options) as cluster:
        click.echo(actions.revoke_keys(cluster, key_id, account))


if __name__ == "__main__":
    main()
