"""A simulated node takes transactions of ours, or says why not, as a real one would; and forgets, mines and fails them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from tests.flows.harness import REGISTRY
from tests.sandbox.world import World, address_of
from tests.support.clock import ManualClock

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import (
    Broadcast,
    CannotPlan,
    FeeTooHigh,
    Intent,
    Lane,
    Payment,
    Purpose,
    Sent,
    Signed,
    Slot,
    Unspent,
)
from bitlinkpay.chains.simulated_format import FEES, read_txid
from bitlinkpay.chains.simulated_plan import SimulatedPlan, SimulatedTransaction, Witness, encode, txid
from bitlinkpay.chains.simulated_sender import PAYMENTS_MAX, Count, SimulatedSender
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.sandbox.mempool.store import Mempool, fail_waiting
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sandbox.model import Payment as Incoming
from bitlinkpay.signer.families import simulated
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault

SEED = bytes(range(64))
NETWORKS = ("ethereum", "tron", "ton", "solana", "bitcoin")
TOKENS = {"ethereum": "usdt-ethereum", "tron": "usdt-tron", "ton": "usdt-ton", "solana": "usdt-solana"}


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return derive_keyring(SEED)


@dataclass
class Node:
    """One simulated network with a funded wallet of ours and the keys to it."""

    world: World
    ring: KeyRing
    network_id: str
    vault: Vault = field(default_factory=lambda: Vault.of(SEED))

    def __post_init__(self) -> None:
        self.network = REGISTRY.networks[self.network_id]
        self.native = REGISTRY.native(self.network_id)
        self.asset = REGISTRY.assets[TOKENS.get(self.network_id, self.native.id)]
        self.payer = self.ring.hot_wallet(self.network)
        self.fee = FEES[self.network.family]
        self.target = address_of(self.network, 77)
        self.mempool = Mempool(self.world.database, REGISTRY)
        self.sender = SimulatedSender(self.world.chain(self.network_id), self.mempool)

    def intent(self, *units: int, asset: str = "", target: str | None = None) -> Intent:
        return Intent(
            intent_id=new_uuid7(),
            network=self.network_id,
            purpose=Purpose.PAYOUT,
            payer=self.payer,
            payments=tuple(
                Payment(self.payer, asset or self.asset.id, self.target if target is None else target, "", one)
                for one in units
            ),
            fee_max_units=100 * self.fee,
            expires_at=datetime(2026, 3, 1, tzinfo=UTC),
        )

    def sign(self, intent: Intent, number: int, fee: int = 0) -> Signed:
        plan = SimulatedPlan(number, fee or self.fee)
        return simulated.sign(intent, plan, NetworkKeys(self.vault, REGISTRY, self.network))

    async def send(self, number: int, fee: int = 0, units: int = 5) -> tuple[Signed, Broadcast]:
        signed = self.sign(self.intent(units), number, fee)
        return signed, await self.sender.broadcast(signed)

    async def fund(self, units: int = 1000, fees: int = 100) -> None:
        """Let somebody pay into the wallet: of the asset, and so many fees in the network's coin."""
        paid = [Incoming(self.native, self.payer.address, fees * self.fee)]
        if self.asset is not self.native:
            paid.append(Incoming(self.asset, self.payer.address, units))
        await self.world.pay(*paid)
        await self.finalize()

    async def finalize(self) -> None:
        await self.world.mine(self.network_id, self.network.sandbox_lag + 1)

    async def received(self) -> int:
        async with self.world.database.reader() as tx:
            found = await tx.fetchval(
                "select coalesce(sum(units), 0)::bigint from sim_transfers"
                " where target = $1 and height is not null and not has_failed",
                self.target,
            )
        return int(found)


async def start(database: Database, clock: ManualClock, ring: KeyRing, network_id: str = "ethereum") -> Node:
    node = Node(await World.start(database, clock), ring, network_id)
    await node.fund()
    return node


@pytest.fixture
async def node(database: Database, clock: ManualClock, ring: KeyRing) -> Node:
    return await start(database, clock, ring)


