"""Requests that are signed with an HMAC secret or an Ed25519 key, and what comes back of them."""

import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import urlencode

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
from bitlinkpay.web.api.refusals import ErrorBody
from bitlinkpay.web.api.shapes import Page, Request

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


class SignedConnection(Connections):
    """One key's connection to the REST API; use it as an async context manager, or call `close`."""

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

    async def get(self, path: str, query: Request | None, kind: type[T]) -> T:
        """Ask for something and return it."""
        given = _values(query)
        target = f"{path}?{urlencode(given)}" if given else path
        return _good(await self.send("GET", target), kind)

    async def post(self, path: str, body: Request | None, kind: type[T], idempotency_key: str = "") -> T:
        """Have something done, or asked with a body, and return the answer."""
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


def _values(query: Request | None) -> dict[str, object]:
    """Return what a query says; what it leaves open is left out."""
    given: dict[str, object] = msgspec.to_builtins(query) if query is not None else {}
    return {name: value for name, value in given.items() if value not in {"", None}}


def _good(answer: RawAnswer, kind: type[T]) -> T:
    try:
        if answer.status in _GOOD:
            return msgspec.json.decode(answer.body, type=kind)
        error = msgspec.json.decode(answer.body, type=ErrorBody)
    except msgspec.MsgspecError as wrong:
        raise StrangeAnswer(f"HTTP {answer.status}: {wrong}") from None
    wait = answer.headers.get("retry-after", "0")
    raise ApiRefused(answer.status, error, int(wait) if wait.isdecimal() else 0)
