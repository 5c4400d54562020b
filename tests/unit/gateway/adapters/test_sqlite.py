"""A store that release 0.1.0 wrote becomes one of this release.

`store_of_0_1_0.sqlite` was written by 0.1.0's own adapter: two accounts with a key each, the second
revoked, and four entries of usage.
"""

import shutil
import sqlite3
from pathlib import Path

import pytest

from services.gateway.adapters.sqlite import MIGRATIONS, open_sqlite_accounts
from services.gateway.ports import Account, AccountKind
from services.inference.api import Usage
from services.shared.schema import NewerSchema
from services.shared.sqlite import open_sqlite

OLD = Path(__file__).parent / "store_of_0_1_0.sqlite"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copy(OLD, tmp_path / "gateway.sqlite"))


async def test_accounts_keys_and_usage_are_there_afterwards(store: Path) -> None:
    async with open_sqlite_accounts(f"sqlite:{store}") as accounts:
        first, second = [await accounts.find_key(key) for key in ("key1", "key2")]
        assert first
        assert second
        assert first.account == Account("acct_1", "Ada", AccountKind.PERSONAL, "Be brief.")
        assert (first.fingerprint, first.revoked, second.revoked) == (b"print", False, True)
        assert await accounts.total("acct_1") == Usage(30, 15, 9, 3)
        assert await accounts.total("acct_2") == Usage(1, 0, 2, 0)


async def test_every_row_of_usage_belongs_to_a_project(store: Path) -> None:
    async with open_sqlite_accounts(f"sqlite:{store}"):
        pass
    with sqlite3.connect(store) as database:
        rows = database.execute("SELECT DISTINCT organisation, project, person FROM ledger")
        assert sorted(rows) == [("acct_1", "default", ""), ("acct_2", "default", "")]


async def test_0_1_0_refuses_it_afterwards(store: Path) -> None:
    async with open_sqlite_accounts(f"sqlite:{store}"):
        pass
    with pytest.raises(NewerSchema):
        async with open_sqlite(f"sqlite:{store}", MIGRATIONS[:1]):
            pass
