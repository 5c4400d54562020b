"""What the store of turns says to PostgreSQL.

A LATERAL subquery with OFFSET is run for each row, by an index: whatever the server believes of a
table's size, a path costs as much as it is long.
"""

# All that is put together here is written here.
# ruff: noqa: S608

_HERE = "organisation = %(organisation)s AND project = %(project)s"
_THIS = f"{_HERE} AND id = %(id)s"

# Locks last until the transaction ends. Who adds shares them with others who add. Who erases has
# the tree alone, and who forgets facts the whole project: what an erasure has to find is then
# committed, and what comes later sees the erasure. The project is locked first.
_PLACE = "%(organisation)s || chr(31) || %(project)s"
SHARE_PROJECT = f"SELECT pg_advisory_xact_lock_shared(hashtextextended({_PLACE}, 1))"
LOCK_PROJECT = f"SELECT pg_advisory_xact_lock(hashtextextended({_PLACE}, 1))"
_TREE = f"hashtextextended({_PLACE} || chr(31) || root_id, 2)"
SHARE_TREE = f"""
    SELECT pg_advisory_xact_lock_shared({_TREE}) FROM turn WHERE {_HERE} AND id = %(parent_id)s
"""
LOCK_TREE = f"SELECT pg_advisory_xact_lock({_TREE}) FROM turn WHERE {_THIS}"
LOCK_TREE_OF = f"SELECT pg_advisory_xact_lock({_TREE}) FROM conversation WHERE {_THIS}"

_KEPT = """kept_ids.model AS kept_model, kept_ids.inherited AS kept_inherited,
        kept_ids.ids AS kept_ids, kept_ids.fact_ids AS kept_fact_ids,
        kept_ids.erasures_known AS kept_erasures_known"""
