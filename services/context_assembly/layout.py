"""The items of a conversation in the order in which they are read, as exchanges; pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from services.context_assembly.api import Assembly
from services.context_assembly.compactions import stands_for_others
from services.context_assembly.messages import Draft, Entry, PromptMessage, drafted, is_by_user
from services.context_assembly.ports import Path
from services.shared.conversation import Call, CallResult, Item, Message, Role

_INSTRUCTING = (Role.SYSTEM, Role.DEVELOPER)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model is shown of the person's memory: texts by id, each in one line."""

    preferences: Mapping[str, str] = field(default_factory=dict)
    # What is not here is erased.
    facts: Mapping[str, str] = field(default_factory=dict)
    # The memories of this turn.
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's message and all that follows it, up to the next one.

    The last exchange is in parts: the user's message, and what each round of the model made of it.
    """

    # Of its first entry.
    position: int
    # Whether any of it is of this turn: the request's, or a result that the request brings.
    current: bool
    # Whether it is what the model is to answer now: the user's last message, or `current` after it.
    open: bool
    messages: Sequence[PromptMessage]


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that was said, in order."""

    entries: Sequence[Entry]
    # What the application says before the first exchange.
    head: Sequence[PromptMessage]
    exchanges: Sequence[Exchange]
    # Whether a compaction item stands for what came before the entries.
    compacted: bool
    # What a summary of all does not replace: the head, and what the user wrote.
    lasting: Sequence[Item]


def lay_out(path: Path, assembly: Assembly, shown: Shown) -> Conversation:
    """Raises `Malformed` for a result in the request that answers no call."""
    sees = assembly.model.sees
    head = _head(path, assembly)
    rounds = [*_past(path, shown, len(head)), _present(assembly, shown, len(head))]
    said = [entry.item for each in rounds for entry in each.entries]
    entries, compacted = _since_compaction(rounds)
    first = drafted([Entry(item, "", 0) for item in head], sees=sees)
    return Conversation(
        entries=entries,
        head=[message for draft in first for message in draft.messages()],
        exchanges=[*_exchanges(drafted(entries, sees=sees))],
        compacted=compacted,
        lasting=[*head, *filter(is_by_user, said)],
    )


def last_user_text(items: Sequence[Item]) -> str:
    """What the user wrote in their last message."""
    texts = (item.text for item in reversed(items) if is_by_user(item))
    return next(texts, "")


def _head(path: Path, assembly: Assembly) -> Sequence[Message]:
    first = path.root.input if path.root else ()
    return _leading(first if assembly.parent_id else assembly.input)


def _leading(items: Sequence[Item]) -> Sequence[Message]:
    leading = takewhile(lambda item: isinstance(item, Message) and item.role in _INSTRUCTING, items)
    return [item for item in leading if isinstance(item, Message)]


@dataclass(frozen=True, slots=True)
class _Round:
    """What a turn was given, and what it made of it."""

    given: Sequence[Entry]
    made: Sequence[Entry]

    @property
    def entries(self) -> Sequence[Entry]:
        return [*self.given, *self.made]


def _past(path: Path, shown: Shown, head: int) -> Iterator[_Round]:
    """Without the head and what a summary covers."""
    skipped = {path.root.id: head} if path.root else {}
    if path.summary:
        covered = path.summary.turn_id
        skipped[covered] = max(path.summary.items, skipped.get(covered, 0))
    for turn in path.turns:
        items = _with_facts(turn.input, _facts(turn.memory_ids, shown))
        items += [(item, {}) for item in turn.output]
        entries = [
            Entry(item, turn.id, number, before) for number, (item, before) in enumerate(items, 1)
        ]
        left = [entry for entry in entries if entry.number > skipped.get(turn.id, 0)]
        given = len(turn.input)
        yield _Round(
            given=[entry for entry in left if entry.number <= given],
            made=[entry for entry in left if entry.number > given],
        )


def _present(assembly: Assembly, shown: Shown, head: int) -> _Round:
    skipped = 0 if assembly.parent_id else head
    items = _with_facts(assembly.input, _facts(shown.ids, shown))
    return _Round(
        given=[
            Entry(item, "", number, before)
            for number, (item, before) in enumerate(items, 1)
            if number > skipped
        ],
        made=[Entry(item, "", 0) for item in assembly.produced],
    )


