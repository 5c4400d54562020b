"""What vLLM finds in its environment, and where its words go."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from logging.config import dictConfig
from pathlib import Path

import pytest

from services.inference.adapters import vllm_environment


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """A file that takes the place of this process's log."""
    with (tmp_path / "log").open("w") as stream:
        output = logging.StreamHandler(stream)
        output.setFormatter(logging.Formatter("ours: %(message)s"))
        logging.getLogger().handlers.insert(0, output)
        yield tmp_path / "log"
        logging.getLogger().removeHandler(output)
    vllm = logging.getLogger("vllm")
    vllm.handlers.clear()
    vllm.propagate = True


def test_nothing_is_told_to_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_NO_USAGE_STATS", raising=False)
    vllm_environment.prepare()
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_what_the_operator_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "forkserver")
    vllm_environment.prepare()
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "forkserver"


def test_its_warnings_are_in_our_log_and_dumps_of_requests_are_not(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_LOGGING_CONFIG_PATH", raising=False)
    vllm_environment.prepare()
    dictConfig(json.loads(Path(os.environ["VLLM_LOGGING_CONFIG_PATH"]).read_text()))
    logging.getLogger("vllm.somewhere").warning("careful")
    logging.getLogger("vllm.somewhere").info("chatter")
    logging.getLogger("vllm.logging_utils.dump_input").error("what the user wrote")
    assert log.read_text() == "ours: careful\n"


def test_processes_started_meanwhile_write_to_our_log(log: Path) -> None:
    shout = [sys.executable, "-c", "import sys; sys.stderr.write('from a child')"]
    with vllm_environment.errors_to_log():
        subprocess.run(shout, check=True)
    subprocess.run(shout, check=True)
    assert log.read_text() == "from a child"


def test_what_breaks_a_start_is_told_by_the_process_that_broke(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_LOGGING_CONFIG_PATH", raising=False)
    vllm_environment.prepare()
    dictConfig(json.loads(Path(os.environ["VLLM_LOGGING_CONFIG_PATH"]).read_text()))
    engine = logging.getLogger("vllm.engine")
    with vllm_environment.reasons() as reasons:
        _break(engine, "no such kernel")
        _break(engine, "a worker failed")
        assert reasons.read_text().splitlines() == [
            "RuntimeError: no such kernel",
            "RuntimeError: a worker failed",
        ]


def test_what_breaks_after_the_start_is_told_nowhere(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_LOGGING_CONFIG_PATH", raising=False)
    vllm_environment.prepare()
    dictConfig(json.loads(Path(os.environ["VLLM_LOGGING_CONFIG_PATH"]).read_text()))
    with vllm_environment.reasons() as reasons:
        variables = dict(os.environ)
    # What a process that was started within still has.
    monkeypatch.setattr(os, "environ", variables)
    _break(logging.getLogger("vllm.engine"), "what the user wrote")
    assert not reasons.exists()


def _break(logger: logging.Logger, words: str) -> None:
    logger.error("failed", exc_info=RuntimeError(words))