_JOIN_KEPT = f"""
    LEFT JOIN LATERAL (
        SELECT model, inherited, fact_ids, erasures_known, ids FROM kept_ids
        WHERE {_HERE} AND turn_id = turn.id OFFSET 0
    ) AS kept_ids ON true
"""
_SUMMARISED = f"""
    EXISTS (SELECT 1 FROM summary WHERE {_HERE} AND turn_id = turn.id AND model = %(model)s)
"""
_WALKED_TO = f"""
    CROSS JOIN LATERAL (SELECT * FROM turn WHERE {_HERE} AND id = walked.id OFFSET 0) AS turn
"""
_ABOVE_IT = f"""
    CROSS JOIN LATERAL (SELECT * FROM turn WHERE {_HERE} AND id = walked.parent_id OFFSET 0) AS turn
"""
# `far` is reach.py's `unread`; division is whole, as there.
PATH = f"""
    WITH RECURSIVE walked (depth, id, parent_id, far, compacts, summarised) AS (
        SELECT 0, id, parent_id,
            greatest(0, chars - %(max_chars)s) / %(block)s * %(block)s, compacts, {_SUMMARISED}
        FROM turn WHERE {_THIS} AND NOT erased
        UNION ALL
        SELECT depth + 1, turn.id, turn.parent_id, far, turn.compacts, {_SUMMARISED}
        FROM walked {_ABOVE_IT}
        WHERE NOT summarised AND NOT walked.compacts AND turn.chars > far
    )
    SELECT turn.id, turn.parent_id, root_id, erased, below_erased, memory_ids, input, output,
        turn.compacts, items AS summary_items, text AS summary_text, {_KEPT}
    FROM walked {_WALKED_TO}
    LEFT JOIN LATERAL (
        SELECT items, text FROM summary
        WHERE {_HERE} AND turn_id = turn.id AND model = %(model)s OFFSET 0
    ) AS summary ON summarised
    {_JOIN_KEPT}
    ORDER BY depth DESC
"""
ROOT = f"""
    SELECT id, memory_ids, input, output, NULL AS kept_ids FROM turn WHERE {_THIS} AND NOT erased
"""
GET = f"SELECT turn.*, {_KEPT} FROM turn {_JOIN_KEPT} WHERE {_THIS} AND NOT erased"
# For `Movable`: turns tree by tree, and in a tree by depth, so that none comes before its parent.
TURNS = f"""
    WITH RECURSIVE trees AS MATERIALIZED (
        SELECT organisation, project, id FROM turn
        WHERE parent_id = '' AND (organisation, project, id)
            >= (%(organisation)s, %(project)s, %(root_id)s)
        ORDER BY organisation, project, id LIMIT %(trees)s
    ), walked (organisation, project, root_id, depth, id) AS (
        SELECT organisation, project, id, 0, id FROM trees
        UNION ALL
        SELECT turn.organisation, turn.project, walked.root_id, depth + 1, turn.id
        FROM walked JOIN turn ON turn.organisation = walked.organisation
            AND turn.project = walked.project AND turn.parent_id = walked.id
    ), page AS (
        SELECT * FROM walked
        WHERE (organisation, project, root_id, depth, id)
            > (%(organisation)s, %(project)s, %(root_id)s, %(depth)s, %(id)s)
        ORDER BY organisation, project, root_id, depth, id LIMIT %(limit)s
    )
    SELECT turn.*, depth, {_KEPT} FROM page JOIN turn USING (organisation, project, id)
    LEFT JOIN kept_ids
        ON kept_ids.organisation = turn.organisation AND kept_ids.project = turn.project
        AND kept_ids.turn_id = turn.id
    ORDER BY turn.organisation, turn.project, turn.root_id, depth, turn.id
"""
SUMMARIES = """
    SELECT summary.*
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (organisation, project, turn_id)
    JOIN summary USING (organisation, project, turn_id)
"""
# The newest `most` turns of the way from the root to one.
STRETCH = f"""
    WITH RECURSIVE walked (depth, id, parent_id) AS (
        SELECT 0, id, parent_id FROM turn WHERE {_THIS}
        UNION ALL
        SELECT depth + 1, turn.id, turn.parent_id FROM walked {_ABOVE_IT}
        WHERE depth + 1 < %(most)s
    )
    SELECT turn.id, turn.parent_id, erased, memory_ids, input, output, NULL AS kept_ids
    FROM walked {_WALKED_TO} ORDER BY depth DESC
"""
IS_THERE = f"SELECT 1 FROM turn WHERE {_THIS}"
ERASURES = f"SELECT below_erased FROM turn WHERE {_HERE} AND id = %(parent_id)s"

