"""What MongoDB keeps beside the trees of conversations: lists of them, of facts and of debts."""

import json
from collections.abc import Sequence
from contextlib import suppress

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from services.context_assembly.adapters.trees.rows import Debt, Noted, Tree
from services.shared.mongodb import Database, Document, answering, set_fields
from services.shared.scope import Scope


class MongoLists:
    """Of `TreeRows`, all but the rows of trees."""

    def __init__(self, database: Database) -> None:
        self._conversations = database["conversation"]
        self._readers = database["fact_reader"]
        self._erased = database["erased_fact"]
        self._handled = database["erasures_handled"]
        self._debts = database["debt"]

    async def note_conversation(self, tree: Tree, noted: Noted) -> None:
        project = key(tree.organisation, tree.project)
        own = {"_id": key(project, noted.id)}
        await set_fields(self._conversations, own, {"project": project, **noted._asdict()})

    async def forget_conversation(self, tree: Tree, noted: Noted) -> None:
        project = key(tree.organisation, tree.project)
        with answering():
            await self._conversations.delete_one({"_id": key(project, noted.id)})

    async def noted_conversations(
        self, scope: Scope, after: Noted | None, limit: int, *, newest_first: bool
    ) -> Sequence[Noted]:
        wanted: Document = {"project": key(scope.organisation, scope.project)}
        if after:
            behind = "$lt" if newest_first else "$gt"
            at, one_id = after
            wanted["$or"] = [
                {"created_at_ms": {behind: at}},
                {"created_at_ms": at, "id": {behind: one_id}},
            ]
        order = DESCENDING if newest_first else ASCENDING
        with answering():
            found = self._conversations.find(wanted)
            listed = found.sort([("created_at_ms", order), ("id", order)]).limit(limit)
            return [Noted(each["created_at_ms"], each["id"]) async for each in listed]

    async def note_reader(self, tree: Tree, turn_id: str, fact_id: str, known: int) -> None:
        fact = key(tree.organisation, tree.project, fact_id)
        noted = {"fact": fact, "turn_id": turn_id, "known": known}
        await set_fields(self._readers, {"_id": _reader(fact, turn_id)}, noted)

    async def readers(self, scope: Scope, fact_id: str) -> Sequence[tuple[str, int]]:
        fact = key(scope.organisation, scope.project, fact_id)
        with answering():
            found = self._readers.find({"fact": fact}, {"_id": 0, "turn_id": 1, "known": 1})
            return [(each["turn_id"], each["known"]) async for each in found]

    async def forget_readers(self, scope: Scope, fact_id: str, turn_ids: Sequence[str]) -> None:
        fact = key(scope.organisation, scope.project, fact_id)
        for turn_id in turn_ids:
            with answering():
                await self._readers.delete_one({"_id": _reader(fact, turn_id)})

    async def note_erased(self, scope: Scope, fact_id: str, number: int) -> None:
        fact = key(scope.organisation, scope.project, fact_id)
        own = {"_id": key(fact, str(number)), "fact": fact, "number": number}
        await _add(self._erased, own)
        with answering():
            await self._erased.delete_many({"fact": fact, "number": {"$lt": number}})

    async def last_erased(self, scope: Scope, fact_id: str) -> int:
        fact = key(scope.organisation, scope.project, fact_id)
        return await _highest(self._erased, {"fact": fact})

    async def erased_facts(
        self, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[tuple[str, str, str, int]]:
        wanted: Document = {"fact": {"$gt": key(*after)}} if after else {}
        order = [("fact", ASCENDING), ("number", DESCENDING)]
        highest: dict[str, int] = {}
        with answering():
            async for each in self._erased.find(wanted).sort(order):
                # A lower number may stand behind the highest one for a moment.
                highest.setdefault(each["fact"], each["number"])
                if len(highest) == limit:
                    break
        return [(*json.loads(fact), number) for fact, number in highest.items()]

    async def set_handled(self, number: int) -> None:
        await _add(self._handled, {"_id": number, "number": number})
        with answering():
            await self._handled.delete_many({"_id": {"$lt": number}})

    async def handled(self) -> int:
        return await _highest(self._handled, {})

    async def owe(self, debt: Debt) -> None:
        await set_fields(
            self._debts,
            {"_id": key(*debt.tree, debt.name)},
            {**debt.tree._asdict(), "name": debt.name},
        )

    async def owed(self) -> Sequence[Debt]:
        with answering():
            return [
                Debt(Tree(each["organisation"], each["project"], each["root"]), each["name"])
                async for each in self._debts.find()
            ]

    async def pay(self, debt: Debt) -> None:
        with answering():
            await self._debts.delete_one({"_id": key(*debt.tree, debt.name)})


def key(*parts: str) -> str:
    """The `_id` of a document: begins with the tenant, and names one thing whatever that holds."""
    return json.dumps(parts, separators=(",", ":"))


async def _add(numbers: AsyncCollection[Document], document: Document) -> None:
    """Not by `$max`: of two at once, FerretDB may leave the lower one."""
    with suppress(DuplicateKeyError), answering():
        await numbers.insert_one(document)


async def _highest(numbers: AsyncCollection[Document], of: Document) -> int:
    """0: there is none."""
    with answering():
        async for each in numbers.find(of).sort("number", DESCENDING).limit(1):
            return int(each["number"])
    return 0


def _reader(fact: str, turn_id: str) -> str:
    return key(fact, turn_id)
