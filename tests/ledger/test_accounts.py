"""Names of accounts: each is of the one kind that the chart in the database means, and no two items share one."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.outgoing import KeyRole, Wallet
from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.sending.service import custody
from bitlinkpay.signer.keys import derive_keyring

ONE, TWO = UUID(int=1), UUID(int=2)
NAMES = {
    accounts.COLD: "custody:cold",
    accounts.EQUITY: "equity",
    accounts.FEES_PAYIN: "fees:payin",
    accounts.FEES_PAYOUT: "fees:payout",
    accounts.FEES_SETTLEMENT: "fees:settlement",
    accounts.FEES_NETWORK: "fees:network",
    accounts.GAS: "expense:gas",
    accounts.available(ONE): "merchant:available",
    accounts.pending(ONE, TWO): "merchant:pending",
    accounts.unassigned(ONE, TWO): "merchant:unassigned",
    accounts.quarantined(ONE, TWO): "merchant:quarantined",
    accounts.reserved(ONE, TWO): "merchant:reserved",
    accounts.debt(ONE): "merchant:debt",
    accounts.in_transit(ONE): "custody:in_transit",
    accounts.platform_pending(ONE): "platform:pending",
    accounts.unattributed(ONE): "platform:unattributed",
}
PER_ITEM: tuple[Callable[[UUID, UUID], str], ...] = (
    accounts.pending,
    accounts.unassigned,
    accounts.quarantined,
    accounts.reserved,
)


async def kinds_of(database: Database, name: str) -> list[str]:
    """Return every kind whose shape a name has."""
    async with database.reader() as tx:
        rows = await tx.fetch("select kind from ledger_kinds where $1 ~ shape order by kind", name)
    return [row["kind"] for row in rows]


async def test_every_name_is_of_exactly_the_kind_that_it_says(database: Database) -> None:
    for name, kind in NAMES.items():
        assert await kinds_of(database, name) == [kind], name


async def test_the_address_of_every_network_fits_into_a_custody_account(database: Database) -> None:
    ring = derive_keyring(bytes(range(64)))
    for network in REGISTRY.networks.values():
        address = ring.hot_wallet(network).address
        assert await kinds_of(database, accounts.hot_custody(address)) == ["custody:hot"], network.id
        assert await kinds_of(database, accounts.deposit_custody(address)) == ["custody:deposits"], network.id


@given(st.uuids(), st.uuids(), st.uuids())
def test_items_and_merchants_never_share_an_account(merchant: UUID, item: UUID, other: UUID) -> None:
    names = {make(owner, one) for make in PER_ITEM for owner in {merchant, other} for one in {item, other}}
    assert len(names) == len(PER_ITEM) * len({merchant, other}) * len({item, other})
    for name in names:
        assert name == name.lower()
        assert " " not in name


@pytest.mark.parametrize("family", list(Family))
def test_money_stands_where_the_wallets_role_says_and_on_ton_always_at_the_one_wallet(family: Family) -> None:
    network = next(network for network in REGISTRY.networks.values() if network.family is family)
    hot, deposit = Wallet(KeyRole.HOT, 0, "address"), Wallet(KeyRole.DEPOSIT, 3, "address")
    assert custody(network, deposit) == "custody:deposits:address"
    assert custody(network, hot) == ("custody:deposits:address" if family is Family.TON else "custody:hot:address")