# What a turn is added below, of which each statement reads no row or one.
NOTHING = "SELECT ''::text AS id, %(id)s AS root_id, 0::bigint AS chars, 0 AS below_erased"
PARENT = f"""
    SELECT id, root_id, chars, below_erased FROM turn
    WHERE {_HERE} AND id = %(parent_id)s AND NOT erased
"""
# Whose head is locked until it has moved: of two who add, the later one finds another head.
PARENT_THAT_IS_HEAD = f"""
    SELECT turn.id, turn.root_id, turn.chars, turn.below_erased
    FROM conversation CROSS JOIN LATERAL ({PARENT} OFFSET 0) AS turn
    WHERE {_HERE} AND conversation.id = %(conversation_id)s AND head = %(parent_id)s
    FOR UPDATE OF conversation
"""
# The conditions of `kept` are those of `TurnStore.add`. Whether the conversation is begun is asked
# in the same moment: it may begin before another statement could ask.
_ADD = f"""
    WITH above AS MATERIALIZED ({{above}}), added AS (
        INSERT INTO turn (organisation, project, id, parent_id, root_id, conversation_id, chars,
            below_erased, compacts, created_at_ms, person, memory_ids, input, output, document)
        SELECT %(organisation)s, %(project)s, %(id)s, id, root_id, %(conversation_id)s,
            chars + %(chars)s, below_erased, %(compacts)s, %(created_at_ms)s, %(person)s,
            %(memory_ids)s, %(input)s, %(output)s, %(document)s
        FROM above ON CONFLICT DO NOTHING RETURNING id, parent_id, below_erased
    ), moved AS (
        UPDATE conversation SET head = %(id)s
        WHERE {_THIS.replace("%(id)s", "%(conversation_id)s")} AND EXISTS (SELECT 1 FROM added)
            AND head = %(parent_id)s
    ){{keeping}}
    SELECT EXISTS (SELECT 1 FROM added) AS added, EXISTS (
        SELECT 1 FROM conversation WHERE {_THIS.replace("%(id)s", "%(conversation_id)s")}
    ) AS begun
"""
_KEEPING = f""", kept AS (
        INSERT INTO kept_ids
            (organisation, project, turn_id, model, inherited, fact_ids, erasures_known, ids)
        SELECT %(organisation)s, %(project)s, id, %(model)s, %(inherited)s, %(fact_ids)s,
            %(erasures_known)s, %(ids)s
        FROM added WHERE below_erased = 0
        AND NOT EXISTS (
            SELECT 1 FROM erased_fact WHERE {_HERE}
                AND fact_id = ANY(%(facts)s::text[]) AND number > %(erasures_known)s
        ) AND (%(inherited)s = 0 OR EXISTS (
            SELECT 1 FROM kept_ids AS above WHERE {_HERE}
                AND above.turn_id = added.parent_id AND above.model = %(model)s
        ))
        RETURNING turn_id
    ), noted AS (
        INSERT INTO fact_read (organisation, project, turn_id, fact_id)
        SELECT %(organisation)s, %(project)s, turn_id, fact_id
        FROM kept, unnest(%(facts)s::text[]) AS fact_id
        ON CONFLICT DO NOTHING
    )"""


def add(above: str, *, with_ids: bool) -> str:
    return _ADD.format(above=above, keeping=_KEEPING if with_ids else "")


REWRITE = f"""
    UPDATE turn SET input = %(input)s, output = %(output)s, compacts = %(compacts)s WHERE {_THIS}
"""
_EMPTY = """erased = true, person = '', memory_ids = '', input = '', output = '', document = '',
        compacts = false"""
ERASE = f"""
    UPDATE turn SET {_EMPTY} WHERE {_THIS} AND NOT erased AND NOT EXISTS (
        SELECT 1 FROM conversation WHERE {_HERE} AND conversation.root_id = %(id)s
    ) RETURNING id
"""
ERASE_TREE = f"UPDATE turn SET {_EMPTY} WHERE {_HERE} AND root_id = %(root_id)s"
# A turn, and all below it: as an array, since each is then looked up.
_BELOW = f"""
    WITH RECURSIVE below (id) AS (
        {{first}}
        UNION
        SELECT turn.id FROM below CROSS JOIN LATERAL (
            SELECT id FROM turn WHERE {_HERE} AND parent_id = below.id OFFSET 0
        ) AS turn
    )"""
