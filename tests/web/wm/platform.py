"""A merchant API put together from its real parts, on loopback and a real database, for tests and for the Go programs."""

import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from tests.support.sealing import SEALER

from bitlinkpay.chains.outgoing import FeeQuote, Intent
from bitlinkpay.chains.registry import Registry
from bitlinkpay.client.wm import KeyFiles, WmClient
from bitlinkpay.core.clock import Clock, SystemClock
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import Merchant
from bitlinkpay.merchants.service import Credentials
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.rates.model import NoQuote
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets import service as wallets
from bitlinkpay.web.tls import TlsFiles, server_context
from bitlinkpay.web.wm.app import WmApp
from bitlinkpay.web.wm.body import BodyLimits
from bitlinkpay.web.wm.desk import Desk
from bitlinkpay.web.wm.gate import FAILURES, EncryptedGate, Gate, PlainGate
from bitlinkpay.web.wm.limits import Rate
from bitlinkpay.web.wm.listener import Listener
from bitlinkpay.web.wm.opener import Opener
from bitlinkpay.web.wm.withdrawals import Withdrawals
from bitlinkpay.webhooks.policy import sandbox_policy
from bitlinkpay.wm.envelope import Sealed, load_public_key, seal_envelope

PRICES = {
    ("USDT", "CNY"): "7.2",
    ("USDT", "USD"): "1",
    ("TRX", "CNY"): "2.2",
    ("ETH", "CNY"): "25000",
    ("CNY", "USDT"): "0.14",
}


async def market(base: str, quote: str) -> Decimal:
    """Fixed prices: the seam that real tickers stand behind."""
    try:
        return Decimal(PRICES[base, quote])
    except KeyError:
        raise NoQuote(f"no price for {base}/{quote}") from None


def order_url(payin_id: UUID) -> str:
    return f"https://pay.example/pay/{payin_id.hex}"


@dataclass(frozen=True, slots=True)
class TestMerchant:
    """A merchant with its files on disk, as the operator's command leaves them."""

    __test__ = False

    merchant: Merchant
    files: KeyFiles
    spki: bytes

    @property
    def broker(self) -> str:
        return self.merchant.broker


def make_payouts(registry: Registry, ring: KeyRing) -> Payouts:
    """Payouts on networks that ask for a fixed fee, and a market that stands still: the seams of chains and rates."""

    async def quotes(intent: Intent) -> FeeQuote:
        units = 10 ** (registry.native(intent.network).decimals - 1)
        return FeeQuote(units, 2 * units)

    async def prices(base: str, quote: str) -> Decimal:
        return await market(base, "CNY") / await market(quote, "CNY")

    return Payouts(
        registry=registry,
        quotes=quotes,
        prices=prices,
        providers=[],
        hot_wallet=ring.hot_wallet,
        clock=SystemClock(),
    )


