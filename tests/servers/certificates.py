"""Certificates for servers on loopback."""

import shutil
import subprocess
from pathlib import Path

import pytest


def certificates(folder: Path) -> Path:
    """`server.crt` and `server.key` of a server on loopback, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl missing: the distribution has it")
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    files = ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
    subprocess.run(["openssl", *request, *names, *files], check=True, capture_output=True)
    return folder
