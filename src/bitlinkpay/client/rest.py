"""`RestClient`: the REST API as typed calls, signed with an HMAC secret or an Ed25519 key."""

from urllib.parse import quote

from bitlinkpay.client.signed import ApiRefused, ApiUnreachable, RawAnswer, SignedConnection, StrangeAnswer, walk
from bitlinkpay.web.api.home_shapes import (
    AddRule,
    BindAddress,
    HomeAddressBody,
    HomeAddressQuery,
    QuoteSettlement,
    RequestSettlement,
    RuleBody,
    RulesBody,
    SettlementBody,
    SettlementQuery,
    StatementBody,
    StatementQuery,
    StatementsBody,
)
from bitlinkpay.web.api.odd_shapes import (
    ConfirmRefund,
    RefundQuoteBody,
    RefundUnassigned,
    UnassignedBody,
    UnassignedQuery,
)
from bitlinkpay.web.api.sandbox_shapes import AdvanceClock, BlocksBody, ClockBody, MineBlocks, PaymentBody, PayOrder
from bitlinkpay.web.api.shapes import (
    AddressBody,
    BalanceBody,
    BalancesBody,
    BatchBody,
    CallbackBody,
    CallbackQuery,
    CreateOrder,
    CreatePayout,
    CreatePayoutBatch,
    CreatePreOrder,
    EntryBody,
    EntryQuery,
    EventQuery,
    EventsBody,
    OrderBody,
    OrderQuery,
    Page,
    PayoutBody,
    PayoutQuery,
    QuoteBody,
    QuoteFees,
    ValidateAddress,
)
from bitlinkpay.web.api.shop_shapes import (
    AssetBody,
    AssetsBody,
    MerchantBody,
    OrderQuoteBody,
    PickAsset,
    QuoteOrder,
)

__all__ = ["ApiRefused", "ApiUnreachable", "RawAnswer", "RestClient", "StrangeAnswer", "walk"]


