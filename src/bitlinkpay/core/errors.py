"""`Problem`: the one exception tree that may reach a user, and the kinds that the edges map to answers."""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What sort of refusal a problem is; `web` alone maps kinds to status codes."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"


class Problem(Exception):
    """A refusal that the caller can act on. Subclasses set `code` (`noun.reason`) and `kind`.

    Attributes:
        message: one sentence in English that says what to change.
        param: name of the offending input field, or None.
    """

    code: ClassVar[str] = "problem"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class Invalid(Problem):
    """An input value is malformed or outside its range."""

    code = "request.invalid"
    kind = Kind.INVALID


class NotFound(Problem):
    """No such object for this caller."""

    code = "request.not_found"
    kind = Kind.NOT_FOUND


class Conflict(Problem):
    """The object is in a state that does not allow the request."""

    code = "request.conflict"
    kind = Kind.CONFLICT


class Unavailable(Problem):
    """The platform cannot answer this now; a later try may succeed."""

    code = "service.unavailable"
    kind = Kind.UNAVAILABLE
