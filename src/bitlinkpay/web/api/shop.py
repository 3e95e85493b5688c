"""`/v1/assets`, `/v1/merchant` and `/v1/orders/quote`: what a shop has to know before it asks for anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.chains.address import show_contract
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.ids import show_id
from bitlinkpay.core.mode import Mode
from bitlinkpay.core.money import format_decimal, format_units
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts import store as payouts_store
from bitlinkpay.payouts.model import PayoutKind, Terms
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.figures import money
from bitlinkpay.web.api.operations import Nothing, Operation, asking, reading
from bitlinkpay.web.api.orders import asked_of
from bitlinkpay.web.api.shop_shapes import (
    AssetBody,
    AssetsBody,
    KeyBody,
    MerchantBody,
    NetworkBody,
    OrderQuoteBody,
    OrderTermsBody,
    PayoutTermsBody,
    QuoteOrder,
)

_PPM_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Shop:
    """What is offered to a merchant, and on which terms. `wall` is the clock that signatures are timed by."""

    database: Database
    registry: Registry
    payins: Payins
    mode: Mode
    wall: Clock

    def operations(self) -> list[Operation]:
        """Return what may be asked before an order."""
        return [
            reading(
                "getMerchant",
                "/v1/merchant",
                "Show who you are here, the terms of new orders, the key that signed and the platform's clock",
                scopes={Scope.PAYIN, Scope.PAYOUT},
                answer=MerchantBody,
                query=Nothing,
                do=self.merchant,
            ),
            reading(
                "listAssets",
                "/v1/assets",
                "List every asset with its network, limits and fees",
                scopes={Scope.PAYIN, Scope.PAYOUT},
                answer=AssetsBody,
                query=Nothing,
                do=self.assets,
            ),
            asking(
                "quoteOrder",
                "/v1/orders/quote",
                "Say what an order would ask for now",
                scopes={Scope.PAYIN, Scope.READ},
                answer=OrderQuoteBody,
                body=QuoteOrder,
                do=self.quote,
            ),
        ]

    async def merchant(self, call: Call, _: Nothing) -> MerchantBody:
        """Show the merchant and the key."""
        merchant, key = call.merchant, call.caller.key
        return MerchantBody(
            id=show_id("mer", merchant.merchant_id),
            broker=merchant.broker,
            name=merchant.name,
            mode=self.mode,
            pricing_currency=merchant.pricing_currency,
            fee_rate=_rate(merchant.fee_ppm),
            order_life_s=merchant.order_life // timedelta(seconds=1),
            callback_url=merchant.callback_url,
            callback_statuses=list(merchant.callback_statuses),
            payout_networks=list(merchant.payout_networks),
            return_hosts=list(merchant.return_hosts),
            requests_per_minute=merchant.rate_per_minute,
            key=KeyBody(
                id=show_id("key", key.key_id), name=key.name, scopes=sorted(key.scopes), networks=list(key.networks)
            ),
            now=self.wall.now(),
            business_now=self.payins.now(),
        )

    async def assets(self, call: Call, _: Nothing) -> AssetsBody:
        """List assets."""
        held = await self.payins.list_held()
        terms = await self.database.unit(lambda tx: payouts_store.list_terms(tx, call.merchant_id, PayoutKind.PAYOUT))
        every = terms.get("", Terms())
        return AssetsBody(
            data=[
                self._asset(call, asset, held, terms.get(asset.id, every))
                for asset in self.registry.assets.values()
                if self.registry.is_on(asset)
            ]
        )

    async def quote(self, call: Call, body: QuoteOrder) -> OrderQuoteBody:
        """Price an order."""
        asked = asked_of(self.registry, call, body)
        price = await self.payins.quote(asked)
        return OrderQuoteBody(
            amount=money(price.units, asked.asset),
            fee=money(price.fee_units, asked.asset),
            symbol=price.symbol,
            exchange_rate=format_decimal(price.exchange_rate),
        )

    def _asset(self, call: Call, asset: Asset, held: Mapping[str, str], terms: Terms) -> AssetBody:
        network = self.registry.networks[asset.network]
        smallest = format_units(max(1, asset.minimum_units), asset.decimals)
        return AssetBody(
            id=asset.id,
            symbol=asset.symbol,
            title=asset.ticker,
            standard=asset.standard,
            contract=show_contract(network, asset.contract) if asset.contract else "",
            decimals=asset.decimals,
            wm_chain_id=network.wm_chain_id,
            wm_coin_id=asset.wm_coin_id,
            network=_network(network),
            orders=OrderTermsBody(
                is_offered=asset.payable and call.merchant.offers(asset.id),
                is_on_hold=asset.id in held,
                smallest=smallest,
                digits=asset.payable_decimals,
            ),
            payouts=_payout_terms(asset, terms, smallest),
        )


def _network(network: Network) -> NetworkBody:
    return NetworkBody(
        id=network.id,
        title=network.title,
        chain_id=network.chain_id,
        block_time_ms=network.block_time // timedelta(milliseconds=1),
        confirmations=network.confirmations,
        final_after_s=network.final_after // timedelta(seconds=1),
        has_tags=network.family is Family.TON,
    )


def _payout_terms(asset: Asset, terms: Terms, smallest: str) -> PayoutTermsBody:
    def limit(units: int | None) -> str | None:
        return None if units is None else format_units(units, asset.decimals)

    return PayoutTermsBody(
        smallest=smallest,
        largest=limit(terms.payment_max_units),
        day_max=limit(terms.day_max_units),
        review_above=limit(terms.review_above_units),
        fresh_max=limit(terms.fresh_max_units),
        fee_rate=_rate(terms.fee_ppm),
        fee_flat=format_units(terms.fee_flat_units, asset.decimals),
    )


def _rate(ppm: int) -> str:
    return format_units(ppm, _PPM_DIGITS)
