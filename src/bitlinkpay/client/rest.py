"""`RestClient`: the REST API as typed calls, signed with an HMAC secret or an Ed25519 key."""

import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from yarl import URL

from bitlinkpay.client.connections import Connections, read_within
from bitlinkpay.merchants.api_keys.signing import (
    KEY_HEADER,
    NONCE_HEADER,
    SIGNATURE_HEADER,
    TIME_HEADER,
    SignedText,
    SignText,
    ed25519_signer,
    hmac_signer,
    write_signature,
)
from bitlinkpay.web.api.deeds import HEADER
from bitlinkpay.web.api.home_shapes import (
    AddRule,
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
from bitlinkpay.web.api.refusals import ErrorBody
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
    Request,
    ValidateAddress,
)

T = TypeVar("T")

_TIMEOUT_S: Final = 30
_ANSWER_MAX: Final = 8_388_608
_GOOD: Final = frozenset({200, 201})


class ApiRefused(Exception):
    """The platform refused the request; `error` says why, `retry_after_s` when to come back (0 for nothing said)."""

    def __init__(self, status: int, error: ErrorBody, retry_after_s: int) -> None:
        super().__init__(f"{status} {error.code}: {error.message}")
        self.status = status
        self.error = error
        self.retry_after_s = retry_after_s


class ApiUnreachable(Exception):
    """No answer. The request may have been done; the same one under the same idempotency key is safe."""


