"""`order/withdraw` and `order/withdraw-detail`: payouts by the SDK protocol."""

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.mode import Mode
from bitlinkpay.core.money import from_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.payouts import store
from bitlinkpay.payouts.events import wm_status
from bitlinkpay.payouts.model import NewPayout, Payout, PayoutKind, PayoutNotFound
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.web.origins import check_origin
from bitlinkpay.web.wm.gate import Admitted
from bitlinkpay.web.wm.seals import Replayed, claim
from bitlinkpay.webhooks.policy import UrlPolicy
from bitlinkpay.webhooks.urls import check_url
from bitlinkpay.wm.answers import WithdrawCreated, WithdrawDetail
from bitlinkpay.wm.bodies import parse_lookup, parse_withdraw
from bitlinkpay.wm.ids import WITHDRAW_STATUS_DESC


class Withdrawals:
    """Answers both withdraw endpoints."""

    def __init__(
        self, database: Database, payouts: Payouts, registry: Registry, *, mode: Mode, urls: UrlPolicy, wall: Clock
    ) -> None:
        """Build the answers.

        Args:
            database: where payouts and seals are.
            payouts: the payouts.
            registry: networks and assets.
            mode: a sandbox lets withdrawals come from anywhere unless networks are listed.
            urls: what callback URLs may name.
            wall: the wall clock, which dates the seals.
        """
        self._database = database
        self._payouts = payouts
        self._registry = registry
        self._mode = mode
        self._urls = urls
        self._wall = wall

    async def create(self, admitted: Admitted) -> WithdrawCreated:
        """Reserve and queue a payout, or answer with the one that this request repeats.

        Raises:
            Problem: nothing was reserved, and the source_id is free; `Replayed` for an envelope seen before.
        """
        check_origin(admitted.merchant, admitted.peer, self._mode)
        draft = await self._payouts.prepare(self._read(admitted))

        async def work(tx: Tx) -> Payout:
            if not all(await claim(tx, [admitted.seal], self._wall.now())):
                raise Replayed
            return await self._payouts.request(tx, draft)

        async def resolve(tx: Tx) -> Payout:
            # COMMIT was sent and no answer came: source_id finds what was stored, or stores what was not.
            await claim(tx, [admitted.seal], self._wall.now())
            return await self._payouts.request(tx, draft)

        payout = await self._database.unit(work, resolve=resolve)
        return WithdrawCreated(source_id=payout.source_id, order_id=payout.payout_id.hex)

    async def detail(self, admitted: Admitted) -> WithdrawDetail:
        """Say where a payout stands.

        Raises:
            PayoutNotFound: the merchant has none of this id.
        """
        source_id = parse_lookup(admitted.plaintext).source_id
        merchant_id = admitted.merchant.merchant_id

        async def work(tx: Tx) -> Payout | None:
            if not all(await claim(tx, [admitted.seal], self._wall.now())):
                raise Replayed
            return await store.find_by_source(tx, merchant_id, PayoutKind.PAYOUT, source_id)

        payout = await self._database.unit(work)
        if payout is None:
            raise PayoutNotFound
        return self._detail(payout)

    def _read(self, admitted: Admitted) -> NewPayout:
        body = parse_withdraw(admitted.plaintext)
        asset = self._registry.asset_by_wm(body.chain_id, body.coin_id)
        if asset is None:
            raise Invalid(f"chain_id {body.chain_id} with coin_id {body.coin_id} is not offered here", param="coin_id")
        return NewPayout(
            merchant=admitted.merchant,
            kind=PayoutKind.PAYOUT,
            source_id=body.source_id,
            asset=asset,
            target=body.address,
            tag=body.tag,
            amount=body.amount,
            fiat_amount=body.fiat_amount,
            symbol=body.symbol,
            exchange_rate=body.exchange_rate,
            callback_url=check_url(body.callback_url, self._urls) if body.callback_url else "",
        )

    def _detail(self, payout: Payout) -> WithdrawDetail:
        asset = self._registry.assets[payout.asset]
        network = self._registry.networks[asset.network]
        status = wm_status(payout)
        charged = from_units(payout.charge.units, asset.decimals)
        return WithdrawDetail(
            source_id=payout.source_id,
            chain_id=network.wm_chain_id,
            coin_id=asset.wm_coin_id,
            address=show_address(network, payout.target),
            tag=payout.tag,
            hash=payout.txid,
            fiat_amount=payout.fiat_amount,
            symbol=payout.symbol,
            exchange_rate=payout.exchange_rate,
            amount=from_units(payout.units, asset.decimals),
            gas_fee=charged,
            service_fee=charged,
            order_id=payout.payout_id.hex,
            status=status,
            status_desc=WITHDRAW_STATUS_DESC[status],
        )