@dataclass
class MerchantApi:
    """The running ports and what tests need of them."""

    database: Database
    authority: Authority
    registry: Registry
    payins: Payins
    directory: Directory
    desk: Desk
    folder: Path
    url: str = ""
    plain_url: str = ""
    listeners: list[Listener] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        database: Database,
        authority: Authority,
        registry: Registry,
        ring: KeyRing,
        folder: Path,
        *,
        wall: Clock | None = None,
        clock: Clock | None = None,
        mode: Mode = Mode.SANDBOX,
        limits: BodyLimits | None = None,
        failures: Rate = FAILURES,
        now_ns: Callable[[], int] = time.monotonic_ns,
        denied: frozenset[bytes] = frozenset(),
    ) -> AsyncIterator["MerchantApi"]:
        wall = wall or SystemClock()
        async with database.transaction() as tx:
            await wallets.import_keyring(tx, ring)
        payins = Payins(
            registry=registry,
            allocator=wallets.Allocator(database, ring),
            market=market,
            clock=clock or SystemClock(),
        )
        directory = Directory(database, wall=wall, denied=denied)
        await directory.start()
        opener = Opener(authority.envelope)
        withdrawals = Withdrawals(
            database, make_payouts(registry, ring), registry, mode=mode, urls=sandbox_policy(), wall=wall
        )
        desk = Desk(
            database, payins, withdrawals, registry, mode=mode, urls=sandbox_policy(), order_url=order_url, wall=wall
        )
        api = cls(database, authority, registry, payins, directory, desk, folder)
        gate = EncryptedGate(directory, opener, wall=wall, failures=failures, now_ns=now_ns)
        files = TlsFiles(authority.server_certificate_path, authority.server_key_path, authority.ca_path)
        api.url = f"https://localhost:{await api.listen(gate, server_context(files), limits)}"
        if mode is Mode.SANDBOX:
            api.plain_url = f"http://127.0.0.1:{await api.listen(PlainGate(directory, mode), None, limits)}"
        try:
            yield api
        finally:
            for listener in api.listeners:
                await listener.stop(grace_s=1)
            await desk.drain()
            await opener.close()

    async def listen(self, gate: Gate, tls: ssl.SSLContext | None, limits: BodyLimits | None) -> int:
        app = WmApp(gate, self.desk, limits=limits)
        listener = Listener(app, host="127.0.0.1", port=0, tls=tls)
        self.listeners.append(listener)
        return await listener.start()

    async def give(self, merchant: TestMerchant, asset: str, units: int) -> None:
        """Put a balance into the books, as the company's gift."""
        available = accounts.available(merchant.merchant.merchant_id)
        gift = Posting(
            key=f"gift:{secrets.token_hex(8)}",
            event=LedgerEvent.HOT_WALLET_FUNDED,
            asset=asset,
            moves=(Move(accounts.hot_custody("gift"), available, units),),
            merchant_id=merchant.merchant.merchant_id,
            happened_at=datetime.now(UTC),
        )
        async with self.database.transaction() as tx:
            await ledger.post_all(tx, [gift])

    async def merchant(self, name: str = "Tea House", **terms: object) -> TestMerchant:
        now = datetime.now(UTC)
        async with self.database.transaction() as tx:
            created = await merchants.create(tx, self.authority, SEALER, name, now=now)
            found = created.merchant
            if terms:
                found = await merchants.change(tx, found.merchant_id, lambda m: replace(m, **terms), now=now)
            spki = (await merchants.list_certificates(tx, found.merchant_id))[0].spki
        return TestMerchant(found, self.write(created.credentials, found.broker), spki)

    def write(self, credentials: Credentials, name: str) -> KeyFiles:
        folder = self.folder / f"{name}-{secrets.token_hex(4)}"
        folder.mkdir()
        files = KeyFiles(
            ca=folder / "ca.crt",
            cert=folder / "client.crt",
            key=folder / "client.key",
            public_key=folder / "public_key.pem",
        )
        files.ca.write_bytes(credentials.ca_pem)
        files.cert.write_bytes(credentials.certificate_pem)
        files.key.write_bytes(credentials.key_pem)
        files.public_key.write_bytes(credentials.public_key_pem)
        return files

    def client(self, merchant: TestMerchant, *, broker: str | None = None, url: str | None = None) -> WmClient:
        return WmClient.of_files(url or self.url, broker or merchant.broker, merchant.files)

    def plain(self, merchant: TestMerchant) -> WmClient:
        return WmClient.plain(self.plain_url, merchant.broker)

    def sealed(
        self, merchant: TestMerchant, body: object, *, ts_ms: int | None = None, nonce: str = "123456"
    ) -> Sealed:
        """An envelope that the merchant's own client would have made, with time and nonce of the test's choice."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        return seal_envelope(
            load_public_key(merchant.files.public_key.read_bytes()),
            merchant.broker,
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            ts_ms=now_ms if ts_ms is None else ts_ms,
            nonce=nonce,
            secret=secrets.token_hex(8).encode(),
        )
