"""The gateway's tables in PostgreSQL."""

from services.shared.postgres_schema import own_rows

SCHEMA = "chatmesh_gateway"
# Text is compared byte by byte, as in Python: COLLATE "C".
_TABLES = """
    CREATE TABLE account (
        id text COLLATE "C" PRIMARY KEY,
        name text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        instructions text NOT NULL,
        memory_write boolean NOT NULL
    );
    CREATE TABLE api_key (
        id text COLLATE "C" PRIMARY KEY,
        account_id text COLLATE "C" NOT NULL REFERENCES account (id),
        fingerprint bytea NOT NULL,
        created_at_ms bigint NOT NULL,
        revoked_at_ms bigint
    );
    CREATE INDEX api_key_of_account ON api_key (account_id);
    CREATE TABLE ledger (
        organisation text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        person text COLLATE "C" NOT NULL,
        response_id text COLLATE "C" NOT NULL,
        key_id text COLLATE "C" NOT NULL,
        model text COLLATE "C" NOT NULL,
        at_ms bigint NOT NULL,
        prompt_tokens bigint NOT NULL,
        cached_tokens bigint NOT NULL,
        completion_tokens bigint NOT NULL,
        reasoning_tokens bigint NOT NULL,
        PRIMARY KEY (organisation, response_id)
    );
    CREATE TABLE idempotency_key (
        organisation text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        response_id text COLLATE "C" NOT NULL,
        at_ms bigint NOT NULL,
        PRIMARY KEY (organisation, key)
    );
    CREATE INDEX idempotency_key_by_age ON idempotency_key (at_ms);
"""
MIGRATIONS = (
    "".join(
        [
            _TABLES,
            own_rows("account", "id"),
            own_rows("api_key", "account_id"),
            own_rows("ledger"),
            own_rows("idempotency_key"),
        ]
    ),
)
