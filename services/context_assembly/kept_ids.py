"""The token ids that a turn can take over from its parent; pure functions."""

from collections.abc import Sequence

from services.context_assembly.ports import Path


def inherited(path: Path, model: str, prompt_ids: Sequence[int]) -> int:
    """How many of a prompt's first ids are those that the path's last turn read and wrote.

    0 where the ids of that turn are not known: see `_sequence`.
    """
    return _same_beginning(_sequence(path, model), [*prompt_ids])


def _sequence(path: Path, model: str) -> list[int]:
    """All ids that the path's last turn read and wrote; empty where they are not known.

    A turn keeps only what it adds to the ids of its parent. So the chain breaks at a turn that has
    no ids, that has ids of another model, or whose parent's ids are not known, because that one is
    further back than the path was read. The next turn that has taken over nothing begins a chain.
    No turn below an erased one has ids (see `TurnStore`).
    """
    ids: list[int] = []
    for turn in path.turns:
        kept = turn.kept_ids
        if kept is None or kept.model != model or kept.inherited > len(ids):
            ids = []
            continue
        del ids[kept.inherited :]
        ids += kept.ids
    return ids


def _same_beginning(ones: list[int], others: list[int]) -> int:
    """How many ids both begin with; compares slices, since a prompt may have 100,000 ids."""
    same, length = 0, min(len(ones), len(others))
    while same < length:
        middle = (same + length + 1) // 2
        if ones[same:middle] == others[same:middle]:
            same = middle
        else:
            length = middle - 1
    return same
