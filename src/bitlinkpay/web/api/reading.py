"""Reading what came: strict JSON into the types of `shapes`, query strings, ids and amounts."""

import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Final, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from bitlinkpay.authorizations.model import Shown
from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid, NotFound, Problem
from bitlinkpay.core.ids import parse_id
from bitlinkpay.core.money import format_decimal, parse_decimal
from bitlinkpay.db.where import Span
from bitlinkpay.web.api.call import Call
from bitlinkpay.web.api.home_shapes import Proof
from bitlinkpay.web.api.refusals import Unreadable
from bitlinkpay.web.api.shapes import Request, SpanQuery
from bitlinkpay.web.api.wording import plain
from bitlinkpay.wm.fields import DIGITS, PLACES
from bitlinkpay.wm.strictjson import Malformed, parse_object

R = TypeVar("R", bound=Request)

_FIELDS_MAX: Final = 16
_PLACE: Final = re.compile(r" - at `\$\.?(.*)`$")
_NAMED: Final = re.compile(r"(?:required|unknown) field `([^`]*)`")
_MOMENTS: Final = ("since", "until")
_NUMBER: Final = re.compile(r"[-+0-9.eE]+")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class NotOffered(Invalid):
    """The asset is not in the registry of this deployment, or its network is off."""

    code = "asset.not_offered"

    def __init__(self, asset_id: str) -> None:
        super().__init__(f"{asset_id!r} is not offered here; write such as usdt-tron", param="asset")


class NotOnOffer(Invalid):
    """The network is not in the registry of this deployment, or it is off."""

    code = "network.not_offered"

    def __init__(self, network_id: str) -> None:
        super().__init__(f"{network_id!r} is not offered here; write such as tron", param="network")


def read_body(body: bytes, kind: type[R]) -> R:
    """Read a body.

    Raises:
        Unreadable: it is not one strict JSON object (`strictjson`), or there is one where none belongs.
        Invalid: a field is missing, unknown, of another type or out of its range; `param` names it.
    """
    if not kind.__struct_fields__:
        if body.strip() not in {b"", b"{}"}:
            raise Unreadable("this request takes no body")
        return kind()
    try:
        parse_object(body)
    except Malformed as problem:
        raise Unreadable(problem.message) from None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError:  # what Python's parser takes and this one does not
        raise Unreadable("the body is not valid JSON") from None


def read_query(query_string: bytes) -> Mapping[str, str]:
    """Split a query string (`application/x-www-form-urlencoded`, UTF-8).

    Raises:
        Unreadable: a name twice, a NUL, a broken escape or too many names.
    """
    try:
        text = query_string.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError:
        raise Unreadable("the query cannot be read") from None
    found = dict(pairs)
    if len(found) != len(pairs) or _ESCAPE.search(text) or any("\0" in part for pair in pairs for part in pair):
        raise Unreadable("the query has a name twice, a NUL or a broken escape")
    return found


def query_as(query: Mapping[str, str], kind: type[R]) -> R:
    """Read a query. Raises `Invalid` as `read_body`."""
    for name in _MOMENTS:  # what reads a number out of a query's text takes one for a moment, too
        if _NUMBER.fullmatch(query.get(name, "")):
            raise Invalid(plain("Invalid RFC3339 encoded datetime"), param=name)
    try:
        return msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def positive(text: str, param: str) -> Decimal:
    """Read an amount above zero.

    Raises:
        Invalid: another form, or zero.
    """
    value = parse_decimal(text, places=PLACES, digits=DIGITS, param=param)
    if not value:
        raise Invalid(f"{param} must be above zero", param=param)
    return Decimal(format_decimal(value))


def optional(text: str | None, param: str) -> Decimal | None:
    """Read an amount above zero, or None. Raises as `positive`."""
    return None if text is None else positive(text, param)


def some_id(text: str) -> UUID | None:
    """Return an id of a query, whose pattern lets it begin with what it is of; None for ""."""
    return UUID(text.rpartition("_")[2]) if text else None


def span_of(query: SpanQuery, ahead: timedelta = timedelta(0)) -> Span:
    """Return the time that a list is asked for; `ahead` is by how much business time is ahead of the wall clock.

    Raises:
        Invalid: a moment that no calendar in UTC has, or an end that is not behind its beginning.
    """
    try:
        since, until = (at and at.astimezone(UTC) for at in (query.since, query.until))
    except OverflowError:
        raise Invalid("since and until: a moment between the years 1 and 9999 in UTC", param="since") from None
    if since and until and until <= since:
        raise Invalid("until must be later than since", param="until")
    return Span(since, until, max(ahead, timedelta(0)))


def id_of(prefix: str, text: str, missing: NotFound) -> UUID:
    """Read an id from a path; a text that is none is no id of anything.

    Raises:
        NotFound: `missing`, as for an id that nobody has.
    """
    try:
        return parse_id(prefix, text)
    except Invalid:
        raise missing from None


def shown_of(call: Call, proof: Proof) -> Shown:
    """Return what a person shows for the four checks."""
    return Shown(peer=call.caller.peer, device=proof.device, password=proof.password, answer=proof.code)


def network_of(registry: Registry, network_id: str) -> Network:
    """Return a network that this deployment reads and pays on.

    Raises:
        NotOnOffer: it has none of this id, or it is off.
    """
    network = registry.networks.get(network_id)
    if network is None or network.id in registry.switched_off:
        raise NotOnOffer(network_id)
    return network


def asset_of(registry: Registry, asset_id: str) -> Asset:
    """Return an asset that this deployment reads and pays on.

    Raises:
        NotOffered: it has none of this id, or its network is off.
    """
    asset = registry.assets.get(asset_id)
    if asset is None or not registry.is_on(asset):
        raise NotOffered(asset_id)
    return asset


def _invalid(error: msgspec.ValidationError) -> Problem:
    text = str(error)
    place = _PLACE.search(text)
    named = _NAMED.search(text)
    parts = [part for part in (place[1] if place else "", named[1] if named else "") if part]
    return Invalid(plain(_PLACE.sub("", text)), param=".".join(parts) or None)
