"""The collections of conversations in MongoDB: their indexes. A document's `_id` finds it else."""

_FIRST = """
{"createIndexes": "tree", "indexes": [{"name": "conversations_by_age", "key": {"organisation": 1, "project": 1, "created_at_ms": 1, "conversation_id": 1}}]}
{"createIndexes": "turn", "indexes": [{"name": "place", "key": {"tree": 1, "section": 1, "position": 1}, "unique": true}]}
{"createIndexes": "summary", "indexes": [{"name": "place", "key": {"tree": 1, "section": 1, "model": 1, "position": 1}, "unique": true}]}
{"createIndexes": "fact_reader", "indexes": [{"name": "fact", "key": {"fact": 1, "turn_id": 1}, "unique": true}]}
"""  # noqa: E501

MIGRATIONS = (_FIRST,)
PART = "conversations"
