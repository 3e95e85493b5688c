"""Paying, mining, reorganising and moving the clock: what makes simulated networks move.

Nothing here knows of orders: who composes "pay this order short" looks the order up and names asset, address and units.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import Arrival, BlockRef
from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.simulated import SKIP_CYCLE, Run, height_after, height_before
from bitlinkpay.chains.simulated_format import FEES, address_from, read_txid, spell_block, spell_txid
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.errors import Conflict, Invalid
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.db.pool import Tx
from bitlinkpay.sandbox import store
from bitlinkpay.sandbox.mempool.store import drop_stranded
from bitlinkpay.sandbox.model import Fork, Payment

_GENESIS_BLOCKS = 64  # a new network begins with these, so that it has a final block at once
_PAYMENTS_MAX = 5_000
_BLOCKS_MAX = 1_000
_DEPTH_MAX = 500
_TAG_CHARACTERS_MAX = 500
_ADVANCE_MAX = timedelta(days=3660)


class NetworkNotStarted(Conflict):
    """The simulated network has no blocks yet: the sandbox prepares it when it starts."""

    code = "network.not_started"


class Sandbox:
    """The simulated networks of one registry. Methods work inside the caller's transaction."""

    def __init__(self, registry: Registry) -> None:
        self._networks: Mapping[str, Network] = registry.networks

    async def prepare(self, tx: Tx, now: datetime) -> list[str]:
        """Start every network that has no blocks yet; return their ids."""
        cycles = {network.id: _cycle(network) for network in self._networks.values()}
        added = await store.add_networks(tx, cycles)
        for network_id in added:
            last = height_after(1, _GENESIS_BLOCKS - 1, cycles[network_id])
            await store.add_run(tx, network_id, _run(1, last, os.urandom(32), now))
        return added

    async def pay(self, tx: Tx, payments: Sequence[Payment], now: datetime) -> list[str]:
        """Broadcast one transaction per payment; return their ids. They wait in the mempool until a block is mined.

        Args:
            tx: the caller's transaction.
            payments: at most 5,000, all on one network.
            now: business time.

        Raises:
            Invalid: a payment that the network could not carry.
        """
        network = self._network_of(payments)
        digests = [os.urandom(32) for _ in payments]
        rows = [_row(network, payment, digest, 0) for payment, digest in zip(payments, digests, strict=True)]
        await store.add_transfers(tx, network.id, rows, now)
        return [spell_txid(network.family, digest) for digest in digests]

    async def pay_together(self, tx: Tx, payments: Sequence[Payment], now: datetime) -> str:
        """Broadcast one transaction with several transfers from one payer; return its id.

        Raises:
            Invalid: as for `pay`; or two native transfers in a transaction that can carry but one.
        """
        network = self._network_of(payments)
        natives = [p for p in payments if p.asset.is_native and p.arrival is Arrival.DIRECT]
        if len(natives) > 1 and network.family in {Family.EVM, Family.TRON}:
            raise Invalid(f"a transaction on {network.title} carries one direct {natives[0].asset.symbol} transfer")
        if len({payment.has_failed for payment in payments}) > 1:
            raise Invalid("a transaction fails as a whole")
        digest = os.urandom(32)
        source = payments[0].source or _payer(network, digest)
        rows = [_row(network, payment, digest, ordinal, source) for ordinal, payment in enumerate(payments)]
        await store.add_transfers(tx, network.id, rows, now)
        return spell_txid(network.family, digest)

    async def forget(self, tx: Tx, network_id: str, txid: str) -> bool:
        """Drop a transaction out of the mempool, as after a replacement; say whether it waited there.

        Raises:
            Invalid: no such network.
        """
        network = self._network(network_id)
        digest = read_txid(network.family, txid)
        return digest is not None and await store.drop_waiting(tx, network.id, digest)

    async def mine(self, tx: Tx, network_id: str, blocks: int, now: datetime) -> BlockRef:
        """Add blocks, the first of them with all that waits in the mempool; return the newest.

        Raises:
            Invalid: no such network, or not 1 to 1,000 blocks.
            NetworkNotStarted: `prepare` has not seen this network.
        """
        network = self._network(network_id)
        if not 1 <= blocks <= _BLOCKS_MAX:
            raise Invalid(f"mine 1 to {_BLOCKS_MAX} blocks at once", param="blocks")
        head = await self._lock(tx, network)
        first = height_after(head.last, 1, _cycle(network))
        last = height_after(head.last, blocks, _cycle(network))
        run = _run(first, last, head.digest(head.last), max(now, head.time(head.last)))
        await store.add_full_run(tx, network.id, run)
        return _newest(network, run)

    async def reorg(self, tx: Tx, network_id: str, depth: int, fork: Fork, now: datetime) -> BlockRef:
        """Replace the newest `depth` blocks by `depth + 1` others; return the newest. Deeper than final is allowed.

        With `Fork.KEEP` the transactions of the old blocks return in the second of the new ones. With `Fork.DROP` what
        waited behind one of them, by its payer's numbers, is gone with it.

        Raises:
            Invalid: no such network, or a depth outside of 1 to 500 or beyond the first block.
            NetworkNotStarted: `prepare` has not seen this network.
        """
        network = self._network(network_id)
        cycle = _cycle(network)
        head = await self._lock(tx, network)
        root_height = height_before(head.last, depth, cycle) if 1 <= depth <= _DEPTH_MAX else 0
        root = await store.find_run_at(tx, network.id, root_height)
        if root is None:
            raise Invalid(f"a reorganisation replaces 1 to {_DEPTH_MAX} blocks, never the first one", param="depth")
        cut = store.cut_to_mempool if fork is Fork.KEEP else store.cut_and_forget
        await cut(tx, network.id, root_height)
        await drop_stranded(tx, network.id)
        at = max(now, head.time(head.last))
        first = height_after(root_height, 1, cycle)
        branch = _run(first, first, root.digest(root_height), at)
        await store.add_run(tx, network.id, branch)
        second = height_after(first, 1, cycle)
        rest = _run(second, height_after(first, depth, cycle), branch.digest(first), at)
        await store.add_full_run(tx, network.id, rest)
        return _newest(network, rest)

    async def _lock(self, tx: Tx, network: Network) -> Run:
        await store.lock_network(tx, network.id)
        head = await store.find_newest_run(tx, network.id)
        if head is None:
            raise NetworkNotStarted(f"the simulated network {network.id} was never started", param="network")
        return head

    def _network(self, network_id: str) -> Network:
        network = self._networks.get(network_id)
        if network is None:
            raise Invalid(f"no network {network_id[:40]!r}; known are {', '.join(self._networks)}", param="network")
        return network

    def _network_of(self, payments: Sequence[Payment]) -> Network:
        if not 1 <= len(payments) <= _PAYMENTS_MAX:
            raise Invalid(f"pay 1 to {_PAYMENTS_MAX} times at once", param="payments")
        if len({payment.asset.network for payment in payments}) > 1:
            raise Invalid("payments on several networks are several calls", param="payments")
        return self._network(payments[0].asset.network)