class StrangeAnswer(Exception):
    """The answer is not of this API."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer as it came; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RestClient(Connections):
    """One key's connection to the REST API; use it as an async context manager, or call `close`.

    Every call may raise `ApiRefused`, `ApiUnreachable` or `StrangeAnswer`. Calls that change something take an
    `idempotency_key`: the same key with the same request gets the first answer again.
    """

    def __init__(
        self, url: str, key_id: str, sign: SignText, *, tls: ssl.SSLContext | None = None, timeout_s: int = _TIMEOUT_S
    ) -> None:
        """Build a client; nothing is connected yet.

        Args:
            url: the platform, such as `https://pay.example.com`, without a path.
            key_id: `key_…`, as `bitlinkpay merchant api-key create` printed it.
            sign: the key itself, see `hmac` and `ed25519`.
            tls: for the mutual TLS port: a context with the platform's CA and the merchant's certificate.
            timeout_s: seconds for one call.
        """
        super().__init__(url, tls, timeout_s)
        self._key_id = key_id
        self._sign = sign

    @classmethod
    def hmac(cls, url: str, key_id: str, secret: str, *, tls: ssl.SSLContext | None = None) -> Self:
        """Return a client that signs with a shared secret."""
        return cls(url, key_id, hmac_signer(secret), tls=tls)

    @classmethod
    def ed25519(cls, url: str, key_id: str, private_key: Path, *, tls: ssl.SSLContext | None = None) -> Self:
        """Return a client that signs with a private key in a PEM file.

        Raises:
            OSError, ValueError: the file is missing or holds no Ed25519 key.
        """
        key = load_pem_private_key(private_key.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{private_key} holds no Ed25519 private key")  # noqa: TRY004 - the file is wrong
        return cls(url, key_id, ed25519_signer(key), tls=tls)

    async def create_order(self, order: CreateOrder, *, idempotency_key: str = "") -> OrderBody:
        """Create an order; the same `source_id` with the same fields answers with the first one."""
        return await self._post("/v1/orders", order, OrderBody, idempotency_key)

    async def create_pre_order(self, order: CreatePreOrder, *, idempotency_key: str = "") -> OrderBody:
        """Create an order whose payer picks the network."""
        return await self._post("/v1/pre-orders", order, OrderBody, idempotency_key)

    async def order(self, order_id: str) -> OrderBody:
        """Return an order."""
        return await self._get(f"/v1/orders/{_part(order_id)}", None, OrderBody)

    async def list_orders(self, query: OrderQuery | None = None) -> Page[OrderBody]:
        """Return a page of orders, the newest first."""
        return await self._get("/v1/orders", query, Page[OrderBody])

    async def cancel_order(self, order_id: str, *, idempotency_key: str = "") -> OrderBody:
        """Cancel an order on which nothing was received."""
        return await self._post(f"/v1/orders/{_part(order_id)}/cancel", None, OrderBody, idempotency_key)

    async def create_payout(self, payout: CreatePayout, *, idempotency_key: str = "") -> PayoutBody:
        """Pay a third party out of the balance."""
        return await self._post("/v1/payouts", payout, PayoutBody, idempotency_key)

    async def create_payouts(self, batch: CreatePayoutBatch, *, idempotency_key: str = "") -> BatchBody:
        """Make many payouts at once, each with a result of its own."""
        return await self._post("/v1/payouts/batch", batch, BatchBody, idempotency_key)

    async def payout(self, payout_id: str) -> PayoutBody:
        """Return a payout."""
        return await self._get(f"/v1/payouts/{_part(payout_id)}", None, PayoutBody)

    async def list_payouts(self, query: PayoutQuery | None = None) -> Page[PayoutBody]:
        """Return a page of payouts, the newest first."""
        return await self._get("/v1/payouts", query, Page[PayoutBody])

    async def cancel_payout(self, payout_id: str, *, idempotency_key: str = "") -> PayoutBody:
        """Call a payout back that is not signed yet."""
        return await self._post(f"/v1/payouts/{_part(payout_id)}/cancel", None, PayoutBody, idempotency_key)

    async def request_settlement(self, settlement: RequestSettlement) -> SettlementBody:
        """Settle now, under all four checks; its `id` makes it happen once."""
        return await self._post("/v1/settlements", settlement, SettlementBody)

    async def quote_settlement(self, question: QuoteSettlement) -> QuoteBody:
        """Say what a settlement would bring and cost now."""
        return await self._post("/v1/settlements/quote", question, QuoteBody)

    async def settlement(self, settlement_id: str) -> SettlementBody:
        """Return a settlement."""
        return await self._get(f"/v1/settlements/{_part(settlement_id)}", None, SettlementBody)

    async def list_settlements(self, query: SettlementQuery | None = None) -> Page[SettlementBody]:
        """Return a page of settlements, or of the runs of a rule, the newest first."""
        return await self._get("/v1/settlements", query, Page[SettlementBody])

    async def cancel_settlement(self, settlement_id: str, *, idempotency_key: str = "") -> SettlementBody:
        """Call a settlement back that is not signed yet."""
        return await self._post(f"/v1/settlements/{_part(settlement_id)}/cancel", None, SettlementBody, idempotency_key)

    async def add_settlement_rule(self, rule: AddRule) -> RuleBody:
        """Put a rule into force, under all four checks."""
        return await self._post("/v1/settlement-rules", rule, RuleBody)

    async def settlement_rules(self) -> list[RuleBody]:
        """Return the rules that are in force."""
        return (await self._get("/v1/settlement-rules", None, RulesBody)).data

    async def remove_settlement_rule(self, rule_id: str, *, idempotency_key: str = "") -> RuleBody:
        """Take a rule out of force at once."""
        return await self._post(f"/v1/settlement-rules/{_part(rule_id)}/remove", None, RuleBody, idempotency_key)

    async def statements(self, query: StatementQuery) -> list[StatementBody]:
        """Return the statements of a day, by asset."""
        return (await self._get("/v1/statements", query, StatementsBody)).data

    async def validate_address(self, question: ValidateAddress) -> AddressBody:
        """Say whether an address can be paid."""
        return await self._post("/v1/addresses/validate", question, AddressBody)

    async def quote_fees(self, question: QuoteFees) -> QuoteBody:
        """Say what a payout would cost now."""
        return await self._post("/v1/addresses/quote", question, QuoteBody)

    async def balances(self) -> list[BalanceBody]:
        """Return what there is, per asset."""
        return (await self._get("/v1/balances", None, BalancesBody)).data

    async def list_entries(self, query: EntryQuery | None = None) -> Page[EntryBody]:
        """Return a page of the lines of the books, the newest first."""
        return await self._get("/v1/entries", query, Page[EntryBody])

    async def list_callbacks(self, query: CallbackQuery | None = None) -> Page[CallbackBody]:
        """Return a page of callbacks, the newest first."""
        return await self._get("/v1/callbacks", query, Page[CallbackBody])

    async def callback(self, callback_id: str) -> CallbackBody:
        """Return a callback with every try."""
        return await self._get(f"/v1/callbacks/{_part(callback_id)}", None, CallbackBody)

    async def resend_callback(self, callback_id: str, *, idempotency_key: str = "") -> CallbackBody:
        """Send a callback again."""
        return await self._post(f"/v1/callbacks/{_part(callback_id)}/resend", None, CallbackBody, idempotency_key)

    async def list_events(self, query: EventQuery | None = None) -> EventsBody:
        """Return what happened since a cursor, the oldest first; keep `next_cursor` and ask again."""
        return await self._get("/v1/events", query, EventsBody)

    async def send(
        self, method: str, target: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> RawAnswer:
        """Sign and send any request and return what came.

        Raises:
            ApiUnreachable: no answer.
            StrangeAnswer: it is larger than 8 MB.
        """
        signed = {**self.sign(method, target, body), **(headers or {})}
        if body:
            signed.setdefault("content-type", "application/json")
        try:
            url = URL(self._url + target, encoded=True)  # what was signed, and not another spelling of it
            async with self._connected().request(
                method, url, data=body or None, headers=signed, allow_redirects=False
            ) as answer:
                content = await read_within(answer, _ANSWER_MAX)
                if content is None:
                    raise StrangeAnswer(f"the answer is larger than {_ANSWER_MAX} bytes")
                found = {name.lower(): value for name, value in answer.headers.items()}
                return RawAnswer(answer.status, found, content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnreachable(f"no answer from {self._url}: {error}") from error

    def sign(self, method: str, target: str, body: bytes) -> dict[str, str]:
        """Return the headers that sign a request now."""
        sent, nonce = str(int(time.time())), secrets.token_urlsafe(16)
        text = SignedText(method, target, sent, nonce, body).encode()
        signature = write_signature(self._sign(text))
        return {KEY_HEADER: self._key_id, TIME_HEADER: sent, NONCE_HEADER: nonce, SIGNATURE_HEADER: signature}

    async def _get(self, path: str, query: Request | None, kind: type[T]) -> T:
        given = {name: value for name, value in _values(query).items() if value != ""}
        target = f"{path}?{urlencode(given)}" if given else path
        return _good(await self.send("GET", target), kind)

    async def _post(self, path: str, body: Request | None, kind: type[T], idempotency_key: str = "") -> T:
        headers = {HEADER: idempotency_key} if idempotency_key else {}
        content = msgspec.json.encode(body) if body is not None else b""
        return _good(await self.send("POST", path, content, headers=headers), kind)


async def walk(
    ask: Callable[[str], Awaitable[Page[T]]],
) -> AsyncIterator[T]:
    """Yield everything of a list, page after page; `ask` gets the cursor, "" for the first page."""
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(cursor)
        for one in page.data:
            yield one
        cursor = page.next_cursor


def _part(text: str) -> str:
    """Return an id as one part of a path, whatever it is: a wrong one is told as missing, and leads nowhere else."""
    return quote(text, safe="")


def _values(query: Request | None) -> dict[str, object]:
    return {name: getattr(query, name) for name in query.__struct_fields__} if query is not None else {}


def _good(answer: RawAnswer, kind: type[T]) -> T:
    try:
        if answer.status in _GOOD:
            return msgspec.json.decode(answer.body, type=kind)
        error = msgspec.json.decode(answer.body, type=ErrorBody)
    except msgspec.MsgspecError as wrong:
        raise StrangeAnswer(f"HTTP {answer.status}: {wrong}") from None
    wait = answer.headers.get("retry-after", "0")
    raise ApiRefused(answer.status, error, int(wait) if wait.isdecimal() else 0)
