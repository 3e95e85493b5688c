"""The one place where problems become answers: HTTP status and body for people and REST, codes for the SDK protocol."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bitlinkpay.core.errors import Invalid, Kind, Problem, Unavailable
from bitlinkpay.db.pool import OutcomeUnknown

HTTP_STATUS: Final[Mapping[Kind, int]] = MappingProxyType(
    {
        Kind.INVALID: 422,
        Kind.NOT_FOUND: 404,
        Kind.CONFLICT: 409,
        Kind.FORBIDDEN: 403,
        Kind.LIMITED: 429,
        Kind.UNAVAILABLE: 503,
    }
)

WM_CODE: Final[Mapping[Kind, int]] = MappingProxyType(
    {
        Kind.INVALID: 400,
        Kind.NOT_FOUND: 404,
        Kind.CONFLICT: 409,
        Kind.FORBIDDEN: 403,
        Kind.LIMITED: 429,
        Kind.UNAVAILABLE: 503,
    }
)
"""Inner `code` of the SDK protocol, always at HTTP 200: clients only ask whether it is 0, people read it."""


_HIDDEN: Final = frozenset({Unavailable.code, OutcomeUnknown.code})
_UNAVAILABLE: Final = "the platform cannot answer now; send the same request again in a moment"


def public_message(problem: Problem) -> str:
    """Return what the outside may read: the message, but never what a database or an operating system said."""
    return _UNAVAILABLE if problem.code in _HIDDEN else problem.message


def http_status(problem: Problem) -> int:
    """Return the HTTP status of a refusal."""
    return HTTP_STATUS[problem.kind]


def problem_body(problem: Problem, request_id: str) -> dict[str, str | None]:
    """Return the body of a refusal: `type` (kind), `code` (`noun.reason`), `message`, `param`, `request_id`."""
    return {
        "type": problem.kind.value,
        "code": problem.code,
        "message": public_message(problem),
        "param": problem.param,
        "request_id": request_id,
    }


def wm_code(problem: Problem) -> int:
    """Return the inner `code` of a refusal."""
    return WM_CODE[problem.kind]


def wm_message(problem: Problem) -> str:
    """Return the inner `msg` of a refusal: the stable code, the field unless the sentence names it, the sentence.

    The SDKs show nothing else.
    """
    message = public_message(problem)
    is_named = problem.code != Invalid.code or not problem.param or problem.param in message
    return f"{problem.code}: {message}" if is_named else f"{problem.code}: {problem.param}: {message}"
