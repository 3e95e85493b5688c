"""`WmClient`: the encrypted mutual-TLS API as typed calls, and the sandbox's plain mode."""

import secrets
import ssl
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

import aiohttp
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bitlinkpay.client.connections import Connections, read_within
from bitlinkpay.wm.answers import OrderCreated, OrderDetail, PreOrderCreated, WithdrawCreated, WithdrawDetail
from bitlinkpay.wm.bodies import CreateOrder, CreatePreOrder, Lookup, Request, Withdraw, write_request
from bitlinkpay.wm.envelope import SECRET_SIZE, Sealed, load_public_key, seal_envelope
from bitlinkpay.wm.ids import Route
from bitlinkpay.wm.reading import (
    StrangeAnswer,
    read_inner,
    read_order_created,
    read_order_detail,
    read_outer,
    read_pre_order_created,
    read_withdraw_created,
    read_withdraw_detail,
)
from bitlinkpay.wm.strictjson import JsonValue

_ALPHABET: Final = (string.ascii_letters + string.digits).encode()
_TIMEOUT_S: Final = 30
_ANSWER_MAX: Final = 1_048_576
_OK: Final = 200


class WmRefused(Exception):
    """The platform understood the request and refused it (inner code)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class WmTurnedAway(Exception):
    """The platform did not let the request in (outer code): certificate, envelope, clock, replay, limit."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class WmUnreachable(Exception):
    """No answer: connection, TLS or time-out. The request may have been done; the same `source_id` again is safe."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The four files that the platform handed to a merchant."""

    ca: Path
    cert: Path
    key: Path
    public_key: Path


class _Seal(Protocol):
    def __call__(self, broker: str, plaintext: bytes) -> Sealed: ...


class WmClient(Connections):
    """One merchant's connection to the merchant API; use it as an async context manager, or call `close`.

    Every call may raise `WmRefused`, `WmTurnedAway`, `WmUnreachable` or `StrangeAnswer`.
    """

    def __init__(
        self, url: str, broker: str, *, ca: Path, cert: Path, key: Path, public_key: Path, timeout_s: int = _TIMEOUT_S
    ) -> None:
        """Load the key files; nothing is connected yet.

        Args:
            url: the merchant API's address, such as `https://localhost:8443`.
            broker: the merchant's broker id.
            ca: the platform's CA, PEM.
            cert: the merchant's certificate, PEM.
            key: its private key, PEM.
            public_key: the platform's envelope key, PEM.
            timeout_s: seconds for one call.

        Raises:
            OSError, ValueError: a file is missing or is not what it should be.
        """
        context = ssl.create_default_context(cafile=str(ca))
        context.load_cert_chain(cert, key)
        envelope_key = load_public_key(public_key.read_bytes())
        self._start(url, broker, _Encrypted(envelope_key), context, timeout_s)

    def _start(self, url: str, broker: str, seal: _Seal, context: ssl.SSLContext | None, timeout_s: int) -> None:
        super().__init__(url, context, timeout_s)
        self._broker = broker
        self._seal = seal

    @classmethod
    def of_files(cls, url: str, broker: str, files: KeyFiles) -> Self:
        """Return a client from the files that the platform handed out. Raises as the constructor."""
        return cls(url, broker, ca=files.ca, cert=files.cert, key=files.key, public_key=files.public_key)

    @classmethod
    def plain(cls, url: str, broker: str, *, timeout_s: int = _TIMEOUT_S) -> Self:
        """Return a client of a sandbox's plain mode (`w-test`): no certificate, no envelope, proves nothing."""
        client = cls.__new__(cls)
        client._start(url, broker, _plain, None, timeout_s)  # noqa: SLF001 -- the other constructor
        return client

    async def create_order(self, order: CreateOrder) -> OrderCreated:
        """Create an order; the same `source_id` with the same fields answers with the first one."""
        return read_order_created(await self._call(Route.CREATE, order))

    async def pre_order(self, order: CreatePreOrder) -> PreOrderCreated:
        """Create an order whose payer picks the network."""
        return read_pre_order_created(await self._call(Route.PRE_CREATE, order))

    async def detail(self, source_id: str) -> OrderDetail:
        """Return an order as it stands."""
        return read_order_detail(await self._call(Route.DETAIL, Lookup(source_id)))

    async def cancel(self, source_id: str) -> None:
        """Cancel an order on which nothing was received."""
        await self._call(Route.CANCEL, Lookup(source_id))

    async def withdraw(self, order: Withdraw) -> WithdrawCreated:
        """Ask for a withdrawal; safe to repeat with the same `source_id` and parameters."""
        return read_withdraw_created(await self._call(Route.WITHDRAW, order))

    async def withdraw_detail(self, source_id: str) -> WithdrawDetail:
        """Return a withdrawal as it stands."""
        return read_withdraw_detail(await self._call(Route.WITHDRAW_DETAIL, Lookup(source_id)))

    async def call(self, route: str, plaintext: bytes) -> JsonValue:
        """Send any JSON text to any route and return the content; for fields that the typed calls do not know."""
        outer = read_outer(await self.post(route, plaintext))
        if outer.code != 0:
            raise WmTurnedAway(outer.code, outer.msg)
        if not isinstance(outer.data, str):
            raise StrangeAnswer("an answer with code 0 holds no inner answer")
        inner = read_inner(outer.data)
        if inner.code != 0:
            raise WmRefused(inner.code, inner.msg)
        return inner.data

    async def post(self, route: str, plaintext: bytes) -> bytes:
        """Seal and send a text and return the answer's bytes.

        Raises:
            WmUnreachable: no answer.
            StrangeAnswer: not HTTP 200, or a megabyte and more.
        """
        return await self.post_sealed(route, self._seal(self._broker, plaintext))

    async def post_sealed(self, route: str, sealed: Sealed) -> bytes:
        """Send an envelope as it is. Raises as `post`."""
        headers = {"content-type": "application/json", **sealed.headers}
        try:
            async with self._connected().post(self._url + route, data=sealed.body, headers=headers) as answer:
                if answer.status != _OK:
                    raise StrangeAnswer(f"HTTP {answer.status}")
                content = await read_within(answer, _ANSWER_MAX)
                if content is None:
                    raise StrangeAnswer(f"the answer is larger than {_ANSWER_MAX} bytes")
                return content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise WmUnreachable(f"no answer from {self._url}: {error}") from error

    async def _call(self, route: Route, request: Request) -> JsonValue:
        return await self.call(route, write_request(request))


class _Encrypted:
    """Seals under the platform's key with a fresh secret each time."""

    def __init__(self, key: RSAPublicKey) -> None:
        self._key = key

    def __call__(self, broker: str, plaintext: bytes) -> Sealed:
        return seal_envelope(
            self._key,
            broker,
            plaintext,
            ts_ms=time.time_ns() // 1_000_000,
            nonce=f"{secrets.randbelow(1_000_000):06d}",
            secret=bytes(secrets.choice(_ALPHABET) for _ in range(SECRET_SIZE)),
        )


def _plain(broker: str, plaintext: bytes) -> Sealed:
    return Sealed(headers={"w-broker": broker, "w-test": "1"}, body=plaintext)
