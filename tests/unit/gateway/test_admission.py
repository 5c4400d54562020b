"""How many turns may be under way."""

from contextlib import ExitStack

import pytest

from services.gateway.admission import Admission
from services.gateway.api import Draining, MeshFull, TooManyTurns


def test_an_organisations_turns_are_bounded_and_the_others_may_come() -> None:
    admission = Admission(
        max_turns=10, max_turns_per_organisation=2, max_background_turns_per_organisation=8
    )
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.admitted("ada", background=False))
        with pytest.raises(TooManyTurns) as refused, admission.admitted("ada", background=False):
            pass
        assert refused.value.details["retry_after"] == "1"
        with admission.admitted("bob", background=False):
            assert admission.under_way == 3
    assert admission.under_way == 0


def test_all_turns_together_are_bounded() -> None:
    admission = Admission(
        max_turns=2, max_turns_per_organisation=2, max_background_turns_per_organisation=8
    )
    with admission.admitted("ada", background=False), admission.admitted("bob", background=False):
        with pytest.raises(MeshFull), admission.admitted("cy", background=False):
            pass
        assert admission.under_way == 2


def test_a_turn_that_fails_leaves_its_place() -> None:
    admission = Admission(
        max_turns=1, max_turns_per_organisation=1, max_background_turns_per_organisation=8
    )
    with pytest.raises(ValueError, match="broken"), admission.admitted("ada", background=False):
        raise ValueError("broken")
    with admission.admitted("ada", background=False):
        pass


def test_who_is_in_may_finish_when_it_closes() -> None:
    admission = Admission(
        max_turns=2, max_turns_per_organisation=2, max_background_turns_per_organisation=8
    )
    with admission.admitted("ada", background=False):
        admission.close()
        assert admission.under_way == 1
        with pytest.raises(Draining), admission.admitted("ada", background=False):
            pass


def test_turns_in_the_background_are_bounded_of_each_organisation() -> None:
    admission = Admission(
        max_turns=10, max_turns_per_organisation=3, max_background_turns_per_organisation=1
    )
    with admission.admitted("ada", background=True):
        with pytest.raises(TooManyTurns), admission.admitted("ada", background=True):
            pass
        with (
            admission.admitted("bob", background=True),
            admission.admitted("ada", background=False),
        ):
            assert admission.under_way == 3
    with admission.admitted("ada", background=True):
        assert admission.under_way == 1


def test_turns_in_the_background_count_as_any_other() -> None:
    admission = Admission(
        max_turns=1, max_turns_per_organisation=1, max_background_turns_per_organisation=5
    )
    with (
        admission.admitted("ada", background=True),
        pytest.raises(TooManyTurns),
        admission.admitted("ada", background=False),
    ):
        pass
