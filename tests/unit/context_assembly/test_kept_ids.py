from collections.abc import Sequence
from itertools import takewhile

from hypothesis import given
from hypothesis import settings as having
from hypothesis import strategies as st

from services.context_assembly.api import KeptIds
from services.context_assembly.kept_ids import inherited
from services.context_assembly.ports import PastTurn, Path

MODELS = ("m", "other")


def past(*kept: KeptIds | None) -> Path:
    return Path([PastTurn(str(number), (), (), (), each) for number, each in enumerate(kept)])


def ids(inherited_ids: int, *own: int, model: str = "m") -> KeptIds:
    return KeptIds(model, inherited_ids, own)


def test_a_prompt_inherits_what_the_path_has_read_and_written() -> None:
    path = past(ids(0, 1, 2, 3), ids(3, 4, 5), ids(5, 6))
    assert inherited(path, "m", [1, 2, 3, 4, 5, 6, 7]) == 6
    assert inherited(path, "m", (1, 2, 3, 4, 5, 6)) == 6
    assert inherited(path, "m", [1, 2, 3]) == 3
    assert inherited(path, "m", [1, 2, 9, 4, 5, 6]) == 2
    assert inherited(path, "m", [9]) == 0
    assert inherited(path, "m", []) == 0


def test_a_turn_may_have_taken_over_only_the_beginning() -> None:
    path = past(ids(0, 1, 2, 3), ids(1, 8, 9))
    assert inherited(path, "m", [1, 8, 9, 4]) == 3
    assert inherited(path, "m", [1, 2, 3]) == 1


def test_the_chain_breaks_where_ids_are_missing() -> None:
    assert inherited(past(), "m", [1]) == 0
    assert inherited(past(ids(0, 1, 2), None), "m", [1, 2]) == 0
    assert inherited(past(ids(0, 1, 2), None, ids(2, 3)), "m", [1, 2, 3]) == 0
    assert inherited(past(ids(0, 1, 2), ids(2, 3, model="other")), "m", [1, 2, 3]) == 0
    assert inherited(past(ids(0, 1), ids(0, 1, model="other"), ids(1, 3)), "m", [1, 3]) == 0


def test_a_path_that_begins_later_than_its_ids_has_none() -> None:
    assert inherited(past(ids(2, 3), ids(3, 4)), "m", [1, 2, 3, 4]) == 0


def test_a_turn_that_took_over_nothing_begins_a_chain() -> None:
    assert inherited(past(None, ids(2, 3), ids(0, 1, 2), ids(2, 3)), "m", [1, 2, 3, 4]) == 3


def plainly(path: Path, model: str, prompt: Sequence[int]) -> int:
    """The same, worked out from the last turn upwards and id by id."""

    def whole(turns: Sequence[PastTurn]) -> list[int] | None:
        kept = turns[-1].kept_ids if turns else None
        if kept is None or kept.model != model:
            return None
        if kept.inherited == 0:
            return [*kept.ids]
        before = whole(turns[:-1])
        if before is None or len(before) < kept.inherited:
            return None
        return [*before[: kept.inherited], *kept.ids]

    pairs = zip(whole(path.turns) or [], prompt, strict=False)
    return len([*takewhile(lambda pair: pair[0] == pair[1], pairs)])


_few = st.lists(st.integers(0, 2), max_size=6)
_kept = st.builds(KeptIds, st.sampled_from((*MODELS[:1] * 5, MODELS[1])), st.integers(0, 6), _few)
_paths = st.lists(st.one_of(*[_kept] * 5, st.none()), max_size=6).map(lambda kept: past(*kept))


@having(derandomize=True, deadline=None, max_examples=1000)
@given(_paths, st.lists(st.integers(0, 2), max_size=12))
def test_it_is_the_longest_common_beginning(path: Path, prompt: list[int]) -> None:
    assert inherited(path, "m", prompt) == plainly(path, "m", prompt)


@having(derandomize=True, deadline=None)
@given(_few, st.lists(st.tuples(st.integers(0, 6), _few), max_size=5), _few)
def test_what_a_chain_kept_is_found_again(
    first: list[int], later: list[tuple[int, list[int]]], more: list[int]
) -> None:
    """A turn that keeps what is new since its parent is inherited whole by the next prompt."""
    whole, kept = first, [ids(0, *first)]
    for cut, own in later:
        prompt = whole[: len(whole) - min(cut, len(whole))] + own
        count = inherited(past(*kept), "m", prompt)
        kept.append(ids(count, *prompt[count:]))
        whole = prompt
    assert inherited(past(*kept), "m", whole + more) == len(whole)
