"""Which release a command means, the cluster that it is on, and how failures are told."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from kubernetes import config
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from rich.console import Console
from urllib3.exceptions import HTTPError

from services.cluster.refusals import CannotDo
from services.cluster.view import Cluster

_FORBIDDEN, _UNAUTHORIZED = 403, 401
# Columns of an output that is no terminal: names are not cut off.
_WIDE = 160
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


def console() -> Console:
    # Texts of pods are printed as they are: rich shall not read their brackets or colons.
    made = Console(highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDE
    return made


@contextmanager
def cluster_of(options: ReleaseOptions) -> Iterator[Cluster]:
    """The cluster that is meant. A failure within ends the command with a sentence."""
    try:
        yield opened(options)
    except CannotDo as error:
        raise click.ClickException(str(error)) from None
    except ConfigException as error:
        raise click.ClickException(f"no cluster: {error}; set KUBECONFIG") from None
    except HTTPError as error:
        raise click.ClickException(f"the API server does not answer: {error}") from None
    except ApiException as error:
        raise click.ClickException(_refusal(error, options.release)) from None


def opened(options: ReleaseOptions) -> Cluster:
    """Raises ConfigException."""
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
        roles = f"{release}-viewer to look, {release}-operator to act, {release}-keys for API keys"
        return f"you may not: {said}. Ask for the role {roles}"
    if error.status == _UNAUTHORIZED:
        return f"the API server does not know you: {said}"
    return f"the API server says: {said}"
