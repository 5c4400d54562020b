"""`kubectl chatmesh key`: the API keys of a release."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.table import Table

from services.cluster import keys
from services.cluster.keys import KeyOrder
from services.cluster.opening import ReleaseOptions, cluster_of, console, output_option


@click.group()
def key() -> None:
    """API keys. The role RELEASE-keys may do this."""


@key.command()
@click.argument("name")
@click.option(
    "--application/--personal",
    default=None,
    help="For a program with many users: memory only for whom a request names. Else as it is.",
)
@click.option("--change-kind", is_flag=True, help="Also where the account is of the other kind.")
@click.option(
    "--memory/--no-memory",
    default=None,
    help="Whether the model may remember and forget for its requests. Else as it is.",
)
@click.option("--instructions", help="What the owner wants in every conversation; else as it is.")
@click.pass_obj
def create(
    options: ReleaseOptions,
    name: str,
    *,
    application: bool | None,
    change_kind: bool,
    memory: bool | None,
    instructions: str | None,
) -> None:
    """Make an API key for the account NAME and show it this once."""
    order = KeyOrder(name, application, change_kind, memory, instructions)
    with cluster_of(options) as cluster:
        click.echo(keys.create(cluster, order))


@key.command("list")
@output_option
@click.pass_obj
def list_(options: ReleaseOptions, output: str) -> None:
    """Show all keys with their accounts; of a key only its id."""
    with cluster_of(options) as cluster:
        found = keys.listed(cluster)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("key", "account", "kind", "made (UTC)", "state")
    for each in found:
        table.add_row(*_row(each))
    console().print(table)


def _row(key: Mapping[str, Any]) -> tuple[str, ...]:
    made = datetime.fromtimestamp(key["created_at"], UTC).strftime("%Y-%m-%d %H:%M")
    state = "revoked" if key["revoked"] else "valid"
    return key["id"], key["account"], key["kind"], made, state


@key.command()
@click.argument("key_id", default="", metavar="[KEY]")
@click.option("--account", default="", help="All keys of this account, by its name.")
@click.pass_obj
def revoke(options: ReleaseOptions, key_id: str, account: str) -> None:
    """Revoke a key, by its id, or all keys of an account. Its turns stop within 5 seconds."""
    if bool(key_id) == bool(account):
        raise click.UsageError("name either a key or an --account")
    with cluster_of(options) as cluster:
        revoked = keys.revoke(cluster, key=key_id, account=account)
    for each in revoked:
        click.echo(f"revoked {each['id']} of {each['account']}")
    if not revoked:
        click.echo(f"revoked nothing: {account} has no valid key")
