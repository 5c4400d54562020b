"""What MongoDB keeps beside the trees of conversations: lists of them, of facts and of debts."""

import json
from collections.abc import Sequence

from pymongo import ASCENDING, DESCENDING

from services.context_assembly.adapters.trees.rows import Debt, Noted, Tree
from services.shared.mongodb import Database, Document, answering
from services.shared.scope import Scope

# The document that is about no tenant.
_ALL = "all"


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
        listed = {"$set": {"project": project, **noted._asdict()}}
        with answering():
            own = {"_id": key(project, noted.id)}
            await self._conversations.update_one(own, listed, upsert=True)

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
        noted = {"$set": {"fact": fact, "turn_id": turn_id, "known": known}}
        with answering():
            await self._readers.update_one({"_id": _reader(fact, turn_id)}, noted, upsert=True)

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
        with answering():
            await self._erased.update_one({"_id": fact}, {"$max": {"number": number}}, upsert=True)

    async def last_erased(self, scope: Scope, fact_id: str) -> int:
        fact = key(scope.organisation, scope.project, fact_id)
        with answering():
            found = await self._erased.find_one({"_id": fact})
        return found["number"] if found else 0

    async def erased_facts(
        self, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[tuple[str, str, str, int]]:
        wanted: Document = {"_id": {"$gt": key(*after)}} if after else {}
        with answering():
            found = self._erased.find(wanted).sort("_id", ASCENDING).limit(limit)
            return [(*json.loads(each["_id"]), each["number"]) async for each in found]

    async def set_handled(self, number: int) -> None:
        with answering():
            await self._handled.update_one({"_id": _ALL}, {"$max": {"number": number}}, upsert=True)

    async def handled(self) -> int:
        with answering():
            found = await self._handled.find_one({"_id": _ALL})
        return found["number"] if found else 0

    async def owe(self, debt: Debt) -> None:
        owed = {"$set": {**debt.tree._asdict(), "name": debt.name}}
        with answering():
            await self._debts.update_one({"_id": key(*debt.tree, debt.name)}, owed, upsert=True)

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


def _reader(fact: str, turn_id: str) -> str:
    return key(fact, turn_id)
