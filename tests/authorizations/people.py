"""A merchant's person: knows the password, holds the authenticator and works from a known device."""

import base64
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from tests.flows.harness import make_merchant
from tests.support.clock import ManualClock
from tests.support.sealing import SEALER

from bitlinkpay.authorizations import onetime, setup
from bitlinkpay.authorizations.factors import OneTimeCodes
from bitlinkpay.authorizations.model import Action, Authorization, Shown
from bitlinkpay.authorizations.service import Checks
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.merchants import store as merchants_store
from bitlinkpay.merchants.model import Merchant

PASSWORD = "correct horse battery"
PEER = "203.0.113.7"


def stretched(password: str = PASSWORD) -> str:
    """Stretch as cheaply as Argon2id allows: a hash carries its own cost, and that of `passwords.stretch` is high on purpose."""
    kdf = Argon2id(salt=bytes(16), length=32, iterations=1, lanes=1, memory_cost=8)
    return kdf.derive_phc_encoded(password.encode())


def key_of(uri: str) -> bytes:
    """Return the secret that an authenticator app reads from what it scans."""
    (secret,) = parse_qs(urlsplit(uri).query)["secret"]
    return base64.b32decode(secret)


@dataclass
class Person:
    """A person of one merchant, fully set up."""

    database: Database
    merchant: Merchant
    wall: ManualClock
    key: bytes = b""
    device: str = ""
    checks: Checks = field(init=False)

    def __post_init__(self) -> None:
        self.checks = self.checks_of(self.database)

    def checks_of(self, database: Database, mode: Mode = Mode.SANDBOX) -> Checks:
        return Checks(database, OneTimeCodes(SEALER), mode=mode, wall=self.wall)

    @classmethod
    async def of(cls, database: Database, merchant: Merchant, wall: ManualClock) -> "Person":
        """Set a stored merchant up as an operator does."""
        person = cls(database, merchant, wall)
        merchant_id, now = merchant.merchant_id, wall.now()
        async with database.transaction() as tx:
            await setup.set_password(tx, merchant_id, stretched(), by="operator", now=now)
            uri = await setup.show_authenticator(tx, SEALER, merchant, issuer="Pay", by="operator", now=now)
            person.key = key_of(uri)
            code = onetime.code_at(person.key, onetime.step_of(now) - 1)
            await setup.confirm_authenticator(tx, SEALER, merchant_id, code, by="operator", now=now)
            new = await setup.introduce_device(tx, merchant_id, "office", by="operator", now=now)
            await setup.confirm_device(tx, merchant_id, new.device.device_id, by="operator", now=now)
            person.device = new.token
        return person

    def code(self, steps: int = 0) -> str:
        """Return the code that the authenticator shows now, or so many steps from now."""
        return onetime.code_at(self.key, onetime.step_of(self.wall.now()) + steps)

    def shown(self, **changed: str) -> Shown:
        fields = {"peer": PEER, "device": self.device, "password": PASSWORD, "answer": self.code()} | changed
        return Shown(**fields)

    def action(self, *fields: str) -> Action:
        return Action(self.merchant.merchant_id, "test.pay", fields)

    async def authorize(self, *fields: str, **changed: str) -> Authorization:
        return await self.checks.authorize(self.merchant, self.action(*fields), self.shown(**changed))

    async def use(self, given: Authorization, *fields: str) -> None:
        await self.database.unit(lambda tx: self.checks.use(tx, given.authorization_id, self.action(*fields)))


async def stored_merchant(database: Database, **terms: object) -> Merchant:
    merchant = make_merchant(ManualClock(), **terms)
    async with database.transaction() as tx:
        await merchants_store.insert(tx, merchant)
    return merchant
