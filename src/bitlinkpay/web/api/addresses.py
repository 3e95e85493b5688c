"""`/v1/addresses`: can it be paid, and what would it cost."""

from dataclasses import dataclass

from bitlinkpay.chains.address import parse_address, show_address
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.errors import Problem
from bitlinkpay.db.driver import Tx
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payouts.estimating import check_recipient, estimate
from bitlinkpay.payouts.model import NewPayout, PayoutKind
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.figures import money
from bitlinkpay.web.api.operations import Operation, asking
from bitlinkpay.web.api.reading import asset_of, network_of, positive
from bitlinkpay.web.api.shapes import AddressBody, QuoteBody, QuoteFees, ValidateAddress


@dataclass(frozen=True, slots=True)
class Addresses:
    """What may be asked about recipients before anything is paid."""

    database: Database
    registry: Registry
    payouts: Payouts

    def operations(self) -> list[Operation]:
        """Return what may be asked about addresses."""
        return [
            asking(
                "validateAddress",
                "/v1/addresses/validate",
                "Say whether an address can be paid",
                scopes={Scope.PAYOUT, Scope.READ},
                answer=AddressBody,
                body=ValidateAddress,
                do=self.validate,
            ),
            asking(
                "quoteFees",
                "/v1/addresses/quote",
                "Say what a payout would cost now",
                scopes={Scope.PAYOUT, Scope.READ},
                answer=QuoteBody,
                body=QuoteFees,
                do=self.quote,
            ),
        ]

    async def validate(self, _: Call, body: ValidateAddress) -> AddressBody:
        """Look at spelling and kind of an address."""
        network = network_of(self.registry, body.network)
        try:
            target = parse_address(network, body.address)
        except Problem as problem:
            return AddressBody(is_payable=False, address="", reason=problem.message)
        shown = show_address(network, target)

        async def read(tx: Tx) -> AddressBody:
            try:
                await check_recipient(tx, self.registry, network, target, body.tag)
            except Problem as problem:
                return AddressBody(is_payable=False, address=shown, reason=problem.message)
            return AddressBody(is_payable=True, address=shown, reason="")

        return await self.database.unit(read)

    async def quote(self, call: Call, body: QuoteFees) -> QuoteBody:
        """Check a payout as if it were asked for, and say what it would cost."""
        asset = asset_of(self.registry, body.asset)
        new = NewPayout(
            merchant=call.merchant,
            kind=PayoutKind.PAYOUT,
            source_id="",
            asset=asset,
            target=body.address,
            tag=body.tag,
            amount=positive(body.amount, "amount"),
        )
        draft = await self.payouts.prepare(new)
        units, charge = await self.database.unit(lambda tx: estimate(tx, self.registry, draft))
        return QuoteBody(
            amount=money(units, asset),
            fee=money(charge.fee_units, asset),
            network_fee=money(charge.network_fee_units, asset),
            total=money(units + charge.units, asset),
        )
