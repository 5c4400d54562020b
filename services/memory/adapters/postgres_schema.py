"""Memory's tables in PostgreSQL."""

from services.shared.postgres_schema import own_rows

SCHEMA = "chatmesh_memory"
_TABLES = """
    -- Of writes; no scope gets a number twice.
    CREATE SEQUENCE revision;
    CREATE TABLE scope (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        person text COLLATE "C" NOT NULL,
        revision bigint NOT NULL,
        PRIMARY KEY (organisation, project, person)
    );
    CREATE TABLE fact (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        person text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        text text NOT NULL,
        kind text NOT NULL,
        created_at_ms bigint NOT NULL,
        updated_at_ms bigint NOT NULL,
        PRIMARY KEY (organisation, project, person, id)
    );
    -- Half as wide as four bytes a number; scores differ by less than a thousandth. Bytes hold the
    -- same where pgvector is not installed in the database.
    DO $$
    DECLARE pgvector text;
    BEGIN
        SELECT quote_ident(nspname) INTO pgvector
        FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
        WHERE typname = 'halfvec';
        EXECUTE format('ALTER TABLE fact ADD COLUMN vector %s NOT NULL',
            coalesce(pgvector || '.halfvec', 'bytea'));
    END $$;
    CREATE TABLE erasure_log (
        number bigint PRIMARY KEY,
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        person text COLLATE "C" NOT NULL,
        fact_ids text NOT NULL -- a JSON list
    );
    -- One row that all erasures lock in turn: their numbers ascend in the order of their commits,
    -- which those of a sequence do not.
    CREATE TABLE erasures (number bigint NOT NULL);
    INSERT INTO erasures VALUES (0);
"""
MIGRATIONS = (
    "".join(
        [
            _TABLES,
            own_rows("scope"),
            own_rows("fact"),
            own_rows("erasure_log"),
        ]
    ),
)
