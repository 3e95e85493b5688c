"""Requests checked and quoted before anything is reserved: networks, prices and providers are asked here."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import CannotPlan, FeeQuote, Intent, LacksFunds, LacksGas, Payment, Purpose, Wallet
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.payouts import checks
from bitlinkpay.payouts.model import AddressRefused, NewPayout, NoLiquidity, Terms
from bitlinkpay.payouts.quoting import Prices, network_fee_units
from bitlinkpay.risk.model import Provider, ProviderDown, VerdictKind

QUOTE_LIFE: Final = timedelta(minutes=2)
"""How long a quote may be old when its money is reserved; the fee's own limit holds it down afterwards."""

Quotes = Callable[[Intent], Awaitable[FeeQuote]]
"""What an intent would cost on its network now; raises `CannotPlan` or `ChainError`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked and quoted request; nothing is stored yet.

    Attributes:
        hold: why a person has to look first, "" for nobody.
        quoted_at: business time; a quote has a `QUOTE_LIFE`.
    """

    new: NewPayout
    target: str
    quote: FeeQuote
    network_fee_units: int
    hold: str
    request_hash: bytes
    quoted_at: datetime


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request whose preparation failed; it may still repeat a payout that exists."""

    new: NewPayout
    request_hash: bytes
    problem: Problem


class Drafting:
    """Makes drafts of requests; no transaction is open."""

    def __init__(
        self,
        *,
        registry: Registry,
        quotes: Quotes,
        prices: Prices,
        providers: Sequence[Provider],
        hot_wallet: Callable[[Network], Wallet],
        clock: Clock,
    ) -> None:
        """Build it; for the parts see `payouts.service.Payouts`."""
        self._registry = registry
        self._quotes = quotes
        self._prices = prices
        self._providers = providers
        self._hot_wallet = hot_wallet
        self._clock = clock

    async def prepare(self, new: NewPayout) -> Draft | Repeat:
        """Check and quote a request; what is wrong with it stands in the `Repeat`."""
        digest = _digest(new)
        try:
            return await self._draft(new, digest)
        except Problem as problem:
            return Repeat(new, digest, problem)

    async def _draft(self, new: NewPayout, digest: bytes) -> Draft:
        network = self._registry.networks[new.asset.network]
        try:
            target = parse_address(network, new.target)
        except Problem as problem:
            raise AddressRefused(problem.message) from None
        checks.check_tag(network.family, new.tag)
        units = checks.check_amount(new.asset, new.amount, Terms(), today_units=0)
        hold = await self._screen(network, target)
        quote = await self._quote(network, Payment(self._hot_wallet(network), new.asset.id, target, new.tag, units))
        quoted_at, native = self._clock.now(), self._registry.native(network.id)
        fee = await network_fee_units(new.asset, native, quote, self._prices)
        return Draft(new, target, quote, fee, hold, digest, quoted_at)

    async def _screen(self, network: Network, target: str) -> str:
        """Return why a person has to look at the recipient, "" if nobody has.

        Raises:
            AddressRefused: it is listed.
        """
        hold = ""
        for provider in self._providers:
            try:
                findings = await provider.look_up(network.id, [target])
            except ProviderDown:
                hold = f"screening by {provider.name} gave no answer"
                continue
            if any(finding.kind is VerdictKind.LISTED for finding in findings):
                raise AddressRefused("it is on a sanctions list")
        return hold

    async def _quote(self, network: Network, payment: Payment) -> FeeQuote:
        intent = Intent(
            intent_id=new_uuid7(),
            network=network.id,
            purpose=Purpose.PAYOUT,
            payer=payment.source,
            payments=(payment,),
            fee_max_units=0,
            expires_at=self._clock.now(),
        )
        try:
            return await self._quotes(intent)
        except (LacksFunds, LacksGas):
            raise NoLiquidity(network.title) from None
        except CannotPlan as obstacle:
            raise AddressRefused(f"the network would not carry it out ({obstacle.reason})") from None
        except ChainError as error:
            raise Unavailable(f"{network.title} can't be asked for its fee now; try again in a moment") from error


def _digest(new: NewPayout) -> bytes:
    fields = (
        new.kind,
        new.source_id,
        new.asset.id,
        new.target,
        new.tag,
        str(new.amount.normalize()),
        str(new.fiat_amount.normalize()) if new.fiat_amount is not None else "",
        new.symbol,
        str(new.exchange_rate.normalize()) if new.exchange_rate is not None else "",
        new.callback_url,
    )
    return hashlib.sha256(msgspec.json.encode(fields)).digest()
