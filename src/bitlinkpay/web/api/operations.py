"""An operation of the API: where it is, who may, what goes in, what is done. The document is made of it."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import msgspec

from bitlinkpay.merchants.api_keys.model import Scope
from bitlinkpay.web.api.call import Call, Reply
from bitlinkpay.web.api.deeds import Deed, Deeds
from bitlinkpay.web.api.reading import query_as, read_body
from bitlinkpay.web.api.refusals import NoRoute, WrongMethod
from bitlinkpay.web.api.shapes import Request

Q = TypeVar("Q", bound=Request)
B = TypeVar("B", bound=Request)

GET: Final = "GET"
HEAD: Final = "HEAD"
_ID: Final = "([A-Za-z0-9_]{1,64})"
_OK: Final = 200
_CREATED: Final = 201


class Nothing(Request, frozen=True, kw_only=True):
    """No query, or no body."""


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        name: its `operationId`.
        path: with places for ids, such as `/v1/orders/{order_id}`.
        summary: what it does; the first line of what people read.
        scopes: any one of them suffices.
        answer: the type of a good answer, `status` its status.
        repeats: whether an idempotency key is heeded.
    """

    name: str
    method: str
    path: str
    summary: str
    scopes: frozenset[Scope]
    answer: object
    status: int
    query: type[Request]
    body: type[Request]
    repeats: bool
    run: Callable[[Call], Awaitable[Reply]]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return what matches its paths, with the ids as groups."""
        return re.compile(re.sub(r"\{\w+\}", _ID, self.path), re.ASCII)


def reading(
    name: str,
    path: str,
    summary: str,
    *,
    scopes: set[Scope],
    answer: object,
    query: type[Q],
    do: Callable[[Call, Q], Awaitable[msgspec.Struct]],
) -> Operation:
    """Return a GET: nothing changes."""

    async def run(call: Call) -> Reply:
        read_body(call.body, Nothing)
        return Reply(_OK, msgspec.json.encode(await do(call, query_as(call.query, query))))

    return Operation(
        name,
        GET,
        path,
        summary,
        frozenset(scopes | {Scope.READ}),
        answer,
        _OK,
        query,
        Nothing,
        repeats=False,
        run=run,
    )


def asking(
    name: str,
    path: str,
    summary: str,
    *,
    scopes: set[Scope],
    answer: object,
    body: type[B],
    do: Callable[[Call, B], Awaitable[msgspec.Struct]],
) -> Operation:
    """Return a POST without an idempotency key: it changes nothing, or its body holds what lets it happen once."""

    async def run(call: Call) -> Reply:
        query_as(call.query, Nothing)
        return Reply(_OK, msgspec.json.encode(await do(call, read_body(call.body, body))))

    return Operation(
        name,
        "POST",
        path,
        summary,
        frozenset(scopes),
        answer,
        _OK,
        Nothing,
        body,
        repeats=False,
        run=run,
    )


def doing(
    name: str,
    path: str,
    summary: str,
    *,
    scopes: set[Scope],
    answer: object,
    body: type[B],
    deeds: Deeds,
    prepare: Callable[[Call, B], Awaitable[Deed]],
    status: int | None = None,
) -> Operation:
    """Return a POST that changes something: 201 where it takes a body that makes something, else 200."""
    status = status or (_CREATED if body.__struct_fields__ else _OK)

    async def run(call: Call) -> Reply:
        query_as(call.query, Nothing)
        given = read_body(call.body, body)
        return await deeds.perform(call, status, lambda: prepare(call, given))

    return Operation(
        name, "POST", path, summary, frozenset(scopes), answer, status, Nothing, body, repeats=True, run=run
    )


def find_operation(operations: Sequence[Operation], method: str, path: str) -> tuple[Operation, tuple[str, ...]]:
    """Return what answers a request, with the ids of its path.

    Raises:
        NoRoute: nothing has this path.
        WrongMethod: the path answers to other methods.
    """
    matches = [(one, match) for one in operations if (match := one.pattern.fullmatch(path))]
    if not matches:
        raise NoRoute
    asked = GET if method == HEAD else method
    for operation, match in matches:
        if operation.method == asked:
            return operation, match.groups()
    raise WrongMethod(allowed({operation.method for operation, _ in matches}))


def allowed(methods: set[str]) -> str:
    """Return what a path answers to, as `Allow` says it: what can be read can be asked about too (RFC 9110, 9.1)."""
    return ", ".join(sorted(methods | ({HEAD} if GET in methods else set())))
