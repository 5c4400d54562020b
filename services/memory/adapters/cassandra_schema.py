"""The tables of facts in Cassandra.

A scope's facts are one partition: its size has a bound, since a person may have so many facts and
no more. All changes of it are lightweight transactions.
"""

_FIRST = """
    CREATE TABLE IF NOT EXISTS fact (
        organisation text, project text, person text,
        revision bigint STATIC, written text STATIC, erasing text STATIC,
        id text,
        body text, kind text, created_at_ms bigint, updated_at_ms bigint, vector blob,
        PRIMARY KEY ((organisation, project, person), id)
    );
    CREATE TABLE IF NOT EXISTS erasure_log (
        part bigint, number bigint,
        name text, organisation text, project text, person text, fact_ids text,
        PRIMARY KEY ((part), number)
    );
    CREATE TABLE IF NOT EXISTS erasure_log_end (
        whose text PRIMARY KEY, number bigint
    );
    CREATE TABLE IF NOT EXISTS unlogged_scope (
        whose text, organisation text, project text, person text, name text,
        PRIMARY KEY ((whose), organisation, project, person, name)
    ) WITH gc_grace_seconds = 3600
"""

MIGRATIONS = (_FIRST,)
PART = "facts"
