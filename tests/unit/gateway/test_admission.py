"""How many turns may be under way."""

from contextlib import ExitStack

import pytest

from services.gateway.admission import Admission
from services.gateway.api import Draining, MeshFull, TooManyTurns


def test_an_organisations_turns_are_bounded_and_the_others_may_come() -> None:
    admission = Admission(max_turns=10, max_turns_per_organisation=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.admitted("ada"))
        with pytest.raises(TooManyTurns) as refused, admission.admitted("ada"):
            pass
        assert refused.value.details["retry_after"] == "1"
        with admission.admitted("bob"):
            assert admission.under_way == 3
    assert admission.under_way == 0


def test_all_turns_together_are_bounded() -> None:
    admission = Admission(max_turns=2, max_turns_per_organisation=2)
    with admission.admitted("ada"), admission.admitted("bob"):
        with pytest.raises(MeshFull), admission.admitted("cy"):
            pass
        assert admission.under_way == 2


def test_a_turn_that_fails_leaves_its_place() -> None:
    admission = Admission(max_turns=1, max_turns_per_organisation=1)
    with pytest.raises(ValueError, match="broken"), admission.admitted("ada"):
        raise ValueError("broken")
    with admission.admitted("ada"):
        pass


def test_who_is_in_may_finish_when_it_closes() -> None:
    admission = Admission(max_turns=2, max_turns_per_organisation=2)
    with admission.admitted("ada"):
        admission.close()
        assert admission.under_way == 1
        with pytest.raises(Draining), admission.admitted("ada"):
            pass
