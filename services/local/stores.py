"""Where the mesh of this machine keeps what it keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from services.local.kept import STORES
from services.shared.store_url import StoreUrl

_Command = TypeVar("_Command", bound=Callable[..., Any])


def stores_option(command: _Command) -> _Command:
    """In the environment, a password in it can be read by fewer than on a command line."""
    return click.option(
        "--stores",
        envvar="CHATMESH_STORES",
        default="",
        help="A server that keeps everything: postgresql://..., or file:<path> that holds this;"
        " else files do. Also CHATMESH_STORES.",
    )(command)


def kept_in(data: Path, stores: str) -> dict[str, dict[str, Any]]:
    """What each service that keeps something is told, by its name: files, or `stores` for all.

    On a server each has tables of its own.
    """
    return {
        kept.name: {kept.knob: StoreUrl(stores or f"sqlite:{data}/{kept.file}")}
        for kept in STORES.values()
    }
