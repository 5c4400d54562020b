"""How many turns may be under way in one gateway."""

import pytest

from services.gateway.admission import Admission
from services.gateway.api import Draining, MeshFull


def test_all_turns_together_are_bounded() -> None:
    admission = Admission(max_turns=2)
    with admission.admitted(), admission.admitted():
        with pytest.raises(MeshFull) as refused, admission.admitted():
            pass
        assert refused.value.details["retry_after"] == "1"
        assert admission.under_way == 2
    assert admission.under_way == 0


def test_a_turn_of_another_gateway_is_taken_in_though_all_places_are_taken() -> None:
    admission = Admission(max_turns=1)
    with admission.admitted(), admission.taken_over():
        assert admission.under_way == 2


def test_a_turn_that_fails_leaves_its_place() -> None:
    admission = Admission(max_turns=1)
    with pytest.raises(ValueError, match="broken"), admission.admitted():
        raise ValueError("broken")
    with admission.admitted():
        pass


def test_who_is_in_may_finish_when_it_closes() -> None:
    admission = Admission(max_turns=2)
    with admission.admitted():
        admission.close()
        assert admission.under_way == 1
        with pytest.raises(Draining), admission.admitted():
            pass
