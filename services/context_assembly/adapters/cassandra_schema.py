"""The tables of conversations in Cassandra.

Every partition starts with the tenant, but for the few rows that are about no tenant. What a
partition holds has a bound: a section's turns, a month's conversations, a sixteenth of a fact's
readers. A tree's list of sections alone grows, by some hundred bytes for 32 turns or a branch.
"""

_FIRST = """
    CREATE TABLE IF NOT EXISTS tree (
        organisation text, project text, root text,
        version bigint, record text,
        PRIMARY KEY ((organisation, project, root))
    );
    CREATE TABLE IF NOT EXISTS turn_place (
        organisation text, project text, id text,
        section text, position int,
        PRIMARY KEY ((organisation, project, id))
    );
    CREATE TABLE IF NOT EXISTS turn (
        organisation text, project text, root text, section text,
        position int, id text,
        parent_id text, chars bigint, section_chars bigint, conversation_id text, lineage text,
        settled boolean, made_at bigint, erasures_known int, compacts boolean, written_at bigint,
        created_at_ms bigint, person text, memory_ids text, input text, output text, document text,
        kept_model text, kept_inherited int, kept_ids blob, kept_fact_ids text,
        kept_erasures_known bigint,
        PRIMARY KEY ((organisation, project, root, section), position, id)
    ) WITH CLUSTERING ORDER BY (position DESC, id ASC);
    CREATE TABLE IF NOT EXISTS tree_section (
        organisation text, project text, root text,
        section text, lineage text,
        PRIMARY KEY ((organisation, project, root), section)
    );
    CREATE TABLE IF NOT EXISTS summary (
        organisation text, project text, root text, section text,
        model text, position int,
        turn_id text, erasures int, items int, body text,
        PRIMARY KEY ((organisation, project, root, section), model, position)
    ) WITH CLUSTERING ORDER BY (model ASC, position DESC);
    CREATE TABLE IF NOT EXISTS conversation_month (
        organisation text, project text,
        month int,
        PRIMARY KEY ((organisation, project), month)
    );
    CREATE TABLE IF NOT EXISTS conversation (
        organisation text, project text, month int,
        created_at_ms bigint, id text,
        PRIMARY KEY ((organisation, project, month), created_at_ms, id)
    );
    CREATE TABLE IF NOT EXISTS fact_reader (
        organisation text, project text, fact_id text, part int,
        turn_id text, known bigint,
        PRIMARY KEY ((organisation, project, fact_id, part), turn_id)
    );
    CREATE TABLE IF NOT EXISTS erased_fact (
        organisation text, project text, fact_id text,
        number bigint,
        PRIMARY KEY ((organisation, project, fact_id))
    );
    CREATE TABLE IF NOT EXISTS erasures_handled (
        whose text PRIMARY KEY, number bigint
    );
    CREATE TABLE IF NOT EXISTS debt (
        whose text,
        organisation text, project text, root text, name text,
        PRIMARY KEY ((whose), organisation, project, root, name)
    ) WITH gc_grace_seconds = 3600
"""

MIGRATIONS = (_FIRST,)
PART = "conversations"
