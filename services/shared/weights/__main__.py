"""Fetches a model's files into a folder, before a service reads them there.

    python -m services.shared.weights s3://bucket/model /var/cache/weights/model

URL is hf://owner/name (or hf://owner/name@revision), s3://bucket/path, gs://bucket/path or
az://container/path. Tokens, keys, region and endpoint are the environment's, under the names of
the stores' own tools: HF_*, AWS_*, GOOGLE_*, AZURE_*.
"""

import sys
from pathlib import Path

import click

from services.shared import logs
from services.shared.weights.fetching import NotFetched, fetch


@click.command(help=__doc__)
@click.argument("url")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--without-weights", is_flag=True, help="Only what a tokenizer needs.")
def main(url: str, folder: Path, *, without_weights: bool) -> None:
    logs.configure("INFO")
    size = files = 0
    try:
        for file in fetch(url, folder, weights=not without_weights):
            files, size = files + 1, size + file.size
            click.echo(f"fetched {file.path}, {file.size / 2**20:.1f} MiB")
    except NotFetched as error:
        sys.exit(f"weights: {error}")
    click.echo(f"{folder} is up to date: {files} files fetched, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
