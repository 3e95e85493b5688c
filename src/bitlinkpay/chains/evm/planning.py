"""From an intent to everything but the fee: the shape, the authorizations, the gas; tried on the newest block."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from bitlinkpay.chains.evm.access import EvmAccess
from bitlinkpay.chains.evm.accounts import AccountReader, OtherCode
from bitlinkpay.chains.evm.build import build
from bitlinkpay.chains.evm.delegates import delegate_of, delegates_of, designator
from bitlinkpay.chains.evm.fit import GAS_MAX
from bitlinkpay.chains.evm.plan import BATCHES, Authorization, EvmPlan, Shape, asset_id_of
from bitlinkpay.chains.evm.recipients import objection
from bitlinkpay.chains.evm.rehearsal import Rehearsal, Script
from bitlinkpay.chains.outgoing import CannotPlan, Intent, KeyRole, LacksFunds, LacksGas, Purpose
from bitlinkpay.core.assets import Asset

_FULL: Final = 100
_PLAIN_GAS: Final = 21_000  # what a transaction costs that runs no code


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """How an EVM network is paid on.

    Attributes:
        batches: whether wallets may delegate (EIP-7702); without, each payment is a transaction of its own.
        batch_max: most payments in one transaction.
        item_gas: most gas that a recipient's or a token's code may use for one payment.
        margin_percent: how far the gas limit stands above the estimate: another holder's balance may fall to zero
            meanwhile, which makes a payment to it dearer by about a third.
    """

    batches: bool = True
    batch_max: int = 50
    item_gas: int = 100_000
    margin_percent: int = 50


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan without a fee, and how much gas it will likely take."""

    plan: EvmPlan
    gas: int