def _since_compaction(rounds: Sequence[_Round]) -> tuple[Sequence[Entry], bool]:
    """What is left to read, and whether the last compaction item stands for what came before.

    A turn that compacts answers its user's last message all the same, or goes on with results of
    calls. So what is open stays, behind the item.
    """
    for number, each in reversed([*enumerate(rounds)]):
        later = [entry for following in rounds[number + 1 :] for entry in following.entries]
        if found := _last_compaction(each.made):
            asked = _asked(rounds[:number], each.given)
            before, after = each.made[found - 1], each.made[found:]
            return [before, *asked, *after, *later], True
        if found := _last_compaction(each.given):
            return [*each.given[found - 1 :], *each.made, *later], True
    return [entry for each in rounds for entry in each.entries], False


def _last_compaction(entries: Sequence[Entry]) -> int:
    """Its place, counted from 1; 0: there is none."""
    places = [place for place, entry in enumerate(entries, 1) if stands_for_others(entry.item)]
    return places[-1] if places else 0


def _asked(earlier: Sequence[_Round], given: Sequence[Entry]) -> Sequence[Entry]:
    """The user's last message and what came behind it.

    Where a turn brought none, but results: the message of an earlier turn, and the calls.
    """
    users = [place for place, entry in enumerate(given) if is_by_user(entry.item)]
    if users:
        return given[users[-1] :]
    answered = {entry.item.call_id for entry in given if isinstance(entry.item, CallResult)}
    if not answered:
        return given
    before = [entry for each in earlier for entry in each.entries]
    last = [entry for entry in before if is_by_user(entry.item)][-1:]
    calls = [
        entry for entry in before if isinstance(entry.item, Call) and entry.item.call_id in answered
    ]
    return [*last, *calls, *given]


def _facts(ids: Sequence[str], shown: Shown) -> Mapping[str, str]:
    return {fact_id: shown.facts[fact_id] for fact_id in ids if fact_id in shown.facts}


def _with_facts(
    items: Sequence[Item], facts: Mapping[str, str]
) -> list[tuple[Item, Mapping[str, str]]]:
    """Each item with what is shown before it: the facts, before the user's last words."""
    paired: list[tuple[Item, Mapping[str, str]]] = [(item, {}) for item in items]
    users = [number for number, item in enumerate(items) if is_by_user(item)] if facts else []
    if users:
        paired[users[-1]] = (items[users[-1]], facts)
    return paired


def _groups(drafts: Sequence[Draft]) -> Sequence[Sequence[Draft]]:
    """Each with one user's message, but the first if there is none."""
    groups: list[list[Draft]] = [[]]
    for draft in drafts:
        is_user = draft.role is Role.USER
        if is_user and any(earlier.role is Role.USER for earlier in groups[-1]):
            groups.append(_taken_over(groups[-1]))
        groups[-1].append(draft)
    return groups


def _taken_over(group: list[Draft]) -> list[Draft]:
    """The instructions after the last reply: they belong to what follows."""
    end = len(group)
    while group[end - 1].role in _INSTRUCTING:
        end -= 1
    if group[end - 1].role is not Role.ASSISTANT:
        return []
    taken = group[end:]
    del group[end:]
    return taken


def _exchanges(drafts: Sequence[Draft]) -> Iterator[Exchange]:
    *earlier, last = _groups(drafts)
    for group in earlier:
        yield _exchange(group, is_open=False)
    start = 0
    for end, draft in enumerate((*last, None)):
        if end > start and (draft is None or draft.role is Role.ASSISTANT):
            part = last[start:end]
            yield _exchange(part, is_open=not start or any(draft.current for draft in part))
            start = end


def _exchange(group: Sequence[Draft], *, is_open: bool) -> Exchange:
    return Exchange(
        position=group[0].position,
        current=any(draft.current for draft in group),
        open=is_open,
        messages=[message for draft in group for message in draft.messages()],
    )
