"""The collections of conversations in MongoDB: their indexes. A document's `_id` finds it else."""

_FIRST = """
{"createIndexes": "tree", "indexes": [{"name": "version", "key": {"tree": 1, "version": 1}, "unique": true}]}
{"createIndexes": "conversation", "indexes": [{"name": "age", "key": {"project": 1, "created_at_ms": 1, "id": 1}, "unique": true}]}
{"createIndexes": "turn", "indexes": [{"name": "place", "key": {"tree": 1, "section": 1, "position": 1}, "unique": true}]}
{"createIndexes": "summary", "indexes": [{"name": "place", "key": {"tree": 1, "section": 1, "model": 1, "position": 1, "erasures": 1}, "unique": true}]}
{"createIndexes": "fact_reader", "indexes": [{"name": "fact", "key": {"fact": 1, "turn_id": 1}, "unique": true}]}
{"createIndexes": "erased_fact", "indexes": [{"name": "fact", "key": {"fact": 1, "number": 1}, "unique": true}]}
"""  # noqa: E501

MIGRATIONS = (_FIRST,)
PART = "conversations"
