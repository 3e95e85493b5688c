"""What a transaction of ours takes of its payer, asked of the network and simulated on its newest state.

The sender plans with it, and the lender's arithmetic starts from it.
"""

import asyncio
from typing import Final

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.outgoing import CannotPlan, Intent, Payment, Purpose
from bitlinkpay.chains.tron.access import TronAccess
from bitlinkpay.chains.tron.build import SIGNATURE_BYTES, TRANSFER, build, signed_bytes, transfer_arguments
from bitlinkpay.chains.tron.fees import Cost, Prices, prices_of
from bitlinkpay.chains.tron.node import Api, CallReverted, TronNode
from bitlinkpay.chains.tron.plan import TronPlan, asset_id_of
from bitlinkpay.chains.tron.state import is_own
from bitlinkpay.chains.tron.wire import PARAMETERS, RESOURCES, Account, Called, Resources
from bitlinkpay.core.assets import Asset

_FALSE: Final = bytes(32)


class Costing:
    """Asks one network what transactions cost."""

    def __init__(self, access: TronAccess) -> None:
        self._access = access

    async def of(self, intent: Intent) -> tuple[Cost, Prices, Resources, int]:
        """Return what the intent takes, and the sun that its payer holds, after checking that it would not fail.

        Raises:
            CannotPlan: it would.
        """
        if len(intent.payments) != 1:
            raise CannotPlan("a TRON transaction makes one payment")
        (payment,), asset = intent.payments, self.asset(intent)
        source, target = await self._check_parties(intent, payment)
        called = Called()
        if not asset.is_native:
            called = await self._simulate(payment, asset)
        size = size_of(intent, asset)
        activates = asset.is_native and intent.purpose is not Purpose.RECALL and not target.address
        if activates and intent.purpose is Purpose.LEND:
            raise CannotPlan(f"{payment.target} has no account yet: send it coin before energy is lent to it")
        cost = Cost(called.energy_used, called.energy_penalty, size, activates)
        return cost, await self.prices(), await self.resources(payment.source.address), source.balance

    async def _check_parties(self, intent: Intent, payment: Payment) -> tuple[Account, Account]:
        """Return the sender's and the recipient's account (THREATS PAY-28, TRX-11).

        Raises:
            CannotPlan: sender or recipient are not what they must be.
        """
        source, target = await asyncio.gather(self.account(payment.source.address), self.account(payment.target))
        if not is_own(source, payment.source.address):
            raise CannotPlan(f"the permissions of {payment.source.address} name foreign keys: do not use it any more")
        if target.type == "Contract" and intent.purpose in {Purpose.PAYOUT, Purpose.COLD}:
            raise CannotPlan(f"{payment.target} is a contract, which may not give the money back")
        return source, target

    async def _simulate(self, payment: Payment, asset: Asset) -> Called:
        async def ask(node: TronNode) -> Called:
            source = payment.source.address
            return await node.call(Api.FULL, asset.contract, TRANSFER, transfer_arguments(payment), owner=source)

        try:
            called = await self._access.quorum.first(ask)
        except CallReverted as refused:
            raise CannotPlan(f"{asset.id} cannot be paid to {payment.target}: {refused}") from None
        if bytes.fromhex("".join(called.constant_result)) == _FALSE:
            raise CannotPlan(f"{asset.id} refuses the payment to {payment.target}")
        return called

    def asset(self, intent: Intent) -> Asset:
        """Return the asset of an intent's only payment.

        Raises:
            CannotPlan: it is none of this network.
        """
        asset = self._access.assets.get(asset_id_of(intent))
        if asset is None:
            raise CannotPlan(f"{asset_id_of(intent)} is no asset of {self._access.network.id}")
        return asset

    async def account(self, address: str) -> Account:
        """Return an account as it is now; all empty where there is none."""
        return await self._access.quorum.first(lambda node: node.account(Api.FULL, address))

    async def prices(self) -> Prices:
        """Return the voted prices, which endpoints must agree on."""

        async def ask(node: TronNode) -> Prices:
            prices = prices_of(await node.ask(Api.FULL, "getchainparameters", {}, PARAMETERS))
            if prices is None:
                raise ChainError(f"{node.label} does not tell the network's prices")
            return prices

        return await self._access.quorum.agree(ask)

    async def resources(self, address: str) -> Resources:
        """Return what an account may use without burning coin now."""
        asked: dict[str, object] = {"address": to_bytes(address).hex()}
        return await self._access.quorum.first(lambda node: node.ask(Api.FULL, "getaccountresource", asked, RESOURCES))


def size_of(intent: Intent, asset: Asset) -> int:
    """Return the most bytes that an intent's signed transaction has: its numbers as long as they get."""
    draft = TronPlan(2**40, bytes(32), 2**42, 2**42 + 1, fee_limit=2**34 * (not asset.is_native), burnt_units=0)
    return len(signed_bytes(build(intent, draft, asset), bytes(SIGNATURE_BYTES)))
