"""What HTTP itself refuses before any service is asked, and the one shape of every error."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Final

import msgspec

from bitlinkpay.authorizations.model import LockedOut
from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.web.errors import http_status, problem_body


class Refusal(Problem):
    """A refusal that has an HTTP status of its own."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = Kind.INVALID


class Unsigned(Refusal):
    """Nobody is let in: no key, no signature, a wrong one, or from where the key may not be used."""

    code = "signature.refused"
    status = 401
    type = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "the request is not signed by a working API key: check blp-key, the signed text, and the key's networks"
        )


class ClockOff(Refusal):
    """The signature is good, its time is not."""

    code = "signature.clock"
    status = 401
    type = "unauthenticated"

    def __init__(self, seconds: int, now: datetime) -> None:
        super().__init__(
            f"blp-time is {seconds} s off the platform's clock, which shows {int(now.timestamp())};"
            " at most 300 s are allowed",
            param="blp-time",
        )


class Replayed(Refusal):
    """This very request was received before."""

    code = "signature.replayed"
    status = 401
    type = "unauthenticated"

    def __init__(self) -> None:
        super().__init__(
            "this signed request was received before; sign again with a new blp-nonce, under the same Idempotency-Key"
        )


class TooMany(Problem):
    """The key asks more often than it may."""

    code = "request.too_many"
    kind = Kind.LIMITED

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many requests: try again in {wait_s} s")
        self.wait_s = wait_s


class MissingScope(Problem):
    """The key may not do this."""

    code = "api_key.missing_scope"
    kind = Kind.FORBIDDEN


class NoRoute(Refusal):
    """There is nothing at this path."""

    code = "request.no_route"
    status = 404
    type = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("there is nothing here; /v1/openapi.json lists every path")


class WrongMethod(Refusal):
    """The path is there, and answers to other methods."""

    code = "request.wrong_method"
    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this path answers to {allowed}")
        self.allowed = allowed


class TooSlow(Refusal):
    """The body did not arrive in time."""

    code = "request.too_slow"
    status = 408

    def __init__(self) -> None:
        super().__init__("the body did not arrive in time")


class TooLarge(Refusal):
    """The body is larger than any request."""

    code = "request.too_large"
    status = 413

    def __init__(self, most: int) -> None:
        super().__init__(f"the body may have {most} bytes")


class WrongMediaType(Refusal):
    """The body is not said to be JSON."""

    code = "request.wrong_media_type"
    status = 415

    def __init__(self) -> None:
        super().__init__("send the body as Content-Type: application/json")


class Unreadable(Refusal):
    """The body, the query or a header cannot be read."""

    code = "request.malformed"


class Failed(Refusal):
    """Nobody foresaw this; the log has it under the request's id."""

    code = "request.failed"
    status = 500
    type = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("something went wrong here; tell the platform this request_id")


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused.

    `type` is a word for the kind of refusal, `code` a stable one for the reason, `message` a sentence that says what to
    change, `param` the field that is meant, `request_id` what to tell the platform.
    """

    type: str
    code: str
    message: str
    param: str | None
    request_id: str


def status_of(problem: Problem) -> int:
    """Return the HTTP status of a refusal."""
    return problem.status if isinstance(problem, Refusal) else http_status(problem)


def error_of(problem: Problem, request_id: str) -> ErrorBody:
    """Return the body of a refusal."""
    body = problem_body(problem, request_id)
    if isinstance(problem, Refusal):
        body["type"] = problem.type
    body["param"] = _OUR_NAMES.get(problem.param or "", problem.param)
    return msgspec.convert(body, ErrorBody)


_OUR_NAMES: Final[Mapping[str, str]] = {"coin_id": "asset", "symbol": "currency"}
"""Fields of the SDK protocol that services name, as this API calls them."""

_NO_HEADERS: Final[Mapping[str, str]] = {}


_CHALLENGE: Final = 'BLP-Signature realm="BitLink Pay"'


def headers_of(problem: Problem, now: datetime) -> Mapping[str, str]:
    """Return what a refusal says in headers; `now` is the wall clock, which pauses are counted by."""
    match problem:
        case WrongMethod():
            return {"allow": problem.allowed}
        case TooMany():
            return {"retry-after": str(problem.wait_s)}
        case LockedOut():
            return {"retry-after": str(max(1, -((now - problem.until) // timedelta(seconds=1))))}
        case Refusal(status=401):
            return {"www-authenticate": _CHALLENGE}
        case _ if status_of(problem) == 503:  # noqa: PLR2004
            return {"retry-after": "1"}
        case _:
            return _NO_HEADERS
