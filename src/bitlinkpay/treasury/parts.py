"""What the treasury of one network is made of."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from bitlinkpay.chains.outgoing import FeeQuote, Intent, Lane, Lending, Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.service import custody

Prices = Callable[[str, str], Awaitable[Decimal]]
"""The price of one coin in another, both by symbol; raises `Problem` where there is none."""
_INTENT_LIFE = timedelta(hours=1)


class Pricing(Protocol):
    """What the treasury asks a network's `chains.outgoing.Sender`: how, and for how much."""

    def payments_max(self, asset: Asset, purpose: Purpose) -> int:
        """See `chains.outgoing.Sender`."""
        ...

    async def lane(self, payer: Wallet) -> Lane:
        """See `chains.outgoing.Sender`."""
        ...

    async def quote(self, intent: Intent) -> FeeQuote:
        """See `chains.outgoing.Sender`."""
        ...


@dataclass(frozen=True, slots=True)
class TreasuryParts:
    """What the treasury of one network is made of. `clock` is business time, `wall` is not.

    Attributes:
        sender: the network's prices.
        prices: what native coin is worth in other assets.
        holds: why assets are on hold, by id: their money is not touched.
        hot: the wallet that collects, pays and lends.
        lending: how its stake is lent, None where there is no such thing.
    """

    database: Database
    registry: Registry
    network: Network
    sender: Pricing
    prices: Prices
    holds: Callable[[], Awaitable[Mapping[str, str]]]
    hot: Wallet
    clock: Clock
    wall: Clock
    lending: Lending | None = None

    @property
    def native(self) -> Asset:
        """Return the network's own coin."""
        return self.registry.native(self.network.id)

    @property
    def account(self) -> str:
        """Return the custody account of the hot wallet."""
        return custody(self.network, self.hot)

    def intent(self, purpose: Purpose, payer: Wallet, *payments: Payment) -> Intent:
        """Return an intent to ask for a price with; it is never signed."""
        return Intent(
            intent_id=new_uuid7(),
            network=self.network.id,
            purpose=purpose,
            payer=payer,
            payments=payments,
            fee_max_units=0,
            expires_at=self.wall.now() + _INTENT_LIFE,
        )
