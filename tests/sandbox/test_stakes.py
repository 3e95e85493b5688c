"""Stake on simulated TRON: lent within what there is, for nothing but its fee, and what it saves; forks take it back."""

from dataclasses import replace

import pytest
from tests.sandbox.test_mempool import REGISTRY, SEED, Node
from tests.sandbox.world import World, address_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.outgoing import Intent, Payment, Purpose, Sent, Signed, Wallet
from bitlinkpay.chains.simulated_format import FEES, read_txid
from bitlinkpay.chains.simulated_lending import COVERING_UNITS, LOAN_FEES, SimulatedLending, fee_of
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.core.assets import Family
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.mempool.store import fail_waiting
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sandbox.stakes import store
from bitlinkpay.sandbox.stakes.store import Stakes
from bitlinkpay.signer.families import simulated
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.network_keys import NetworkKeys

TRON, FEE, LOAN_FEE = "tron", FEES[Family.TRON], LOAN_FEES[Family.TRON]


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return derive_keyring(SEED)


class Lender(Node):
    """A wallet with coin and with stake for two loans, and an address that would borrow."""

    numbers = 0

    @property
    def lending(self) -> SimulatedLending:
        return SimulatedLending(self.world.chain(TRON), Stakes(self.world.database))

    @property
    def borrower(self) -> str:
        return address_of(self.network, 5)

    def loan(self, units: int, purpose: Purpose = Purpose.LEND, borrower: str = "") -> Intent:
        stake = Payment(self.payer, self.native.id, borrower or self.borrower, "", units)
        return replace(self.intent(1), purpose=purpose, payments=(stake,))

    async def carry(self, intent: Intent, fee: int | None = None) -> tuple[Signed, str]:
        """Broadcast an intent; return what was signed, and why a node would not take it."""
        fee = fee_of(self.network, intent.purpose, 0) if fee is None else fee
        keys = NetworkKeys(self.vault, REGISTRY, self.network)
        signed = simulated.sign(intent, SimulatedPlan(self.numbers, fee), keys)
        answer = await self.sender.broadcast(signed)
        self.numbers += answer.sent is Sent.ACCEPTED
        return signed, answer.reason

    async def lend(self, units: int, purpose: Purpose = Purpose.LEND) -> str:
        _, reason = await self.carry(self.loan(units, purpose))
        await self.world.mine(TRON, 1)
        return reason

    async def lent(self) -> int:
        return await self.lending.lent(self.payer, self.borrower)

    async def lendable(self) -> int:
        return await self.lending.lendable(self.payer)


@pytest.fixture
async def node(database: Database, clock: ManualClock, ring: KeyRing) -> Lender:
    lender = Lender(await World.start(database, clock), ring, TRON)
    await lender.fund()
    async with database.transaction() as tx:
        assert await store.add(tx, TRON, lender.payer.address, COVERING_UNITS) == COVERING_UNITS
        assert await store.add(tx, TRON, lender.payer.address, COVERING_UNITS) == 2 * COVERING_UNITS
    return lender


async def test_a_loan_moves_no_coin_and_costs_its_fee(node: Lender) -> None:
    chain, final = node.world.chain(TRON), node.network.sandbox_lag + 1
    signed, reason = await node.carry(node.loan(COVERING_UNITS))
    assert reason == ""
    assert (await node.lendable(), await node.lent()) == (COVERING_UNITS, 0), "promised, and in no block"
    await node.world.mine(TRON, 1)
    assert await node.lent() == 0, "in a block that is not final"
    await node.world.mine(TRON, final)
    assert await node.lent() == COVERING_UNITS
    outcome = await node.sender.outcome(node.loan(COVERING_UNITS), SimulatedPlan(0, LOAN_FEE), signed)
    assert (outcome.fee_units, outcome.delivered) == (LOAN_FEE, (True,))
    height = (await chain.head()).final.height
    assert await chain.balances(node.native, [node.payer.address, node.borrower], height) == [100 * FEE - LOAN_FEE, 0]


async def test_nobody_lends_what_he_has_not_or_takes_back_what_is_not_out(node: Lender) -> None:
    assert await node.lend(2 * COVERING_UNITS + 1) == (
        f"{node.payer.address} can lend {2 * COVERING_UNITS}, not {2 * COVERING_UNITS + 1}"
    )
    assert await node.lend(COVERING_UNITS) == ""
    assert "can lend" in await node.lend(COVERING_UNITS + 1)
    assert "has lent" in await node.lend(COVERING_UNITS + 1, Purpose.RECALL)
    _, reason = await node.carry(node.loan(1, Purpose.RECALL, address_of(node.network, 6)))
    assert "has lent" in reason, "to another"
    assert await node.lend(COVERING_UNITS, Purpose.RECALL) == ""
    assert await node.lendable() == 2 * COVERING_UNITS


