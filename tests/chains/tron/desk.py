"""A wallet of ours on the test network: what sends, what signs, and the intents of a test."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.chains.tron.network import TronNet
from tests.chains.tron.rows import NETWORK, coin, network
from tests.chains.tron.wallets import HeldKeys, Payer, deposit, hot

from bitlinkpay.chains.outgoing import Intent, Outcome, Payment, Purpose, Sent, Signed, Slot, Wallet
from bitlinkpay.chains.tron.chain import TronChain
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.chains.tron.sender import TronSender
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.tron import sign

HOT, ORDER, BOB = Payer.named("our hot wallet"), Payer.named("an order's address"), Payer.named("bob")
TRX = 10**6


@dataclass
class Desk:
    """The parts that carry a payment from intent to outcome."""

    net: TronNet
    chain: TronChain
    sender: TronSender
    keys: HeldKeys
    slots: int = 0

    def intent(
        self,
        asset: Asset,
        units: int,
        target: str = BOB.address,
        *,
        purpose: Purpose = Purpose.PAYOUT,
        payer: Wallet | None = None,
        fee_max_units: int = 100 * TRX,
    ) -> Intent:
        payer = payer or hot(HOT)
        return Intent(
            intent_id=uuid4(),
            network=NETWORK,
            purpose=purpose,
            payer=payer,
            payments=(Payment(payer, asset.id, target, "", units),),
            fee_max_units=fee_max_units,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )

    async def plan(self, intent: Intent) -> TronPlan:
        self.slots += 1
        return await self.sender.plan(intent, Slot(self.slots))

    async def sign(self, intent: Intent) -> tuple[TronPlan, Signed]:
        plan = await self.plan(intent)
        return plan, sign(intent, plan, self.keys)

    async def send(self, intent: Intent) -> tuple[TronPlan, Signed]:
        plan, signed = await self.sign(intent)
        assert (await self.sender.broadcast(signed)).sent is Sent.ACCEPTED
        return plan, signed

    async def carry(self, intent: Intent) -> Outcome:
        """Send and wait for the end."""
        plan, signed = await self.send(intent)
        await self.net.finalize()
        return await self.sender.outcome(intent, plan, signed)


def desk(net: TronNet, chain: TronChain, *assets: Asset) -> Desk:
    rows = {asset.id: asset for asset in (coin(), *assets)}
    payers = {payer.address: payer for payer in (HOT, ORDER)}
    return Desk(net, chain, TronSender(chain.access), HeldKeys(network(net.genesis), rows, payers))


__all__ = ["BOB", "HOT", "ORDER", "TRX", "Desk", "deposit", "desk", "hot"]
