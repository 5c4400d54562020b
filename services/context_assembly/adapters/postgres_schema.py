"""The tables of conversations in PostgreSQL."""

from services.shared.postgres_schema import own_rows

SCHEMA = "chatmesh_context_assembly"
# Text is compared byte by byte, as in Python: COLLATE "C". Indexes beside the primary keys begin
# with what is looked up: a server that has not counted the rows yet takes one that begins with an
# organisation for as good as the key. Where one has to, the key is made after it, and then wins.
_TABLES = """
    CREATE TABLE turn (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        parent_id text COLLATE "C" NOT NULL,
        root_id text COLLATE "C" NOT NULL,
        conversation_id text COLLATE "C" NOT NULL,
        chars bigint NOT NULL, -- of the path from the root through this turn
        erased boolean NOT NULL DEFAULT false,
        below_erased integer NOT NULL, -- how often anything of it or of a turn above was erased
        compacts boolean NOT NULL, -- whether it holds a compaction item that the model reads
        created_at_ms bigint NOT NULL,
        person text NOT NULL,
        memory_ids text NOT NULL,
        input text NOT NULL,
        output text NOT NULL,
        document text NOT NULL,
        PRIMARY KEY (organisation, project, id)
    );
    CREATE INDEX turn_by_parent ON turn (parent_id, organisation, project);
    CREATE INDEX turn_by_root ON turn (root_id, organisation, project);
    CREATE TABLE summary (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        turn_id text COLLATE "C" NOT NULL,
        model text COLLATE "C" NOT NULL,
        items integer NOT NULL,
        text text NOT NULL,
        PRIMARY KEY (organisation, project, turn_id, model)
    );
    CREATE TABLE kept_ids (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        turn_id text COLLATE "C" NOT NULL,
        model text COLLATE "C" NOT NULL,
        inherited integer NOT NULL,
        fact_ids text NOT NULL,
        erasures_known bigint NOT NULL,
        ids bytea NOT NULL,
        PRIMARY KEY (organisation, project, turn_id)
    );
    -- The facts of kept_ids, to find all that have read one.
    CREATE TABLE fact_read (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        turn_id text COLLATE "C" NOT NULL,
        fact_id text COLLATE "C" NOT NULL,
        PRIMARY KEY (organisation, project, turn_id, fact_id)
    );
    CREATE INDEX fact_read_by_fact ON fact_read (fact_id, organisation, project);
    -- A turn that has read one of these before its erasure may be added only now.
    CREATE TABLE erased_fact (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        fact_id text COLLATE "C" NOT NULL,
        number bigint NOT NULL, -- of its last erasure
        PRIMARY KEY (organisation, project, fact_id)
    );
    CREATE TABLE erasures_handled (number bigint NOT NULL);
    INSERT INTO erasures_handled VALUES (0);
    CREATE TABLE conversation (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        root_id text COLLATE "C" NOT NULL,
        head text COLLATE "C" NOT NULL,
        created_at_ms bigint NOT NULL,
        person text NOT NULL,
        metadata text NOT NULL
    );
    CREATE INDEX conversation_by_age ON conversation (organisation, project, created_at_ms, id);
    ALTER TABLE conversation ADD PRIMARY KEY (organisation, project, id);
    CREATE INDEX conversation_by_root ON conversation (root_id, organisation, project);
"""
_OF_AN_ORGANISATION = (
    "turn",
    "summary",
    "kept_ids",
    "fact_read",
    "erased_fact",
    "conversation",
)
MIGRATIONS = ("".join([_TABLES, *map(own_rows, _OF_AN_ORGANISATION)]),)
