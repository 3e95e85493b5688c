"""Which codes a payer may scan for one order, and in which order they are offered."""

import logging
from dataclasses import dataclass
from gettext import NullTranslations
from typing import Final

from markupsafe import Markup

from bitlinkpay.chains.address import parse_address
from bitlinkpay.chains.payment_uri import QrContent, qr_content
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.web.checkout.qr import qr_svg

ADDRESS: Final = "address"
REQUEST: Final = "request"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QrChoice:
    """One code: `key` names it in links and in the style sheet."""

    key: str
    label: str
    svg: Markup
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of an order, the usual one of its network first, and the link that opens a wallet."""

    choices: tuple[QrChoice, ...]
    wallet_uri: str


NO_CODES: Final = Codes((), "")


def codes_of(
    network: Network, asset: Asset, *, address: str, tag: str, units: int, t: NullTranslations, asked: str
) -> Codes:
    """Return the codes that ask for `units`.

    Args:
        network: where the money moves.
        asset: what is asked for.
        address: the order's address as shown.
        tag: its tag, "" for none.
        units: base units still to be sent.
        t: the payer's language.
        asked: key of the code that the payer chose, "" for the usual one.

    What the strict encoder refuses has no code: the page shows address and tag as text all the same.
    """
    try:
        content = qr_content(network, asset, parse_address(network, address), tag, units)
    except Invalid as problem:
        _log.error("no payment URI for an order on %s: %s", network.id, problem.message)
        return NO_CODES
    return Codes(_choices(content, t, asked), content.uri)


def _choices(content: QrContent, t: NullTranslations, asked: str) -> tuple[QrChoice, ...]:
    request = (REQUEST, t.gettext("With amount"), content.text if content.is_uri else content.uri)
    bare = (ADDRESS, t.gettext("Address only"), content.address)
    ordered = [request, bare] if content.is_uri else [bare, request]
    offered = [(key, label, text) for key, label, text in ordered if text]
    keys = [key for key, _, _ in offered]
    chosen = asked if asked in keys else keys[0]
    return tuple(QrChoice(key, label, qr_svg(text), key == chosen) for key, label, text in offered)
