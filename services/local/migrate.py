"""`migrate`: brings every store to this release's schema."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from services.local.kept import STORES
from services.local.stores import kept_in
from services.shared.config import ServiceConfig
from services.shared.errors import CannotStart, MeshError
from services.shared.process import Service, read


async def migrate(configs: Mapping[str, ServiceConfig]) -> None:
    """The stores of the services that keep something, each by its service's configuration."""
    for service in _services():
        assert service.migrate
        await service.migrate(configs[service.name])


def migrate_here(data: Path | None, stores: str) -> None:
    """Those of a mesh with these options, or, with none, those that the environment names.

    Ends the process with a sentence where it cannot.
    """
    try:
        asyncio.run(migrate({each.name: _configured(each, data, stores) for each in _services()}))
    except (CannotStart, MeshError) as error:
        sys.exit(f"chatmesh: {error}")


def _services() -> Sequence[Service[Any]]:
    return [kept.service for kept in STORES.values()]


def _configured(service: Service[Any], data: Path | None, stores: str) -> ServiceConfig:
    told = kept_in(data or Path(), stores)[service.name] if data or stores else {}
    config: ServiceConfig = read(service.config, **told)
    return config
