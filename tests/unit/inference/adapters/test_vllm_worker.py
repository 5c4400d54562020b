"""A worker's node; what it does in a group was tried by hand with two processes."""

import pytest

from services.inference.adapters import vllm_worker
from services.inference.config import InferenceConfig
from services.shared.errors import CannotStart
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = list(needs_vllm)


@pytest.mark.parametrize("args", [{}, {"nnodes": 2, "node_rank": 0}, {"nnodes": 2, "node_rank": 2}])
def test_what_is_no_workers_number_stops_it(args: dict[str, int]) -> None:
    with pytest.raises(CannotStart, match="node_rank"):
        vllm_worker.run(InferenceConfig(engine_args=args))


def test_a_wrong_argument_is_named() -> None:
    with pytest.raises(CannotStart, match="no_such_argument"):
        vllm_worker.run(InferenceConfig(engine_args={"no_such_argument": 1}))
