"""An authority shared by the tests of this folder: making RSA keys takes time."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tests.support.authority import ThriftyAuthority
from tests.support.sealing import SEALER

from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import service
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.model import Merchant, MerchantState
from bitlinkpay.merchants.service import Created

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ["pay.example", "10.1.2.3"]


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority") / "keys"


@pytest.fixture(scope="session")
def authority(authority_folder: Path) -> Authority:
    return ThriftyAuthority.open(authority_folder, HOSTS, now=NOW)


@pytest.fixture
async def created(database: Database, authority: Authority) -> Created:
    async with database.transaction() as tx:
        return await service.create(tx, authority, SEALER, "Tea House", now=NOW, callback_url="https://tea.example/cb")


@pytest.fixture
def some_merchant() -> Callable[..., Merchant]:
    def make(**terms: object) -> Merchant:
        fixed = {
            "merchant_id": UUID(int=7),
            "broker": "tea",
            "name": "Tea",
            "state": MerchantState.ACTIVE,
            "created_at": NOW,
        }
        return Merchant(**(fixed | terms))

    return make