class Planner:
    """Plans transactions on one network, up to the fee."""

    def __init__(self, access: EvmAccess, options: SenderOptions) -> None:
        self._access = access
        self._options = options
        self._accounts = AccountReader(access.quorum)
        self._rehearsal = Rehearsal(access.quorum)

    def asset_of(self, intent: Intent) -> Asset | None:
        """Return the asset that an intent moves, None for none.

        Raises:
            CannotPlan: it is not listed.
        """
        asset_id = asset_id_of(intent)
        if asset_id and asset_id not in self._access.assets:
            raise CannotPlan(f"{self._access.network.id} has no asset {asset_id}")
        return self._access.assets.get(asset_id)

    def shape(self, intent: Intent) -> Shape:
        """Choose how the payments are made.

        Raises:
            CannotPlan: not by one transaction here.
        """
        if intent.purpose in {Purpose.SETUP, Purpose.CANCEL}:
            shape = Shape.DELEGATION if intent.purpose is Purpose.SETUP else Shape.CANCEL
        elif {payment.source for payment in intent.payments} != {intent.payer}:
            shape = Shape.SWEEP
        elif len(intent.payments) > 1:
            shape = Shape.BATCH
        else:
            asset = self.asset_of(intent)
            return Shape.NATIVE if asset is None or asset.is_native else Shape.TOKEN
        if shape is not Shape.CANCEL and not (self._options.batches and intent.payer.role is KeyRole.HOT):
            raise CannotPlan(f"{intent.payer.address} can make payments of its own only, one by one")
        return shape

    async def draft(self, intent: Intent, nonce: int) -> Draft:
        """Return the plan but for the fee, after trying it.

        Raises:
            CannotPlan: it would not do all that it shall.
        """
        shape, asset = self.shape(intent), self.asset_of(intent)
        self._check_recipients(intent)
        latest = (await self._access.finality.head()).latest
        plan = EvmPlan(
            shape=shape,
            chain_id=self._access.network.chain_id,
            nonce=nonce,
            gas_limit=0,
            max_fee=0,
            priority_fee=0,
            item_gas=self._options.item_gas if shape in BATCHES else 0,
        )
        plan = await self._with_code(plan, intent, latest.hash)
        await self._check_balances(intent, latest.hash)
        action = build(intent, plan, asset)
        script = Script(intent.payer.address, action, plan.chain_id, plan.authorizations, latest)
        _check_answer(plan, intent, await self._rehearsal.run(script))
        gas = await self._rehearsal.gas(script)
        return Draft(replace(plan, gas_limit=self._limit(plan, gas)), gas)

    def _limit(self, plan: EvmPlan, estimate: int) -> int:
        """Return the gas limit.

        A batch has room for one item that fails after all: the executor calls an item failed only while as much gas
        as it may use is left. A single payment of native coin is held to the same bound.
        """
        if plan.shape is Shape.NATIVE and estimate > _PLAIN_GAS + self._options.item_gas:
            raise CannotPlan(f"the recipient's code takes {estimate} gas")
        limit = estimate * (_FULL + self._options.margin_percent) // _FULL + 2 * plan.item_gas
        if estimate > GAS_MAX:
            raise CannotPlan(f"it takes {estimate} gas, more than one transaction may have")
        return min(limit, GAS_MAX)

    def _check_recipients(self, intent: Intent) -> None:
        if intent.purpose is not Purpose.PAYOUT:
            return
        for payment in intent.payments:
            if reason := objection(payment.target, self._access.assets.values(), intent.payer.address):
                raise CannotPlan(f"{payment.target} is {reason}")

    async def _with_code(self, plan: EvmPlan, intent: Intent, block_hash: str) -> EvmPlan:
        """Add the authorizations that are needed, after looking at the code that is there."""
        match plan.shape:
            case Shape.NATIVE | Shape.TOKEN | Shape.CANCEL:
                return plan
            case Shape.DELEGATION:
                return await self._delegation(plan, intent.payer.address, block_hash)
            case Shape.BATCH | Shape.SWEEP:
                if not await self._accounts.is_ready(intent.payer.address, block_hash):
                    raise CannotPlan(f"{intent.payer.address} has not delegated to its executor yet: set it up first")
        return plan if plan.shape is Shape.BATCH else await self._sweep(plan, intent, block_hash)

    async def _delegation(self, plan: EvmPlan, wallet: str, block_hash: str) -> EvmPlan:
        (account,) = await self._accounts.read([wallet], block_hash)
        _check_code(wallet, account.code, "")
        try:
            deploys = not await self._accounts.is_deployed(wallet, block_hash)
        except OtherCode as error:
            raise CannotPlan(str(error)) from error
        if deploys and not await self._accounts.has_factory(block_hash):
            raise CannotPlan("this network lacks the deployment proxy: set batches = false for it")
        return replace(plan, authorizations=(Authorization(wallet, plan.nonce + 1),), deploys=deploys)

    async def _sweep(self, plan: EvmPlan, intent: Intent, block_hash: str) -> EvmPlan:
        addresses = [payment.source.address for payment in intent.payments]
        sweeper = delegates_of(intent.payer.address).sweeper
        accounts = dict(zip(addresses, await self._accounts.read(addresses, block_hash), strict=True))
        for address, account in accounts.items():
            _check_code(address, account.code, sweeper)
        missing = {address: account for address, account in accounts.items() if account.code != designator(sweeper)}
        return replace(plan, authorizations=tuple(Authorization(a, account.nonce) for a, account in missing.items()))

    async def _check_balances(self, intent: Intent, block_hash: str) -> None:
        asset = self.asset_of(intent)
        if asset is None:
            return
        needed: Counter[str] = Counter()
        for payment in intent.payments:
            needed[payment.source.address] += payment.units
        held = await self._access.state.balances(asset, list(needed), block_hash)
        for (address, units), balance in zip(needed.items(), held, strict=True):
            if balance < units:
                raise LacksFunds(f"{address} holds {balance} of the {units} base units of {asset.id}")

    async def check_fee(self, intent: Intent, plan: EvmPlan) -> None:
        """Check that the payer holds the fee at its highest, beside what it pays.

        Raises:
            LacksGas: it does not.
        """
        native = self._access.listing.native
        if native is None:
            return
        paid = sum(p.units for p in intent.payments if p.asset == native.id and p.source == intent.payer)
        block_hash = (await self._access.finality.head()).latest.hash
        (balance,) = await self._access.state.balances(native, [intent.payer.address], block_hash)
        lacking = paid + plan.fee_max_units - balance
        if lacking > 0:
            reason = f"{intent.payer.address} holds too little {native.symbol} for the fee: {balance} wei"
            raise LacksGas(reason, lacking)


def _check_code(address: str, code: bytes, expected: str) -> None:
    """Check that one of our accounts runs no code that others chose: then its key is used elsewhere."""
    delegate = delegate_of(code)
    if code and delegate != expected:
        found = delegate or "a contract"
        raise CannotPlan(f"{address} runs the code of {found}, which is not ours: is its key used elsewhere?")


def _check_answer(plan: EvmPlan, intent: Intent, answer: bytes) -> None:
    word = int.from_bytes(answer[:32], "big")
    if plan.shape is Shape.TOKEN and answer and word != 1:
        raise CannotPlan("the token refuses the transfer")
    if plan.shape not in BATCHES:
        return
    if len(answer) != 32:  # noqa: PLR2004 - one word
        raise CannotPlan(f"{intent.payer.address} does not run its executor")
    failing = [payment for i, payment in enumerate(intent.payments) if word >> i & 1]
    if failing:
        account = failing[0].target if plan.shape is Shape.BATCH else failing[0].source.address
        raise CannotPlan(f"{len(failing)} of {len(intent.payments)} payments would fail, first that with {account}")
