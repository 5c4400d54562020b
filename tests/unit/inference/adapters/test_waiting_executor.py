"""The engine leaves its core to others while its worker computes."""

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import zmq

from services.inference.adapters import vllm_environment
from services.inference.config import InferenceConfig
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = list(needs_vllm)
Wait = Callable[[], None]


@pytest.fixture
def executor() -> Any:
    vllm_environment.prepare()
    module = import_module("services.inference.adapters.waiting_executor")
    return module.WaitingExecutor


@pytest.fixture
def wait(executor: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wait]:
    """How a process waits that has read a message a moment ago.

    What an executor changes in vLLM is undone afterwards.
    """
    queues = import_module("vllm.distributed.device_communicators.shm_broadcast")
    addresses = import_module("vllm.utils.network_utils")
    monkeypatch.setattr(queues, "sched_yield", queues.sched_yield)
    context = zmq.Context()
    condition = queues.SpinCondition(
        is_reader=True, context=context, notify_address=addresses.get_open_zmq_ipc_path()
    )
    condition.record_read()
    yield condition.wait
    context.destroy(linger=0)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each sleep was to be."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def test_vllm_itself_does_not_sleep_while_it_waits(wait: Wait, naps: list[float]) -> None:
    wait()
    assert naps == []


def test_who_waits_for_a_step_sleeps_for_much_less_than_a_step(
    executor: Any, wait: Wait, naps: list[float]
) -> None:
    executor.__new__(executor)._post_init_executor()
    wait()
    assert len(naps) == 1
    assert 0 < naps[0] < 0.001


ONE_NODE: dict[str, Any] = {}
TWO_NODES = {"nnodes": 2}
AS_THE_OPERATOR_SAYS = {"distributed_executor_backend": "mp"}


@pytest.mark.parametrize(
    ("on_cpu", "given", "backend"),
    [
        (True, ONE_NODE, "waiting"),
        (True, TWO_NODES, None),
        (True, AS_THE_OPERATOR_SAYS, "mp"),
        (False, ONE_NODE, None),
    ],
)
def test_only_an_engine_on_one_node_s_cpu_is_run_so(
    executor: Any,
    monkeypatch: pytest.MonkeyPatch,
    *,
    on_cpu: bool,
    given: dict[str, Any],
    backend: str | None,
) -> None:
    platform = import_module("vllm.platforms").current_platform
    engine = import_module("services.inference.adapters.vllm_engine")
    monkeypatch.setattr(platform, "is_cpu", lambda: on_cpu)
    args = engine.engine_args(InferenceConfig(engine_args=given))
    assert args.distributed_executor_backend == (executor if backend == "waiting" else backend)