class RestClient(SignedConnection):
    """One key's connection to the REST API; use it as an async context manager, or call `close`.

    Every call may raise `ApiRefused`, `ApiUnreachable` or `StrangeAnswer`. Calls that change something take an
    `idempotency_key`: the same key with the same request gets the first answer again.
    """

    async def merchant(self) -> MerchantBody:
        """Say who you are here, on which terms, and what the platform's clock shows."""
        return await self.get("/v1/merchant", None, MerchantBody)

    async def assets(self) -> list[AssetBody]:
        """Return every asset with its network, limits and fees."""
        return (await self.get("/v1/assets", None, AssetsBody)).data

    async def quote_order(self, question: QuoteOrder) -> OrderQuoteBody:
        """Say what an order would ask for now."""
        return await self.post("/v1/orders/quote", question, OrderQuoteBody)

    async def create_order(self, order: CreateOrder, *, idempotency_key: str = "") -> OrderBody:
        """Create an order; the same `source_id` with the same fields answers with the first one."""
        return await self.post("/v1/orders", order, OrderBody, idempotency_key)

    async def create_pre_order(self, order: CreatePreOrder, *, idempotency_key: str = "") -> OrderBody:
        """Create an order whose payer picks the network."""
        return await self.post("/v1/pre-orders", order, OrderBody, idempotency_key)

    async def pick_asset(self, order_id: str, choice: PickAsset, *, idempotency_key: str = "") -> OrderBody:
        """Fix the asset of a pre-order as its payer chose it."""
        return await self.post(f"/v1/orders/{_part(order_id)}/pick", choice, OrderBody, idempotency_key)

    async def order(self, order_id: str) -> OrderBody:
        """Return an order."""
        return await self.get(f"/v1/orders/{_part(order_id)}", None, OrderBody)

    async def list_orders(self, query: OrderQuery | None = None) -> Page[OrderBody]:
        """Return a page of orders, the newest first."""
        return await self.get("/v1/orders", query, Page[OrderBody])

    async def cancel_order(self, order_id: str, *, idempotency_key: str = "") -> OrderBody:
        """Cancel an order on which nothing was received."""
        return await self.post(f"/v1/orders/{_part(order_id)}/cancel", None, OrderBody, idempotency_key)

    async def list_unassigned(self, query: UnassignedQuery | None = None) -> Page[UnassignedBody]:
        """Return a page of the money that completed no order and waits for a decision, the newest first."""
        return await self.get("/v1/unassigned", query, Page[UnassignedBody])

    async def unassigned(self, deposit_id: str) -> UnassignedBody:
        """Return a deposit, whatever became of it, with its refunds."""
        return await self.get(f"/v1/unassigned/{_part(deposit_id)}", None, UnassignedBody)

    async def accept_unassigned(self, deposit_id: str, *, idempotency_key: str = "") -> UnassignedBody:
        """Take odd money as its order's payment."""
        return await self.post(f"/v1/unassigned/{_part(deposit_id)}/accept", None, UnassignedBody, idempotency_key)

    async def credit_unassigned(self, deposit_id: str, *, idempotency_key: str = "") -> UnassignedBody:
        """Credit odd money to the balance."""
        return await self.post(f"/v1/unassigned/{_part(deposit_id)}/credit", None, UnassignedBody, idempotency_key)

    async def refund_unassigned(
        self, deposit_id: str, refund: RefundUnassigned, *, idempotency_key: str = ""
    ) -> PayoutBody:
        """Send odd money, less what a payout costs, to an address that you confirm hereby."""
        return await self.post(f"/v1/unassigned/{_part(deposit_id)}/refund", refund, PayoutBody, idempotency_key)

    async def quote_refund(self, deposit_id: str, question: RefundUnassigned) -> RefundQuoteBody:
        """Say what a refund would bring and cost now."""
        return await self.post(f"/v1/unassigned/{_part(deposit_id)}/refund/quote", question, RefundQuoteBody)

    async def create_payout(self, payout: CreatePayout, *, idempotency_key: str = "") -> PayoutBody:
        """Pay a third party out of the balance."""
        return await self.post("/v1/payouts", payout, PayoutBody, idempotency_key)

    async def create_payouts(self, batch: CreatePayoutBatch, *, idempotency_key: str = "") -> BatchBody:
        """Make many payouts at once, each with a result of its own."""
        return await self.post("/v1/payouts/batch", batch, BatchBody, idempotency_key)

    async def payout(self, payout_id: str) -> PayoutBody:
        """Return a payout."""
        return await self.get(f"/v1/payouts/{_part(payout_id)}", None, PayoutBody)

    async def list_payouts(self, query: PayoutQuery | None = None) -> Page[PayoutBody]:
        """Return a page of payouts, the newest first."""
        return await self.get("/v1/payouts", query, Page[PayoutBody])

    async def cancel_payout(self, payout_id: str, *, idempotency_key: str = "") -> PayoutBody:
        """Call a payout back that is not signed yet."""
        return await self.post(f"/v1/payouts/{_part(payout_id)}/cancel", None, PayoutBody, idempotency_key)

    async def confirm_refund(
        self, payout_id: str, confirmed: ConfirmRefund, *, idempotency_key: str = ""
    ) -> PayoutBody:
        """Confirm the address of a refund that the platform's people asked for."""
        return await self.post(f"/v1/payouts/{_part(payout_id)}/confirm", confirmed, PayoutBody, idempotency_key)

    async def request_settlement(self, settlement: RequestSettlement) -> SettlementBody:
        """Settle now, under all four checks; its `id` makes it happen once."""
        return await self.post("/v1/settlements", settlement, SettlementBody)

    async def quote_settlement(self, question: QuoteSettlement) -> QuoteBody:
        """Say what a settlement would bring and cost now."""
        return await self.post("/v1/settlements/quote", question, QuoteBody)

    async def settlement(self, settlement_id: str) -> SettlementBody:
        """Return a settlement."""
        return await self.get(f"/v1/settlements/{_part(settlement_id)}", None, SettlementBody)

    async def list_settlements(self, query: SettlementQuery | None = None) -> Page[SettlementBody]:
        """Return a page of settlements, or of the runs of a rule, the newest first."""
        return await self.get("/v1/settlements", query, Page[SettlementBody])

    async def cancel_settlement(self, settlement_id: str, *, idempotency_key: str = "") -> SettlementBody:
        """Call a settlement back that is not signed yet."""
        return await self.post(f"/v1/settlements/{_part(settlement_id)}/cancel", None, SettlementBody, idempotency_key)

    async def bind_address(self, address: BindAddress) -> HomeAddressBody:
        """Bind or save an address under all four checks; the same one again changes nothing."""
        return await self.post("/v1/settlement-addresses", address, HomeAddressBody)

    async def list_addresses(self, query: HomeAddressQuery | None = None) -> Page[HomeAddressBody]:
        """Return a page of the bound and saved addresses in use, the newest first."""
        return await self.get("/v1/settlement-addresses", query, Page[HomeAddressBody])

    async def remove_address(self, address_id: str, *, idempotency_key: str = "") -> HomeAddressBody:
        """Take a bound or saved address out of use at once."""
        target = f"/v1/settlement-addresses/{_part(address_id)}/remove"
        return await self.post(target, None, HomeAddressBody, idempotency_key)

    async def add_settlement_rule(self, rule: AddRule) -> RuleBody:
        """Put a rule into force, under all four checks."""
        return await self.post("/v1/settlement-rules", rule, RuleBody)

    async def settlement_rules(self) -> list[RuleBody]:
        """Return the rules that are in force."""
        return (await self.get("/v1/settlement-rules", None, RulesBody)).data

    async def remove_settlement_rule(self, rule_id: str, *, idempotency_key: str = "") -> RuleBody:
        """Take a rule out of force at once."""
        return await self.post(f"/v1/settlement-rules/{_part(rule_id)}/remove", None, RuleBody, idempotency_key)

    async def statements(self, query: StatementQuery) -> list[StatementBody]:
        """Return the statements of a day, by asset."""
        return (await self.get("/v1/statements", query, StatementsBody)).data

    async def validate_address(self, question: ValidateAddress) -> AddressBody:
        """Say whether an address can be paid."""
        return await self.post("/v1/addresses/validate", question, AddressBody)

    async def quote_fees(self, question: QuoteFees) -> QuoteBody:
        """Say what a payout would cost now."""
        return await self.post("/v1/addresses/quote", question, QuoteBody)

    async def balances(self) -> list[BalanceBody]:
        """Return what there is, per asset."""
        return (await self.get("/v1/balances", None, BalancesBody)).data

    async def list_entries(self, query: EntryQuery | None = None) -> Page[EntryBody]:
        """Return a page of the lines of the books, the newest first."""
        return await self.get("/v1/entries", query, Page[EntryBody])

    async def list_callbacks(self, query: CallbackQuery | None = None) -> Page[CallbackBody]:
        """Return a page of callbacks, the newest first."""
        return await self.get("/v1/callbacks", query, Page[CallbackBody])

    async def callback(self, callback_id: str) -> CallbackBody:
        """Return a callback with every try."""
        return await self.get(f"/v1/callbacks/{_part(callback_id)}", None, CallbackBody)

    async def resend_callback(self, callback_id: str, *, idempotency_key: str = "") -> CallbackBody:
        """Send a callback again."""
        return await self.post(f"/v1/callbacks/{_part(callback_id)}/resend", None, CallbackBody, idempotency_key)

    async def pay_order(self, payment: PayOrder) -> PaymentBody:
        """Pay an order in a sandbox, right or wrong; each call is one more transfer."""
        return await self.post("/v1/sandbox/payments", payment, PaymentBody)

    async def mine_blocks(self, mining: MineBlocks) -> BlocksBody:
        """Add blocks to a simulated network at once."""
        return await self.post("/v1/sandbox/blocks", mining, BlocksBody)

    async def advance_clock(self, step: AdvanceClock) -> ClockBody:
        """Move a sandbox's business time forward, for everybody in it."""
        return await self.post("/v1/sandbox/clock", step, ClockBody)

    async def list_events(self, query: EventQuery | None = None) -> EventsBody:
        """Return what happened since a cursor, the oldest first; keep `next_cursor` and ask again."""
        return await self.get("/v1/events", query, EventsBody)


def _part(text: str) -> str:
    """Return an id as one part of a path, whatever it is: a wrong one is told as missing, and leads nowhere else."""
    return quote(text, safe="")
