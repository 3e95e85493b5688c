"""`/v1/sandbox`: what the outside world does, for tests that run by themselves. A live deployment refuses all of it."""

from dataclasses import dataclass
from datetime import timedelta

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.ids import PayinId
from bitlinkpay.core.money import format_decimal
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.payins.pages import store as pages
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.operations import Operation, asking
from bitlinkpay.web.api.orders import NoSuchOrder
from bitlinkpay.web.api.reading import id_of, optional
from bitlinkpay.web.api.sandbox_shapes import AdvanceClock, BlocksBody, ClockBody, MineBlocks, PaymentBody, PayOrder


class OnlyInSandbox(Problem):
    """A live deployment's chains and clock are nobody's to move."""

    code = "sandbox.only"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("this is a live deployment: only a sandbox's chains and clock can be moved")


@dataclass(frozen=True, slots=True)
class SandboxDesk:
    """The simulated world as a merchant's program moves it; `actions` is None where the world is real."""

    database: Database
    actions: SandboxActions | None

    def operations(self) -> list[Operation]:
        """Return what may be done to the simulated world."""
        return [
            asking(
                "payOrder",
                "/v1/sandbox/payments",
                "Pay an order of yours, right or wrong; each call is one more transfer",
                scopes={Scope.PAYIN},
                answer=PaymentBody,
                body=PayOrder,
                do=self.pay,
            ),
            asking(
                "mineBlocks",
                "/v1/sandbox/blocks",
                "Add blocks to a simulated network at once",
                scopes={Scope.PAYIN},
                answer=BlocksBody,
                body=MineBlocks,
                do=self.mine,
            ),
            asking(
                "advanceClock",
                "/v1/sandbox/clock",
                "Move business time forward, for everybody in the sandbox",
                scopes={Scope.PAYIN},
                answer=ClockBody,
                body=AdvanceClock,
                do=self.advance,
            ),
        ]

    async def pay(self, call: Call, body: PayOrder) -> PaymentBody:
        """Broadcast a transfer to an order's address."""
        actions = self._allowed()
        payin_id = PayinId(id_of("pay", body.order_id, NoSuchOrder()))
        if await self.database.unit(lambda tx: pages.find_own(tx, call.merchant_id, payin_id)) is None:
            raise NoSuchOrder
        amount = optional(body.amount, "amount")
        sent = await actions.pay(payin_id, asset_id=body.asset, amount=format_decimal(amount) if amount else "")
        return PaymentBody(txid=sent)

    async def mine(self, _: Call, body: MineBlocks) -> BlocksBody:
        """Add blocks to a network."""
        return BlocksBody(network=body.network, height=await self._allowed().mine_network(body.network, body.blocks))

    async def advance(self, _: Call, body: AdvanceClock) -> ClockBody:
        """Move business time forward."""
        return ClockBody(business_now=await self._allowed().advance(timedelta(seconds=body.seconds)))

    def _allowed(self) -> SandboxActions:
        if self.actions is None:
            raise OnlyInSandbox
        return self.actions