async def test_stake_that_comes_back_can_be_lent_again_once_that_is_in_a_block(node: Lender) -> None:
    await node.lend(2 * COVERING_UNITS)
    await node.carry(node.loan(2 * COVERING_UNITS, Purpose.RECALL))
    assert await node.lendable() == 0
    await node.world.mine(TRON, 1)
    assert await node.lendable() == 2 * COVERING_UNITS


async def test_who_has_been_lent_enough_pays_nothing_and_nobody_else_does(node: Lender) -> None:
    payment = node.intent(5)
    assert (await node.sender.quote(payment)).units == FEE
    _, reason = await node.carry(payment, fee=0)
    assert reason == f"{node.payer.address} pays no fee and has been lent too little"
    async with node.world.database.transaction() as tx:
        await store.note(
            tx, replace(node.loan(COVERING_UNITS - 1), payments=_to_self(node, COVERING_UNITS - 1)), _txid(1)
        )
    await mine_loan(node, 1)
    assert (await node.sender.quote(payment)).units == FEE, "one unit short"
    async with node.world.database.transaction() as tx:
        await store.note(tx, replace(node.loan(1), payments=_to_self(node, 1)), _txid(2))
    await mine_loan(node, 2)
    assert (await node.sender.quote(payment)).units == 0
    _, reason = await node.carry(payment, fee=0)
    assert reason == ""


def _txid(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _to_self(node: Lender, units: int) -> tuple[Payment, ...]:
    lender = Wallet(node.payer.role, 9, address_of(node.network, 9))
    return (Payment(lender, node.native.id, node.payer.address, "", units),)


async def mine_loan(node: Lender, number: int) -> None:
    """Put the transaction of somebody else's loan into a block."""
    async with node.world.database.transaction() as tx:
        await tx.execute(
            """
            insert into sim_transfers (network, txid, ordinal, asset, source, target, tag, units, fee_units, arrival,
                has_failed, broadcast_at) values ('tron', $1, 0, 'trx-tron', 'x', 'x', '', 0, 0, 'direct', false, now())
            """,
            _txid(number),
        )
    await node.world.mine(TRON, 1)


@pytest.mark.parametrize("fork", Fork)
async def test_a_fork_takes_a_loan_back_or_brings_it_again(node: Lender, fork: Fork) -> None:
    await node.lend(COVERING_UNITS)
    async with node.world.database.transaction() as tx:
        await node.world.sandbox.reorg(tx, TRON, 1, fork, node.world.clock.now())
    await node.finalize()
    assert await node.lent() == (COVERING_UNITS if fork is Fork.KEEP else 0)
    assert await node.lendable() == (COVERING_UNITS if fork is Fork.KEEP else 2 * COVERING_UNITS)


async def test_a_loan_that_failed_in_its_block_was_never_made(node: Lender) -> None:
    signed, _ = await node.carry(node.loan(COVERING_UNITS))
    digest = read_txid(Family.TRON, signed.txid)
    assert digest
    async with node.world.database.transaction() as tx:
        assert await fail_waiting(tx, TRON, digest)
    await node.finalize()
    assert (await node.lent(), await node.lendable()) == (0, 2 * COVERING_UNITS)


async def test_the_offer_is_what_is_lacking_and_covers_a_whole_fee(node: Lender) -> None:
    address = Wallet(node.payer.role, 5, node.borrower)
    sweep = replace(node.intent(5), purpose=Purpose.SWEEP, payer=address)
    offer = await node.lending.loan(sweep, node.payer)
    assert (offer.stake_units, offer.own.units, offer.opens) == (COVERING_UNITS, 0, False)
    assert offer.covered_units >= FEE
    assert offer.lend.units + offer.recall.units < FEE
    await node.lend(COVERING_UNITS - 7)
    assert (await node.lending.loan(sweep, node.payer)).stake_units == 7


@pytest.mark.parametrize("network_id", ["ethereum", "ton", "solana", "bitcoin"])
def test_nothing_is_lent_elsewhere(network_id: str) -> None:
    network = REGISTRY.networks[network_id]
    assert fee_of(network, Purpose.PAYOUT, 10**30) == FEES[network.family]
    assert network.family not in LOAN_FEES
