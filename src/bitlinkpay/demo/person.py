"""The merchant's person in the demo: a payment password, a device, and an authenticator that makes one-time codes."""

import base64
import secrets
import time
from datetime import UTC, datetime
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from bitlinkpay.authorizations.onetime import code_at, step_of
from bitlinkpay.demo.deployment import Demo

_PASSWORD: Final = "BITLINKPAY_PAYMENT_PASSWORD"  # noqa: S105 - the name of a variable
_DEVICE: Final = "BITLINKPAY_DEVICE"


class _Shown(msgspec.Struct):
    uri: str


class _Device(msgspec.Struct):
    token: str


class Person:
    """Who passes the four checks for the merchant; each code is made once."""

    def __init__(self, key: bytes, environment: dict[str, str]) -> None:
        self._key = key
        self._used_step = 0
        self.environment = environment

    @classmethod
    def enrol(cls, demo: Demo, broker: str) -> Self:
        """Set a password, scan the authenticator's key, introduce a device, as the operator does for the merchant."""
        environment = {_PASSWORD: secrets.token_urlsafe(16)}
        demo.command(dict[str, str], "merchant", "set-payment-password", broker, environment=environment)
        shown = demo.command(_Shown, "merchant", "totp", broker)
        text = parse_qs(urlsplit(shown.uri).query)["secret"][0]
        person = cls(base64.b32decode(text + "=" * (-len(text) % 8)), environment)
        demo.command(dict[str, str], "merchant", "totp", broker, "--confirm", person.code())
        device = demo.command(_Device, "merchant", "devices", broker, "--add", "office")
        environment[_DEVICE] = device.token
        return person

    def code(self) -> str:
        """Return a code that was not used yet; waits for the next one where it has to."""
        while (step := step_of(datetime.now(UTC))) <= self._used_step:
            time.sleep(1)
        self._used_step = step
        return code_at(self._key, step)
