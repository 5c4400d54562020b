"""`chatmesh copy`: everything of one store into another of the same kind, and whether it is."""

import asyncio
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from services.local.comparison import Compared, Comparison
from services.local.copier import PAGE, Copier, NotCopied, ProgressFile, Told
from services.local.kept import STORES, in_a_sentence, movable, name_of, opened
from services.shared.moving import CannotKeep
from services.shared.store_url import StoreUrl

# How many differences are named of each kind.
_NAMED = 20
_TOLD_SECONDS = 0.1
# A shell's status of what was interrupted.
_INTERRUPTED = 130


@click.command()
@click.argument("what", type=click.Choice([*STORES]))
@click.option("--from", "source", required=True, metavar="URL", help="The store to copy.")
@click.option("--to", "target", required=True, metavar="URL", help="An empty store to copy into.")
@click.option(
    "--progress-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keeps how far the copy has come; else a file in .chatmesh/copies.",
)
@click.option(
    "--compare", is_flag=True, help="Copy nothing; only say whether the two are the same."
)
@click.option("--page", type=click.IntRange(min=1), default=PAGE, hidden=True)
def copy(
    what: str, source: str, target: str, progress_file: Path | None, *, compare: bool, page: int
) -> None:
    """Copy the store of WHAT, all of it, and say whether both hold the same then.

    Stop the services that write to either first. A URL with a password belongs into a file, which
    is given as file:<path>. A copy that was interrupted, in whatever way, goes on when it is
    started again. What was erased stays erased in the copy.
    """
    ends = STORES[what].url(source), STORES[what].url(target)
    names = name_of(ends[0]), name_of(ends[1])
    if names[0] == names[1]:
        raise click.ClickException("both are the same store")
    kept = ProgressFile(progress_file or _progress_path(what, *names))
    try:
        with in_a_sentence():
            found = asyncio.run(_copied(what, ends, None if compare else kept, page))
    except (NotCopied, CannotKeep) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("\nstopped; the same command goes on from here", err=True)
        sys.exit(_INTERRUPTED)
    click.echo(("\r\033[K" if sys.stderr.isatty() else "") + _table(found))
    if any(each.differences for each in found):
        raise click.ClickException(_differences(found))
    kept.remove()


def _progress_path(what: str, source: str, target: str) -> Path:
    between = hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:12]
    return Path(".chatmesh", "copies", f"{what}-{between}.json")


async def _copied(
    what: str, ends: tuple[StoreUrl, StoreUrl], kept: ProgressFile | None, page: int
) -> Sequence[Compared]:
    """Compares only, where no progress is kept."""
    source_url, target_url = ends
    told = _told_on_a_terminal()
    kinds = STORES[what].kinds
    async with (
        opened(what, source_url) as from_there,
        opened(what, target_url, makes=kept is not None) as to_here,
    ):
        source, target = movable(from_there), movable(to_here)
        if kept:
            copier = Copier(source, target, kinds, kept, told, page=page)
            await copier.copy(name_of(source_url), name_of(target_url))
        comparison = Comparison(source, target, told, page=page)
        return [await comparison.of(kind) for kind in kinds]


def _told_on_a_terminal() -> Told:
    """One line that changes; nothing where standard error is no terminal."""
    due = 0.0
    seen = sys.stderr.isatty()

    def told(what: str, kind: str, count: int) -> None:
        nonlocal due
        if seen and time.monotonic() >= due:
            due = time.monotonic() + _TOLD_SECONDS
            click.echo(f"\r\033[K{what}: {count:,} {kind}", err=True, nl=False)

    return told


def _table(found: Sequence[Compared]) -> str:
    rows = [
        ("", "IN THE SOURCE", "IN THE TARGET", "DIGESTS"),
        *(
            (
                *(each.kind, f"{each.source.count:,}", f"{each.target.count:,}"),
                " ".join(dict.fromkeys((each.source.digest, each.target.digest))),
            )
            for each in found
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _differences(found: Sequence[Compared]) -> str:
    lines = ["the two are not the same"]
    for each in found:
        named = each.differences[:_NAMED]
        lines += [f"  {each.kind}, {what}: {key}" for what, key in named]
        more = len(each.differences) - len(named)
        lines += [f"  {each.kind}: {more:,} more"] if more else []
    return "\n".join(lines)
