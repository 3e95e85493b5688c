"""Who sends on the test network: the shipped sender and signing, with the steps of a lane between them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from tests.chains.evm.network import EvmNetwork
from tests.chains.evm.ours import ETHER, HOT, intent, keys

from bitlinkpay.chains.evm.access import EvmOptions
from bitlinkpay.chains.evm.chain import EvmChain
from bitlinkpay.chains.evm.plan import EvmPlan
from bitlinkpay.chains.evm.planning import SenderOptions
from bitlinkpay.chains.evm.sender import EvmSender
from bitlinkpay.chains.outgoing import Broadcast, Intent, Outcome, Purpose, Sent, Signed, Slot
from bitlinkpay.chains.transport import Endpoint
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.evm import sign


@dataclass(frozen=True)
class Attempt:
    """One signed version of a transaction."""

    intent: Intent
    plan: EvmPlan
    signed: Signed


class Desk:
    """Sends for the hot wallet. `number` is the next number of its lane."""

    def __init__(self, net: EvmNetwork, chain: EvmChain, sender: EvmSender, assets: Sequence[Asset]) -> None:
        self.net = net
        self.chain = chain
        self.sender = sender
        self.keys = keys(*assets, on=net.network)
        self.number = 0

    @classmethod
    @asynccontextmanager
    async def on(
        cls,
        net: EvmNetwork,
        *,
        urls: Sequence[str] = (),
        quorum: int = 1,
        assets: Sequence[Asset] = (),
        options: SenderOptions | None = None,
    ) -> AsyncIterator[Self]:
        """Open a desk on a network, over other endpoints than its own if given."""
        endpoints = [Endpoint(url, timeout=timedelta(seconds=60)) for url in urls or net.urls]
        listed = [*net.assets, *assets]
        patient = EvmOptions(patience=timedelta(seconds=60))
        chain = EvmChain(net.network, listed, endpoints, quorum=quorum, options=patient)
        try:
            yield cls(net, chain, EvmSender(chain.access, options), listed)
        finally:
            await chain.aclose()

    async def fund(self, *, dollars: int = 10**12) -> None:
        """Give the hot wallet coin for fees and tokens to pay."""
        await self.net.fund(HOT.address, self.net.native, 100 * ETHER)
        await self.net.fund(HOT.address, self.net.usdt, dollars)

    async def set_up(self) -> Attempt:
        """Fund the wallet and let it delegate, up to the final block."""
        await self.fund()
        attempt = await self.send(intent(Purpose.SETUP))
        self.number += 1  # the authorization takes one, too
        await self.settle()
        return attempt

    async def prepare(self, wanted: Intent, *, previous: Attempt | None = None, number: int | None = None) -> Attempt:
        """Plan and sign, as a replacement of `previous` if given."""
        at = previous.plan.nonce if previous else self.number if number is None else number
        plan = await self.sender.plan(wanted, Slot(at), previous.plan if previous else None)
        return Attempt(wanted, plan, sign(wanted, plan, self.keys))

    async def send(self, wanted: Intent) -> Attempt:
        """Plan, sign and broadcast the next transaction of the lane."""
        attempt = await self.prepare(wanted)
        self.number += 1
        assert (await self.broadcast(attempt)).sent is Sent.ACCEPTED
        return attempt

    async def broadcast(self, attempt: Attempt) -> Broadcast:
        return await self.sender.broadcast(attempt.signed)

    async def settle(self) -> None:
        """Mine what waits and make it final."""
        await self.net.mine()
        await self.net.finalize()

    async def outcome(self, attempt: Attempt) -> Outcome:
        return await self.sender.outcome(attempt.intent, attempt.plan, attempt.signed)

    async def is_dead(self, attempt: Attempt) -> bool:
        return await self.sender.is_dead(attempt.intent, attempt.plan, attempt.signed)

    async def gas_used(self, attempt: Attempt) -> int:
        receipt = await self.net.node.rpc("eth_getTransactionReceipt", attempt.signed.txid)
        return int(receipt["gasUsed"], 16)