_BELOW_ONE = _BELOW.format(first='SELECT %(id)s::text COLLATE "C"')
_OF_THOSE = f"WHERE {_HERE} AND turn_id = ANY(ARRAY(SELECT id FROM below))"
COMPACTING_BELOW = f"""
    {_BELOW_ONE}
    SELECT turn.*, NULL AS kept_ids FROM turn
    WHERE {_HERE} AND id = ANY(ARRAY(SELECT id FROM below)) AND compacts AND NOT erased
"""
ERASE_BELOW = f"""
    {_BELOW_ONE},
    summaries AS (DELETE FROM summary {_OF_THOSE}),
    ids AS (DELETE FROM kept_ids {_OF_THOSE}),
    facts AS (DELETE FROM fact_read {_OF_THOSE})
    UPDATE turn SET below_erased = below_erased + 1
    WHERE {_HERE} AND id = ANY(ARRAY(SELECT id FROM below))
"""
REMEMBER_ERASED = """
    INSERT INTO erased_fact (organisation, project, fact_id, number)
    SELECT DISTINCT %(organisation)s, %(project)s, fact_id, %(number)s::bigint
    FROM unnest(%(facts)s::text[]) AS fact_id
    ON CONFLICT (organisation, project, fact_id)
        DO UPDATE SET number = greatest(erased_fact.number, excluded.number)
"""
_READERS = f"SELECT turn_id FROM fact_read WHERE {_HERE} AND fact_id = ANY(%(facts)s::text[])"
FORGET = f"""
    {_BELOW.format(first=_READERS)},
    facts AS (DELETE FROM fact_read {_OF_THOSE})
    DELETE FROM kept_ids {_OF_THOSE}
"""
HANDLED = """
    UPDATE erasures_handled SET number = greatest(number, %(number)s) RETURNING number
"""
KEEP_SUMMARY = f"""
    INSERT INTO summary (organisation, project, turn_id, model, items, text)
    SELECT %(organisation)s, %(project)s, %(id)s, %(model)s, %(items)s, %(text)s
    WHERE NOT EXISTS (
        SELECT 1 FROM unnest(%(covers)s::text[]) AS covered (id)
        WHERE NOT EXISTS (SELECT 1 FROM turn WHERE {_HERE} AND turn.id = covered.id AND NOT erased)
    ) AND (%(from_turn)s::text IS NULL OR EXISTS (
        SELECT 1 FROM summary WHERE {_HERE} AND turn_id = %(from_turn)s::text
            AND model = %(model)s AND items = %(from_items)s::integer
            AND text = %(from_text)s::text
    ))
    ON CONFLICT (organisation, project, turn_id, model)
        DO UPDATE SET items = excluded.items, text = excluded.text
    RETURNING 1
"""

CONVERSATION = f"SELECT * FROM conversation WHERE {_THIS}"
BEGIN_CONVERSATION = f"""
    INSERT INTO conversation
        (organisation, project, id, root_id, head, created_at_ms, person, metadata)
    SELECT %(organisation)s, %(project)s, %(id)s, %(root_id)s, %(head)s, %(created_at_ms)s,
        %(person)s, %(metadata)s
    WHERE NOT EXISTS (SELECT 1 FROM turn WHERE {_HERE} AND turn.id = %(root_id)s)
    ON CONFLICT DO NOTHING RETURNING 1
"""
SET_METADATA = f"UPDATE conversation SET metadata = %(metadata)s WHERE {_THIS} RETURNING *"
FORGET_CONVERSATION = f"DELETE FROM conversation WHERE {_THIS} RETURNING root_id"
# From a turn that was erased to the nearest one above it that was not.
LIFT_HEADS = f"""
    WITH RECURSIVE up (depth, id, parent_id, erased, root_id) AS (
        SELECT 0, id, parent_id, erased, root_id FROM turn WHERE {_THIS}
        UNION ALL
        SELECT depth + 1, turn.id, turn.parent_id, turn.erased, turn.root_id
        FROM up CROSS JOIN LATERAL (
            SELECT * FROM turn WHERE {_HERE} AND id = up.parent_id OFFSET 0
        ) AS turn
        WHERE up.erased
    )
    UPDATE conversation SET head = (SELECT id FROM up WHERE NOT erased ORDER BY depth OFFSET 0)
    WHERE {_HERE} AND head = %(id)s AND root_id = (SELECT root_id FROM up WHERE depth = 0)
"""
_OF_AGE = "(created_at_ms, id) {than} (%(created_at_ms)s, %(after)s)"
NEWEST = f"""
    SELECT * FROM conversation WHERE {_HERE} AND {_OF_AGE.format(than="<")}
    ORDER BY created_at_ms DESC, id DESC LIMIT %(limit)s
"""
OLDEST = f"""
    SELECT * FROM conversation WHERE {_HERE} AND {_OF_AGE.format(than=">")}
    ORDER BY created_at_ms, id LIMIT %(limit)s
"""