async def mine_due(tx: Tx, now: datetime, interval: timedelta) -> list[str]:
    """Mine one block on each network whose newest block is `interval` old; return their ids.

    Made for a loop that calls it a few times per interval: two statements for all networks, one of them a cheap read
    while nothing is due. Quiet networks add no rows. Many processes may call it: each block is mined once.
    """
    due = await store.lock_due(tx, now, interval)
    return await store.mine_next(tx, due, now, interval) if due else []


async def advance(tx: Tx, by: timedelta) -> timedelta:
    """Move business time forward for all processes; return how far it is ahead of wall time.

    Raises:
        Invalid: backwards, or more than ten years.
    """
    if not timedelta(0) < by <= _ADVANCE_MAX:
        raise Invalid("the clock moves forward only, by at most ten years", param="by")
    return await store.add_offset(tx, by)


def _cycle(network: Network) -> int:
    return SKIP_CYCLE.get(network.family, 0)


def _run(first: int, last: int, parent: bytes, start: datetime) -> Run:
    return Run(first, last, seed=os.urandom(32), parent=parent, start=start, step=timedelta(0), transfers=0)


def _newest(network: Network, run: Run) -> BlockRef:
    return BlockRef(run.last, spell_block(network.family, run.digest(run.last), run.last), run.time(run.last))


def _payer(network: Network, digest: bytes) -> str:
    return address_from(network, sha256(b"payer" + digest).digest())


def _row(network: Network, payment: Payment, digest: bytes, ordinal: int, source: str = "") -> store.NewTransfer:
    _check(network, payment)
    paying = source or payment.source or _payer(network, digest)
    return store.NewTransfer(
        txid=digest,
        ordinal=ordinal,
        asset=payment.asset.id,
        source="" if payment.arrival is Arrival.SYSTEM else paying,
        target=payment.target,
        tag=payment.tag,
        units=payment.units,
        fee_units=FEES[network.family] if ordinal == 0 and payment.arrival is not Arrival.SYSTEM else 0,
        arrival=payment.arrival,
        has_failed=payment.has_failed,
    )


def _check(network: Network, payment: Payment) -> None:
    for param, address in (("target", payment.target), ("source", payment.source)):
        if (address or param == "target") and parse_address(network, address) != address:
            raise Invalid(f"write the {param} in its canonical form", param=param)
    if not 0 < payment.units <= MAX_UNITS:
        raise Invalid("the amount must be more than nothing and less than 10^78 base units", param="units")
    if len(payment.tag) > _TAG_CHARACTERS_MAX or "\0" in payment.tag:
        raise Invalid(f"a tag has at most {_TAG_CHARACTERS_MAX} characters, none of them NUL", param="tag")
    if payment.tag and network.family is not Family.TON:
        raise Invalid(f"payments on {network.title} carry no tag", param="tag")
    if payment.arrival is not Arrival.DIRECT and not payment.asset.is_native:
        raise Invalid("only a native coin moves inside a contract call or by the system", param="arrival")
