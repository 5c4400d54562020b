"""The tables of conversations in SQLite, and how those of older releases become them."""

from services.shared.schema import Breaking

_RELEASE_0_1_0 = """
    CREATE TABLE turn (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        root_id TEXT NOT NULL,
        chars INTEGER NOT NULL, -- of the path from the root through this turn
        erased INTEGER NOT NULL DEFAULT 0,
        created_at_ms INTEGER NOT NULL,
        person TEXT NOT NULL,
        memory_ids TEXT NOT NULL,
        input TEXT NOT NULL,
        output TEXT NOT NULL,
        document TEXT NOT NULL, -- last, since a path is read without it
        PRIMARY KEY (tenant, id)
    );
    CREATE INDEX turn_by_parent ON turn (tenant, parent_id);
    CREATE TABLE summary (
        tenant TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        model TEXT NOT NULL,
        items INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (tenant, turn_id, model)
    ) WITHOUT ROWID;
"""

# `->` takes a value over as it is written: extracted, a text would end at its first NUL.
_ITEM = """
    CASE value ->> '$[0]'
        WHEN 'text' THEN json_array('message', value -> '$[1]', value -> '$[2]',
            json_array(json_array('text', value -> '$[3]')))
        WHEN 'call' THEN json_array('call', value -> '$[1]', value -> '$[2]', value -> '$[3]',
            value -> '$[4]', iif(value ->> '$[5]', 'mesh', 'caller'), '', 'not_needed',
            iif(value ->> '$[5]',
                json_array(json_array(json_array('text', value -> '$[6]')), value -> '$[7]'), NULL),
            value -> '$[8]')
        WHEN 'result' THEN json_array('result', value -> '$[1]', value -> '$[2]',
            json_array(json_array('text', value -> '$[3]')))
        WHEN 'reasoning' THEN json_array('reasoning', value -> '$[1]', value -> '$[2]',
            json_array(), '')
    END
"""


def _items_of(column: str) -> str:
    """The items of a column of 0.1.0 as `records.py` writes them now; nothing of an erased turn."""
    return f"""
        CASE WHEN erased THEN '' ELSE (
            SELECT json_group_array(json(item)) FROM (
                SELECT {_ITEM} AS item FROM json_each({column}) ORDER BY key
            )
        ) END
    """  # noqa: S608


_RELEASE_0_2_0 = f"""
    ALTER TABLE turn RENAME TO turn_of_a_tenant;
    CREATE TABLE turn (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        root_id TEXT NOT NULL,
        chars INTEGER NOT NULL, -- of the path from the root through this turn
        erased INTEGER NOT NULL DEFAULT 0,
        below_erased INTEGER NOT NULL DEFAULT 0, -- it is erased, or a turn above it is
        created_at_ms INTEGER NOT NULL,
        person TEXT NOT NULL,
        memory_ids TEXT NOT NULL,
        input TEXT NOT NULL,
        output TEXT NOT NULL,
        document TEXT NOT NULL, -- last, since a path is read without it
        PRIMARY KEY (organisation, project, id)
    );
    INSERT INTO turn (organisation, project, id, parent_id, root_id, chars, erased, created_at_ms,
        person, memory_ids, input, output, document)
    SELECT tenant, 'default', id, parent_id, root_id, chars, erased, created_at_ms,
        person, memory_ids, {_items_of("input")}, {_items_of("output")}, document
    FROM turn_of_a_tenant ORDER BY rowid;
    DROP TABLE turn_of_a_tenant;
    CREATE INDEX turn_by_parent ON turn (organisation, project, parent_id);
    WITH RECURSIVE below (organisation, project, id) AS (
        SELECT organisation, project, id FROM turn WHERE erased
        UNION
        SELECT organisation, project, turn.id
        FROM below JOIN turn USING (organisation, project) WHERE turn.parent_id = below.id
    )
    UPDATE turn SET below_erased = 1 WHERE (organisation, project, id) IN below;

    ALTER TABLE summary RENAME TO summary_of_a_tenant;
    CREATE TABLE summary (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        model TEXT NOT NULL,
        items INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (organisation, project, turn_id, model)
    ) WITHOUT ROWID;
    INSERT INTO summary SELECT tenant, 'default', turn_id, model, items, text
    FROM summary_of_a_tenant;
    DROP TABLE summary_of_a_tenant;

    CREATE TABLE kept_ids (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        model TEXT NOT NULL,
        inherited INTEGER NOT NULL,
        fact_ids TEXT NOT NULL,
        erasures_known INTEGER NOT NULL,
        ids BLOB NOT NULL,
        PRIMARY KEY (organisation, project, turn_id)
    );
    -- The facts of kept_ids, to find all that have read one.
    CREATE TABLE fact_read (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        fact_id TEXT NOT NULL,
        PRIMARY KEY (organisation, project, turn_id, fact_id)
    ) WITHOUT ROWID;
    CREATE INDEX fact_read_by_fact ON fact_read (organisation, project, fact_id);
    -- A turn that has read one of these before its erasure may be added only now.
    CREATE TABLE erased_fact (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        fact_id TEXT NOT NULL,
        number INTEGER NOT NULL, -- of its last erasure
        PRIMARY KEY (organisation, project, fact_id)
    ) WITHOUT ROWID;
    CREATE TABLE erasures_handled (number INTEGER NOT NULL);
    INSERT INTO erasures_handled VALUES (0);
"""  # noqa: S608

# Only adds. In `below_erased`, which older releases read as yes or no, erasures are counted now.
_CONVERSATIONS = """
    ALTER TABLE turn ADD COLUMN conversation_id TEXT NOT NULL DEFAULT '';
    -- Whether it holds a compaction item that the model reads.
    ALTER TABLE turn ADD COLUMN compacts INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE conversation (
        organisation TEXT NOT NULL,
        project TEXT NOT NULL,
        id TEXT NOT NULL,
        root_id TEXT NOT NULL,
        head TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        person TEXT NOT NULL,
        metadata TEXT NOT NULL,
        PRIMARY KEY (organisation, project, id)
    );
    CREATE INDEX conversation_by_age ON conversation (organisation, project, created_at_ms, id);
    CREATE INDEX conversation_by_root ON conversation (organisation, project, root_id);
    CREATE INDEX turn_by_root ON turn (organisation, project, root_id);
"""

MIGRATIONS = (_RELEASE_0_1_0, Breaking(_RELEASE_0_2_0), _CONVERSATIONS)

# A turn's row with its kept ids, as `columns.py` reads it.
KEPT = """kept_ids.model AS kept_model, kept_ids.inherited AS kept_inherited,
        kept_ids.ids AS kept_ids, kept_ids.fact_ids AS kept_fact_ids,
        kept_ids.erasures_known AS kept_erasures_known"""
JOIN_KEPT = """LEFT JOIN kept_ids ON kept_ids.organisation = turn.organisation
        AND kept_ids.project = turn.project AND kept_ids.turn_id = turn.id"""
