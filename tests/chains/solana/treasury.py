"""Our side of a payment in tests: keys of a seed, a hot wallet with money, the sender, and one step at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import uuid4

from tests.chains.solana.network import SolanaNetwork, coin

from bitlinkpay.chains.base import FateState
from bitlinkpay.chains.outgoing import Intent, KeyRole, Outcome, Payment, Purpose, Signed, Slot, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.chains.solana.chain import SolanaChain
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.solana.sender import SolanaSender
from bitlinkpay.core.assets import Asset
from bitlinkpay.signer.families.solana import sign
from bitlinkpay.signer.network_keys import NetworkKeys
from bitlinkpay.signer.vault import Vault

SEED = bytes(range(64))
VAULT = Vault.of(SEED)


def wallet(index: int, role: KeyRole = KeyRole.HOT) -> Wallet:
    return Wallet(role, index, VAULT.solana.address(index, role))


HOT = wallet(0)


@dataclass
class Treasury:
    network: SolanaNetwork
    chain: SolanaChain
    assets: tuple[Asset, ...]
    number: int = 0

    def __post_init__(self) -> None:
        self.sender = SolanaSender(self.chain, self.assets)
        row = self.chain.network
        registry = Registry(
            MappingProxyType({row.id: row}), MappingProxyType({a.id: a for a in self.assets}), MappingProxyType({})
        )
        self.keys = NetworkKeys(VAULT, registry, row)

    @classmethod
    async def on(cls, network: SolanaNetwork, chain: SolanaChain, *tokens: Asset, coins: int = 10**10) -> "Treasury":
        """Fund the hot wallet with coins and a million whole tokens, and make that final."""
        await network.fund(HOT.address, coin(), coins)
        for token in tokens:
            await network.fund(HOT.address, token, 10**12)
        await network.finalize()
        return cls(network, chain, (coin(), *tokens))

    def payout(self, asset: Asset, *payments: tuple[str, int], **changes: object) -> Intent:
        made = tuple(Payment(HOT, asset.id, target, "", units) for target, units in payments)
        return self.intent(Purpose.PAYOUT, made, **changes)

    def sweep(self, asset: Asset, *payments: tuple[Wallet, int], **changes: object) -> Intent:
        made = tuple(Payment(source, asset.id, HOT.address, "", units) for source, units in payments)
        return self.intent(Purpose.SWEEP, made, **changes)

    def intent(self, purpose: Purpose, payments: Sequence[Payment], **changes: object) -> Intent:
        intent = Intent(
            intent_id=uuid4(),
            network=self.chain.network.id,
            purpose=purpose,
            payer=HOT,
            payments=tuple(payments),
            fee_max_units=10**8,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        return replace(intent, **changes)

    async def prepare(self, intent: Intent) -> tuple[SolanaPlan, Signed]:
        """Plan and sign in the next slot of the lane."""
        self.number += 1
        plan = await self.sender.plan(intent, Slot(self.number))
        return plan, sign(intent, plan, self.keys)

    async def carry_out(self, intent: Intent) -> tuple[SolanaPlan, Signed, Outcome]:
        """Plan, sign, send, and wait until it is final."""
        plan, signed = await self.prepare(intent)
        await self.sender.broadcast(signed)
        await self.network.finalize()
        outcome = await self.sender.outcome(intent, plan, signed)
        assert outcome.state in {FateState.FINAL, FateState.FAILED}, outcome
        return plan, signed, outcome
