"""A merchant's person at a live deployment: payment password, authenticator and device, enrolled as operators do it."""

import asyncio
import base64
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from tests.support.live import Live

from bitlinkpay.authorizations.onetime import code_at, step_of

NO_REST = "\n[settlements]\nhold_h = 0\n"
"""What a deployment's configuration says where a new bound address is used at once."""

ON_ITS_WAY = timedelta(seconds=15)


@dataclass
class Person:
    """Who passes all four checks for the merchant; each code is made once."""

    live: Live
    environment: dict[str, str] = field(default_factory=dict)
    key: bytes = b""
    step: int = 0

    @classmethod
    async def enrol(cls, live: Live) -> "Person":
        person = cls(live, {"BITLINKPAY_PAYMENT_PASSWORD": secrets.token_urlsafe(16)})
        await person.command("merchant", "set-payment-password")
        uri = str((await person.command("merchant", "totp"))["uri"])
        text = parse_qs(urlsplit(uri).query)["secret"][0]
        person.key = base64.b32decode(text + "=" * (-len(text) % 8))
        await person.command("merchant", "totp", "--confirm", await person.code())
        device = await person.command("merchant", "devices", "--add", "office")
        person.environment["BITLINKPAY_DEVICE"] = str(device["token"])
        return person

    async def code(self) -> str:
        """Return the next code that the platform takes, and still takes after `ON_ITS_WAY`: one step on either side."""
        while self.step > step_of(datetime.now(UTC)):
            await asyncio.sleep(0.2)
        self.step = max(self.step + 1, step_of(datetime.now(UTC) + ON_ITS_WAY) - 1)
        return code_at(self.key, self.step)

    async def command(self, noun: str, verb: str, *words: str) -> dict:
        return await self.live.command(noun, verb, "Shop", *words, environment=self.environment)

    async def prove(self, verb: str, *words: str) -> dict:
        return await self.command("settlement", verb, *words, "--code", await self.code())
