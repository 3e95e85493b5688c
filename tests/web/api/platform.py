"""The REST API put together from its real parts, on loopback and a real database."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.clock import ManualClock
from tests.support.sealing import SEALER
from tests.web.wm.platform import make_payouts, market, order_url

from bitlinkpay.authorizations.factors import OneTimeCodes
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.chains.registry import Registry
from bitlinkpay.client.rest import RestClient
from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.ids import MerchantId, new_uuid7, show_id
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger import accounts
from bitlinkpay.ledger import service as ledger
from bitlinkpay.ledger.model import LedgerEvent, Move, Posting
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.api_keys import service as api_keys
from bitlinkpay.merchants.api_keys.directory import ApiKeys
from bitlinkpay.merchants.api_keys.model import ApiKey, Scope
from bitlinkpay.merchants.api_keys.service import Terms
from bitlinkpay.merchants.api_keys.signing import SignText, ed25519_signer, hmac_signer
from bitlinkpay.merchants.directory import Directory
from bitlinkpay.merchants.model import Merchant, MerchantState
from bitlinkpay.payins.service import Payins
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.sandbox.service import Sandbox
from bitlinkpay.settlements.addresses.service import Homes
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.wallets import service as wallets
from bitlinkpay.web.api.build import Services, build_api
from bitlinkpay.web.api.gate import Gate
from bitlinkpay.web.wm.body import BodyLimits
from bitlinkpay.web.wm.listener import Listener
from bitlinkpay.webhooks.policy import sandbox_policy

ALL = frozenset(Scope)


def _world(database: Database, registry: Registry) -> SandboxActions:
    return SandboxActions(database=database, registry=registry, clock=SystemClock())


@dataclass(frozen=True, slots=True)
class Signer:
    """A merchant with one of its keys."""

    merchant: Merchant
    key: ApiKey
    sign: SignText = field(repr=False)

    @property
    def key_id(self) -> str:
        return show_id("key", self.key.key_id)


@dataclass
class Rest:
    """The running port and what tests need of it."""

    database: Database
    registry: Registry
    gate: Gate
    directory: Directory
    services: Services
    wall: ManualClock
    url: str = ""

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        database: Database,
        registry: Registry,
        ring: KeyRing,
        *,
        mode: Mode = Mode.SANDBOX,
        limits: BodyLimits | None = None,
    ) -> AsyncIterator["Rest"]:
        async with database.transaction() as tx:
            await wallets.import_keyring(tx, ring)
            await Sandbox(registry).prepare(tx, datetime.now(UTC))
        wall = ManualClock(datetime.now(UTC))
        payins = Payins(
            registry=registry, allocator=wallets.Allocator(database, ring), market=market, clock=SystemClock()
        )
        payouts, business = make_payouts(registry, ring), SystemClock()
        checks = Checks(database, OneTimeCodes(SEALER), mode=mode, wall=wall)
        services = Services(
            database=database,
            registry=registry,
            payins=payins,
            payouts=payouts,
            settlements=Settlements(
                database=database, registry=registry, payouts=payouts, checks=checks, clock=business
            ),
            rules=Rules(database, checks, business),
            homes=Homes(database, registry, checks, business),
            mode=mode,
            urls=sandbox_policy(),
            order_url=order_url,
            clock=SystemClock(),
            wall=wall,
            sandbox=_world(database, registry) if mode is Mode.SANDBOX else None,
        )
        keys, directory = ApiKeys(database), Directory(database)
        await keys.start()
        gate = Gate(database, keys, SEALER, directory, wall=wall)
        rest = cls(database, registry, gate, directory, services, wall)
        listener = Listener(build_api(gate, services, limits=limits), host="127.0.0.1", port=0, tls=None)
        rest.url = f"http://127.0.0.1:{await listener.start()}"
        try:
            yield rest
        finally:
            await listener.stop(grace_s=1)
            await gate.drain()

    async def merchant(self, **terms: object) -> Merchant:
        made = Merchant(
            merchant_id=MerchantId(new_uuid7()),
            broker=secrets.token_hex(8),
            name="Tea House",
            state=MerchantState.ACTIVE,
            created_at=datetime.now(UTC),
        )
        async with self.database.transaction() as tx:
            await merchants_store.insert(tx, replace(made, **terms))
        return replace(made, **terms)

    async def signer(
        self,
        merchant: Merchant | None = None,
        *,
        scopes: frozenset[Scope] = ALL,
        networks: tuple[str, ...] = (),
        is_ed25519: bool = False,
        **terms: object,
    ) -> Signer:
        owner = merchant or await self.merchant(**terms)
        asked, now = Terms("tests", scopes, networks), datetime.now(UTC)
        async with self.database.transaction() as tx:
            if not is_ed25519:
                made = await api_keys.create_hmac(tx, SEALER, owner.merchant_id, asked, now=now)
                return Signer(owner, made.key, hmac_signer(made.secret))
            private = Ed25519PrivateKey.generate()
            public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            made = await api_keys.create_ed25519(tx, public, owner.merchant_id, asked, now=now)
            return Signer(owner, made.key, ed25519_signer(private))

    def client(self, signer: Signer) -> RestClient:
        return RestClient(self.url, signer.key_id, signer.sign)

    async def give(self, merchant: Merchant, asset: str, units: int) -> None:
        """Put a balance into the books, as the company's gift."""
        gift = Posting(
            key=f"gift:{secrets.token_hex(8)}",
            event=LedgerEvent.HOT_WALLET_FUNDED,
            asset=asset,
            moves=(Move(accounts.hot_custody("gift"), accounts.available(merchant.merchant_id), units),),
            merchant_id=merchant.merchant_id,
            happened_at=datetime.now(UTC),
        )
        async with self.database.transaction() as tx:
            await ledger.post_all(tx, [gift])

    async def revoke(self, signer: Signer) -> None:
        async with self.database.transaction() as tx:
            await api_keys.revoke(tx, signer.merchant.merchant_id, signer.key.key_id, now=datetime.now(UTC))

    async def suspend(self, merchant: Merchant) -> None:
        async with self.database.transaction() as tx:
            await merchants.suspend(tx, merchant.merchant_id, now=datetime.now(UTC))

    async def count(self, table: str) -> int:
        async with self.database.reader() as tx:
            return await tx.fetchval(f"select count(*) from {table}")
