"""Outputs of ours: which deposits may be spent, in which order they lie, and to whom each belongs."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deposits.test_store import deposit
from tests.deposits.test_store import insert as arrive
from tests.sending.test_queue import HOT, sending
from tests.sending.test_stores import NETWORK, NOW, open_lane, queue, transaction

from bitlinkpay.chains.outgoing import KeyRole, Unspent, Wallet, numbers_taken
from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import Deposit, DepositState
from bitlinkpay.sending.outputs import store as outputs
from bitlinkpay.sending.transactions import store as transactions

BITCOIN = "bitcoin"
OURS, OTHER = Wallet(KeyRole.DEPOSIT, 7, "bc1-ours"), Wallet(KeyRole.DEPOSIT, 8, "bc1-other")
TXID = "ab" * 32
SPENDABLE = {DepositState.CREDITED, DepositState.UNASSIGNED, DepositState.REFUNDED, DepositState.CLAIMED}


def coin(number: int, units: int, owner: Wallet = OURS, *, vout: int = 0) -> Unspent:
    return Unspent(f"{number:064x}", vout, units, owner)


def arrived(number: int = 1, **more: object) -> Deposit:
    known = {"network": BITCOIN, "asset": "btc-bitcoin", "position": "vout:3", "target": OURS.address, "units": 5000}
    return deposit(number, **(known | {"state": DepositState.CREDITED} | more))


async def free(database: Database, *owners: Wallet) -> list[Unspent]:
    async with database.reader() as tx:
        return await outputs.list_free(tx, BITCOIN, [owner.address for owner in owners])


async def take_note(database: Database, *owners: Wallet) -> None:
    async with database.transaction() as tx:
        await outputs.add_deposited(tx, BITCOIN, owners, NOW)


@pytest.mark.parametrize("state", DepositState)
async def test_SWP_03_only_settled_money_is_spent_and_never_what_is_held_back(
    database: Database, state: DepositState
) -> None:
    await arrive(database, arrived(state=state))
    await take_note(database, OURS)
    assert await free(database, OURS) == ([coin(1, 5000, vout=3)] if state in SPENDABLE else [])


async def test_an_output_is_that_of_its_network_its_owner_and_its_place(database: Database) -> None:
    await arrive(
        database,
        arrived(1, position="vout:0"),
        arrived(2, position="vout:12", units=2**60),
        arrived(3, network="tron", asset="usdt-tron"),
        arrived(4, position="log:3"),
        arrived(5, target=OTHER.address),
        arrived(6, target="bc1-nobody"),
    )
    await take_note(database, OURS)
    assert await free(database, OURS, OTHER) == [coin(2, 2**60, vout=12), coin(1, 5000)]
    await take_note(database, OURS, OTHER)
    assert await free(database, OTHER) == [coin(5, 5000, OTHER, vout=3)]


async def test_what_is_spent_is_not_taken_note_of_again(database: Database) -> None:
    """The same deposits are looked at before every transaction: what one of them spent must not look free again."""
    await arrive(database, arrived())
    await take_note(database, OURS)
    (found,) = await free(database, OURS)
    await open_lane(database, uuid4())
    asked = sending(1)
    await queue(database, asked)
    made = transaction(asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await outputs.spend(tx, BITCOIN, made.transaction_id, [found])
    await take_note(database, OURS)
    assert await free(database, OURS) == []
    async with database.transaction() as tx:
        await outputs.add(tx, BITCOIN, [coin(1, 9999, OTHER, vout=3)], NOW)
        assert await outputs.list_spent(tx, [made.transaction_id]) == {made.transaction_id: [found]}
        await outputs.free(tx, made.transaction_id)
    assert await free(database, OURS) == [found], "what was known first stays as it is"


async def test_the_largest_lie_first_and_equal_ones_always_in_the_same_order(database: Database) -> None:
    lying = [coin(3, 10), coin(1, 10, vout=2), coin(1, 10, vout=1), coin(2, 10**17), coin(4, 9)]
    async with database.transaction() as tx:
        await outputs.add(tx, BITCOIN, lying, NOW)
        await outputs.add(tx, BITCOIN, [], NOW)
    assert await free(database, OURS) == [lying[3], lying[2], lying[1], lying[0], lying[4]]
    assert await free(database) == []


async def test_PAY_13_of_several_outputs_one_that_is_gone_leaves_the_others_unspent(database: Database) -> None:
    lying = [coin(n, 10) for n in range(3)]
    carried = [sending(n + 1) for n in range(2)]
    await open_lane(database, uuid4())
    await queue(database, *carried)
    first, second = (transaction(one, number=n) for n, one in enumerate(carried))
    async with database.transaction() as tx:
        await outputs.add(tx, BITCOIN, lying, NOW)
        for made in (first, second):
            await transactions.allot(tx, made, NOW)
        await outputs.spend(tx, BITCOIN, first.transaction_id, lying[1:2])
        await outputs.spend(tx, BITCOIN, second.transaction_id, [])
    for wanted in (lying, [coin(9, 10)], [Unspent(lying[0].txid, 1, 10, OURS)]):
        with pytest.raises(AssertionError, match="spent by another"):
            async with database.transaction() as tx:
                await outputs.spend(tx, BITCOIN, second.transaction_id, wanted)
    with pytest.raises(AssertionError, match="spent by another"):
        async with database.transaction() as tx:
            await outputs.spend(tx, NETWORK, second.transaction_id, lying[:1])
    assert await free(database, OURS) == [lying[0], lying[2]]
    async with database.transaction() as tx:
        await outputs.free(tx, second.transaction_id)
    assert await free(database, OURS) == [lying[0], lying[2]], "another's outputs are not given back"


async def test_PAY_05_a_bid_follows_the_newest_attempt_and_takes_its_own_bytes_only(database: Database) -> None:
    await open_lane(database, uuid4())
    asked = sending(1)
    await queue(database, asked)
    made = transaction(asked)
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await transactions.store_signed(tx, made, txid="t1", raw=b"one", wall=NOW)
        await transactions.note_sent(tx, made, made.latest, answer="accepted", wall=NOW)
        await transactions.add_attempt(tx, made, b'{"fee": 2}', NOW)
        bid = await transactions.find(tx, made.transaction_id)
        assert bid is not None
        assert [(a.number, a.txid, a.sent_at) for a in bid.attempts] == [(1, "t1", NOW), (2, "", None)]
        assert (bid.latest.plan, bid.latest.signed_at) == (b'{"fee": 2}', None)
        await transactions.store_signed(tx, bid, txid="t2", raw=b"two", wall=NOW + timedelta(minutes=1))
        both = await transactions.find(tx, made.transaction_id)
    assert both is not None
    assert [(a.txid, a.raw, a.signed_at) for a in both.attempts] == [
        ("t1", b"one", NOW),
        ("t2", b"two", NOW + timedelta(minutes=1)),
    ]


async def test_payments_stay_in_the_places_that_they_were_put_in(database: Database) -> None:
    """The verdicts of the chain come by place: another order would deliver one payment and fail its neighbour."""
    carried = [sending(n + 1, n % 3) for n in range(9)]
    await open_lane(database, uuid4())
    await queue(database, *carried)
    made = transaction(*carried[::-1])
    async with database.transaction() as tx:
        await transactions.allot(tx, made, NOW)
        await tx.execute("update sendings set transaction_id = $1, state = 'sending'", made.transaction_id)
        found = await transactions.find(tx, made.transaction_id)
    assert found is not None
    assert [s.sending_id for s in found.sendings] == [s.sending_id for s in made.sendings]


async def test_what_was_never_allotted_is_not_found(database: Database) -> None:
    async with database.reader() as tx:
        assert await transactions.find(tx, transaction(sending(1)).transaction_id) is None
        assert await transactions.list_open(tx, NETWORK, HOT.address, 5) == []


@given(st.sampled_from(list(Family)), st.sampled_from(["payout", "setup", "cancel"]))
def test_only_a_wallet_that_delegates_itself_uses_up_two_numbers(family: Family, purpose: str) -> None:
    from_purpose = type(sending(1).purpose)(purpose)
    assert numbers_taken(family, from_purpose) == (2 if (family, purpose) == (Family.EVM, "setup") else 1)
