"""JSON-RPC 2.0 in batches, over the guarded transport of `chains.transport`."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from bitlinkpay.chains.base import ChainError, EndpointFailed
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.transport import (
    AnswerTooLarge,
    Endpoint,
    NoAnswerInTime,
    StatusRefused,
    Transport,
)

_CLIENT_ERROR = 400
_LIMIT_CODES = frozenset({-32005, -32029, 429})  # EIP-1474 "limit exceeded" and what providers use beside it
_METHOD_MISSING = -32601
_TOO_MUCH = re.compile(r"too (large|many|big|long)|exceed|limit|size", re.IGNORECASE)


class CallRefused(ChainError):
    """The node answered a call with a JSON-RPC error."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {printable(message)} ({code})")
        self.code = code

    @property
    def is_unsupported(self) -> bool:
        """Say whether the endpoint lacks the method."""
        return self.code == _METHOD_MISSING


@dataclass(frozen=True, slots=True)
class Call:
    """One method call with positional parameters."""

    method: str
    params: tuple[object, ...] = ()


class Fault(msgspec.Struct, frozen=True):
    """The error object of JSON-RPC 2.0, section 5.1."""

    code: int
    message: str = ""


class Answer(msgspec.Struct, frozen=True):
    """One response of a batch; `result` is undecoded JSON, empty where the node gave an error instead."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: Fault | None = None


class _Request(msgspec.Struct, frozen=True):
    id: int
    method: str
    params: tuple[object, ...]
    jsonrpc: str = "2.0"


_BATCH = msgspec.json.Decoder(list[Answer])
_SINGLE = msgspec.json.Decoder(Answer)


class JsonRpc:
    """The connection to one endpoint. Not safe for more than one event loop."""

    def __init__(self, endpoint: Endpoint, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.endpoint = endpoint
        self._transport = Transport(endpoint, now_ns)
        self.breaker = self._transport.breaker
        self._batch_max: dict[str, int] = {}
        self._next_id = 1

    @property
    def connections(self) -> int:
        """Return how many connections were ever opened: a new one may lead to another node."""
        return self._transport.connections

    @property
    def calls(self) -> int:
        """Return how many calls were ever made."""
        return self._transport.calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def batch(self, calls: Sequence[Call]) -> list[Answer]:
        """Make calls of one kind and return their answers in order; a call's own error is in its answer.

        The calls travel in as few HTTP requests as the endpoint takes; when it calls a request too large, the
        request is halved and the smaller size remembered.

        Raises:
            EndpointFailed: transport, time, status, or an answer that does not fit what was asked.
            AnswerTooLarge: even a single call is too much for it.
        """
        answers: list[Answer] = []
        while len(answers) < len(calls):
            kind = calls[len(answers)].method
            size = self._batch_max.get(kind, self.endpoint.batch_max)
            chunk = calls[len(answers) : len(answers) + size]
            try:
                async with self._transport.guarded(len(chunk)):
                    answers += await self._exchange(chunk)
            except AnswerTooLarge:
                if len(chunk) == 1:
                    raise
                self._batch_max[kind] = len(chunk) // 2
                continue
            if len(chunk) == size < self.endpoint.batch_max:
                self._batch_max[kind] = size + 1
        return answers

    async def _exchange(self, calls: Sequence[Call]) -> list[Answer]:
        first = self._next_id
        self._next_id += len(calls)
        requests = [_Request(first + i, call.method, call.params) for i, call in enumerate(calls)]
        body = await self._post(msgspec.json.encode(requests), calls[0].method)
        return self._match(self._parse(body), first, len(calls))

    def _fail(self, what: str) -> EndpointFailed:
        return self._transport.failure(what)

    async def _post(self, body: bytes, method: str) -> bytes:
        try:
            return await self._transport.post(self.endpoint.url, body)
        except NoAnswerInTime:
            # Half as much may come in time, but a silent node would cost that wait again: only the next one is smaller.
            self._batch_max[method] = max(1, self._batch_max.get(method, self.endpoint.batch_max) // 2)
            raise
        except StatusRefused as refused:
            if refused.status >= _CLIENT_ERROR and _TOO_MUCH.search(refused.body.decode("ascii", "replace")):
                raise AnswerTooLarge(f"{refused}, too much at once") from None
            raise

    def _parse(self, body: bytes) -> list[Answer]:
        try:
            if body.lstrip()[:1] == b"{":
                return [_SINGLE.decode(body)]
            return _BATCH.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise self._fail(f"not a JSON-RPC answer ({type(error).__name__})") from None

    def _match(self, answers: list[Answer], first: int, count: int) -> list[Answer]:
        """Return the answers in the order of the calls: exactly one for each id that was sent."""
        for answer in answers:
            if answer.error is not None and answer.error.code in _LIMIT_CODES:
                raise AnswerTooLarge(f"{self.endpoint.label}: limit exceeded ({answer.error.code})")
        if len(answers) != count:
            only = answers[0].error if len(answers) == 1 else None
            if only is not None and _TOO_MUCH.search(only.message):
                raise AnswerTooLarge(f"{self.endpoint.label}: {printable(only.message)}")
            raise self._fail(f"{len(answers)} answers to {count} calls")
        by_id = {answer.id: answer for answer in answers}
        try:
            ordered = [by_id[first + i] for i in range(count)]
        except KeyError:
            raise self._fail("answers with other ids than the calls") from None
        if not all(answer.error is not None or len(answer.result) for answer in ordered):
            raise self._fail("an answer has neither result nor error")
        return ordered
