"""`.chatmesh/run.json`: says what runs here, to scripts and to `make down`."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from services.shared.process import Endpoint


@dataclass(frozen=True, slots=True)
class RunningMesh:
    base_url: str
    grpc_address: str
    api_key: str
    model: str
    pid: int
    services: dict[str, Endpoint]


class RunFile:
    """The file holds a key, so only its owner may read it."""

    def __init__(self, data: Path) -> None:
        self.path = data / "run.json"

    def write(self, mesh: RunningMesh) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as writing:
            json.dump(asdict(mesh), writing, indent=2)
        fresh.replace(self.path)

    def read(self) -> RunningMesh | None:
        """What runs now. None: nothing does, or the file is left over from a process that ended."""
        try:
            kept = json.loads(self.path.read_text())
            services = {name: Endpoint(**where) for name, where in kept.pop("services").items()}
            mesh = RunningMesh(**kept, services=services)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None
        return mesh if alive(mesh.pid) else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