# --- what a node takes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network_id", NETWORKS)
async def test_a_signed_transaction_is_taken_mined_and_final(
    database: Database, clock: ManualClock, ring: KeyRing, network_id: str
) -> None:
    node = await start(database, clock, ring, network_id)
    intent = node.intent(5)
    plan = await node.sender.plan(intent, Slot(0))
    signed = simulated.sign(intent, plan, NetworkKeys(node.vault, REGISTRY, node.network))
    assert (await node.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert await node.sender.broadcast(signed) == Broadcast(Sent.ACCEPTED)
    waiting = await node.sender.outcome(intent, plan, signed)
    assert (waiting.state, waiting.block, waiting.fee_units, waiting.delivered) == (FateState.PENDING, None, 0, ())
    await node.world.mine(network_id, 1)
    if node.network.sandbox_lag:
        mined = await node.sender.outcome(intent, plan, signed)
        assert (mined.state, mined.fee_units, mined.delivered) == (FateState.MINED, node.fee, ())
    await node.finalize()
    final = await node.sender.outcome(intent, plan, signed)
    assert (final.state, final.txid, final.fee_units, final.delivered) == (
        FateState.FINAL,
        signed.txid,
        node.fee,
        (True,),
    )
    assert await node.received() == 5
    assert not await node.sender.is_dead(intent, plan, signed)


async def test_PAY_05_the_same_bytes_are_taken_again_and_pay_once(node: Node) -> None:
    signed, answer = await node.send(0)
    assert answer == Broadcast(Sent.ACCEPTED)
    assert await node.sender.broadcast(signed) == answer
    await node.finalize()
    assert await node.sender.broadcast(signed) == answer  # also after it is final
    assert await node.received() == 5


async def test_a_payer_counts_from_its_final_blocks_and_from_what_waits(node: Node) -> None:
    assert await node.sender.lane(node.payer) == Lane(0, 0, is_ready=True)
    await node.send(0)
    await node.send(1)
    assert await node.sender.lane(node.payer) == Lane(0, 2, is_ready=True)
    await node.world.mine(node.network_id, 1)
    assert await node.sender.lane(node.payer) == Lane(0, 2, is_ready=True)
    await node.finalize()
    assert await node.sender.lane(node.payer) == Lane(2, 2, is_ready=True)
    other = replace(node.payer, address=node.target)
    assert await node.sender.lane(other) == Lane(0, 0, is_ready=True)


async def test_a_transaction_pays_many_at_once_and_its_fee_once(node: Node) -> None:
    signed = node.sign(node.intent(1, 2, 3), 0)
    assert await node.sender.broadcast(signed) == Broadcast(Sent.ACCEPTED)
    await node.finalize()
    assert await node.received() == 6
    assert await node.mempool.fee(node.network, signed.txid) == (node.fee, False)


# --- what a node refuses ------------------------------------------------------------------------------------------------


async def test_PAY_07_a_number_ahead_of_its_turn_is_refused_until_it_is_due(node: Node) -> None:
    ahead, answer = await node.send(1)
    assert answer == Broadcast(Sent.REFUSED, "number 1 is ahead of 0")
    await node.send(0)
    assert await node.sender.broadcast(ahead) == Broadcast(Sent.ACCEPTED)


async def test_a_number_that_stands_in_a_block_is_used(node: Node) -> None:
    await node.send(0)
    await node.world.mine(node.network_id, 1)
    _, answer = await node.send(0, fee=10 * node.fee)
    assert answer == Broadcast(Sent.REFUSED, "number 0 was used")


@pytest.mark.parametrize("extra", [-1, 0])
async def test_PAY_08_a_replacement_must_pay_more(node: Node, extra: int) -> None:
    first, _ = await node.send(0, fee=2 * node.fee)
    _, answer = await node.send(0, fee=2 * node.fee + extra, units=6)
    assert answer == Broadcast(Sent.REFUSED, "replacement pays too little")
    await node.finalize()
    assert await node.received() == 5
    assert await node.mempool.holder(node.network, node.payer.address, 0, 1000) == first.txid


async def test_PAY_08_a_replacement_that_pays_more_is_the_only_one_mined(node: Node) -> None:
    first, _ = await node.send(0, fee=node.fee)
    second, answer = await node.send(0, fee=node.fee + 1, units=6)
    assert answer == Broadcast(Sent.ACCEPTED)
    assert await node.sender.broadcast(first) == Broadcast(Sent.REFUSED, "replacement pays too little")
    await node.finalize()
    assert await node.received() == 6
    assert await node.mempool.fee(node.network, second.txid) == (node.fee + 1, False)
    assert await node.sender.broadcast(first) == Broadcast(Sent.REFUSED, "number 0 was used")


async def test_a_wallet_cannot_pay_more_than_it_holds_what_waits_included(node: Node) -> None:
    _, answer = await node.send(0, units=1001)
    assert answer.sent is Sent.REFUSED
    assert answer.reason == f"{node.payer.address} holds 1000 of {node.asset.id}, 1001 are needed"
    assert (await node.send(0, units=600))[1] == Broadcast(Sent.ACCEPTED)
    _, answer = await node.send(1, units=401)
    assert answer.reason == f"{node.payer.address} holds 400 of {node.asset.id}, 401 are needed"
    assert (await node.send(1, units=400))[1] == Broadcast(Sent.ACCEPTED)


async def test_PAY_32_the_fee_must_be_there_in_the_networks_coin(node: Node) -> None:
    most = 100 * node.fee
    _, answer = await node.send(0, fee=most)
    assert answer == Broadcast(Sent.ACCEPTED)
    _, answer = await node.send(1)
    assert answer.reason == f"{node.payer.address} holds 0 of {node.native.id}, {node.fee} are needed"


async def test_a_payment_of_the_coin_itself_needs_amount_and_fee_together(node: Node) -> None:
    most = 99 * node.fee
    too_much = node.sign(node.intent(most + 1, asset=node.native.id), 0)
    answer = await node.sender.broadcast(too_much)
    assert answer.sent is Sent.REFUSED
    assert answer.reason.endswith(f"of {node.native.id}, {100 * node.fee + 1} are needed")
    assert await node.sender.broadcast(node.sign(node.intent(most, asset=node.native.id), 0)) == Broadcast(
        Sent.ACCEPTED
    )


async def test_what_comes_in_counts_only_from_a_block_on(database: Database, clock: ManualClock, ring: KeyRing) -> None:
    node = Node(await World.start(database, clock), ring, "ethereum")
    await node.world.pay(Incoming(node.native, node.payer.address, node.fee))
    signed = node.sign(node.intent(), 0)
    assert (await node.sender.broadcast(signed)).sent is Sent.REFUSED
    await node.world.mine("ethereum", 1)
    assert await node.sender.broadcast(signed) == Broadcast(Sent.ACCEPTED)


@pytest.mark.parametrize("network_id", NETWORKS)
async def test_bytes_that_the_key_did_not_sign_are_refused(
    database: Database, clock: ManualClock, ring: KeyRing, network_id: str
) -> None:
    node = Node(await World.start(database, clock), ring, network_id)
    intent, plan = node.intent(5), SimulatedPlan(0, node.fee)
    keys = NetworkKeys(node.vault, REGISTRY, node.network)
    other = simulated.sign(node.intent(6), plan, keys)
    assert (await node.sender.broadcast(replace(other, raw=other.raw[:-1]))).reason.startswith("not a simulated")
    good = simulated.sign(intent, plan, keys)
    spaced = good.raw.replace(b":", b": ", 1)
    assert (await node.sender.broadcast(replace(good, raw=spaced))).reason == "not in canonical form"
    for witnesses, told in (
        ((), "not signed by exactly the wallets whose money moves"),
        ((Witness(node.payer.address, b"\2" * 33, b"\1" * 64),), f"the signature of {node.payer.address} is wrong"),
        ((Witness(node.payer.address, b"", b""),), f"the signature of {node.payer.address} is wrong"),
    ):
        raw = encode(SimulatedTransaction(intent, plan, witnesses))
        answer = await node.sender.broadcast(Signed(txid(node.network.family, raw), raw))
        assert answer == Broadcast(Sent.REFUSED, told)
    assert await node.mempool.count(network_id, node.payer.address, 10**6) == Count(0, 0)


async def test_a_changed_amount_breaks_the_signature(node: Node) -> None:
    signed = node.sign(node.intent(5), 0)
    raw = signed.raw.replace(b'"units":5', b'"units":9')
    assert raw != signed.raw
    answer = await node.sender.broadcast(Signed(txid(node.network.family, raw), raw))
    assert answer == Broadcast(Sent.REFUSED, f"the signature of {node.payer.address} is wrong")


# --- what becomes of it -------------------------------------------------------------------------------------------------


async def test_NODE_11_what_was_dropped_is_unknown_and_taken_again(node: Node) -> None:
    signed, _ = await node.send(0)
    intent, plan = node.intent(5), SimulatedPlan(0, node.fee)
    assert await node.world.forget(node.network_id, signed.txid)
    assert (await node.sender.outcome(intent, plan, signed)).state is FateState.UNKNOWN
    assert not await node.sender.is_dead(intent, plan, signed)  # silence is no proof
    assert await node.sender.lane(node.payer) == Lane(0, 0, is_ready=True)
    await node.finalize()
    assert await node.received() == 0
    assert await node.sender.broadcast(signed) == Broadcast(Sent.ACCEPTED)
    await node.finalize()
    assert await node.received() == 5


@pytest.mark.parametrize(("fork", "known", "received"), [(Fork.DROP, 0, 0), (Fork.KEEP, 2, 10)])
async def test_no_block_of_a_fork_holds_a_number_without_the_one_before(
    node: Node, fork: Fork, known: int, received: int
) -> None:
    first, _ = await node.send(0)
    await node.world.mine(node.network_id, 1)
    second, _ = await node.send(1)
    await node.world.reorg(node.network_id, 1, fork)
    assert (await node.sender.lane(node.payer)).next_number == known
    assert await node.received() == received
    for signed in (first, second):  # who sends both again, in their order, loses nothing
        assert await node.sender.broadcast(signed) == Broadcast(Sent.ACCEPTED)
    await node.finalize()
    assert await node.received() == 10


async def test_PAY_11_what_fails_in_its_block_costs_its_fee_and_delivers_nothing(node: Node) -> None:
    intent, plan = node.intent(5, 6), SimulatedPlan(0, node.fee)
    signed = node.sign(intent, 0)
    await node.sender.broadcast(signed)
    digest = read_txid(node.network.family, signed.txid)
    assert digest is not None
    async with node.world.database.transaction() as tx:
        assert await fail_waiting(tx, node.network_id, digest)
    await node.finalize()
    outcome = await node.sender.outcome(intent, plan, signed)
    assert (outcome.state, outcome.fee_units, outcome.delivered) == (FateState.FAILED, node.fee, (False, False))
    assert await node.received() == 0
    async with node.world.database.transaction() as tx:
        assert not await fail_waiting(tx, node.network_id, digest)  # it does not wait any more
        assert not await fail_waiting(tx, node.network_id, sha256(b"nobody's").digest())
    assert (await node.send(1, units=1000))[1] == Broadcast(Sent.ACCEPTED)  # all of the money is still there


async def test_PAY_17_dead_is_what_another_transaction_of_the_number_proves_at_finality(node: Node) -> None:
    first, _ = await node.send(0)
    second, _ = await node.send(0, fee=2 * node.fee, units=6)
    intent, plan = node.intent(5), SimulatedPlan(0, node.fee)
    assert not await node.sender.is_dead(intent, plan, first)
    await node.world.mine(node.network_id, 1)
    assert not await node.sender.is_dead(intent, plan, first)  # its block may still leave the chain
    await node.finalize()
    assert await node.sender.is_dead(intent, plan, first)
    assert not await node.sender.is_dead(intent, plan, second)


async def test_nobody_knows_the_fee_of_a_transaction_that_never_was(node: Node) -> None:
    never = node.sign(node.intent(5), 3)
    assert await node.mempool.fee(node.network, never.txid) == (0, False)
    assert await node.mempool.holder(node.network, node.payer.address, 3, 10**6) == ""


# --- planning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network_id", NETWORKS)
async def test_a_plan_costs_the_familys_fee_and_a_quarter_more_at_each_bid(
    database: Database, ring: KeyRing, network_id: str
) -> None:
    node = Node(World(database, ManualClock(), REGISTRY, None, None), ring, network_id)  # type: ignore[arg-type]
    intent = node.intent(5)
    quote = await node.sender.quote(intent)
    assert (quote.units, quote.units_max) == (node.fee, 2 * node.fee)
    first = await node.sender.plan(intent, Slot(7))
    assert first == SimulatedPlan(7, node.fee)
    second = await node.sender.plan(intent, Slot(7), first)
    assert second == SimulatedPlan(7, node.fee * 125 // 100)
    exact = replace(intent, fee_max_units=second.fee_units)
    assert await node.sender.plan(exact, Slot(7), first) == second
    with pytest.raises(FeeTooHigh, match=f"asks for {second.fee_units} units, at most {second.fee_units - 1}"):
        await node.sender.plan(replace(intent, fee_max_units=second.fee_units - 1), Slot(7), first)
    with pytest.raises(CannotPlan, match="without a recipient"):
        await node.sender.plan(node.intent(5, target=""), Slot(7))
    assert node.sender.payments_max(node.asset, Purpose.PAYOUT) == PAYMENTS_MAX[node.network.family]
    assert node.sender.payments_max(node.asset, Purpose.GAS) == 1
    with pytest.raises(AssertionError, match="is not on"):
        node.sender.payments_max(REGISTRY.assets["usdt-bsc"], Purpose.PAYOUT)
    coin = Unspent("ab" * 32, 0, 5, node.payer)
    assert list(await node.sender.choose(intent, [coin])) == []
    assert list(node.sender.produced(first, Signed("", b""))) == []
