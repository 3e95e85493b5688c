"""The page's view model: everything a template shows, already in the payer's language and spelling."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from gettext import NullTranslations
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from bitlinkpay.chains.address import show_contract
from bitlinkpay.core.assets import Asset, Network
from bitlinkpay.core.money import format_decimal
from bitlinkpay.deposits.model import DepositState
from bitlinkpay.payins.model import Label
from bitlinkpay.payins.view import DepositView, NetworkOption, PayinView
from bitlinkpay.web.checkout.figures import (
    Figure,
    Stressed,
    epoch_ms,
    figure,
    minutes_up,
    money,
    network_name,
    plain,
    price,
    stressed,
)
from bitlinkpay.web.checkout.language import Language, catalogue
from bitlinkpay.web.checkout.payment import NO_CODES, Codes, codes_of
from bitlinkpay.web.checkout.status import Situation, Status, Tone, status_of

_HOURS_FROM_S: Final = 6000  # 99:59 is as wide as the ring
_DAY_S: Final = 86400
_MAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Payment:
    """What to send, and where."""

    amount: Figure
    ticker: str
    symbol: str
    network_id: str
    network: str
    standard: str
    address: Stressed
    tag: str
    codes: Codes


@dataclass(frozen=True, slots=True)
class Receipt:
    """One arrival, as its payer reads it."""

    amount: Figure
    ticker: str
    network: str
    note: str
    tone: Tone
    txid: Stressed
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Option:
    """A network to pick."""

    asset_id: str
    symbol: str
    network_id: str
    network: str
    hint: str


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page leads to, each "" or checked: `https://` (in a sandbox also `http://`), `mailto:` for support."""

    home: str
    success: str
    failure: str
    support: str
    support_text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template shows. Times named `_ms` are Unix milliseconds of business time."""

    order_id: str
    reference: str
    merchant: str
    language: Language
    price: Figure
    currency: str
    rate: str
    contract: str
    status: Status
    payment: Payment | None
    detail: Payment | None
    receipts: tuple[Receipt, ...]
    options: tuple[Option, ...]
    links: Links
    created_at: datetime
    expires_at: datetime
    now_ms: int
    created_ms: int
    expires_ms: int

    @property
    def version(self) -> str:
        """Return a mark that changes whenever anything but the clock on the page does."""
        return hashlib.blake2b(repr(replace(self, now_ms=0)).encode(), digest_size=12).hexdigest()

    @property
    def is_waiting(self) -> bool:
        """Say whether the countdown runs."""
        return self.payment is not None or self.status.situation is Situation.PICK

    @property
    def left_permille(self) -> int:
        """Return how much of the order's life is left, in thousandths."""
        life = max(self.expires_ms - self.created_ms, 1)
        return max(0, min(1000, (self.expires_ms - self.now_ms) * 1000 // life))

    @property
    def left_clock(self) -> str:
        """Return the time left as `29:59`; where that is wider than the ring, as `23:59` or `167` above an `h`."""
        seconds = max(0, (self.expires_ms - self.now_ms) // 1000)
        if seconds < _HOURS_FROM_S:
            return f"{seconds // 60}:{seconds % 60:02}"
        minutes = f":{seconds % 3600 // 60:02}" if seconds < _DAY_S else ""
        return f"{seconds // 3600}{minutes}\nh"

    @property
    def today(self) -> date:
        """Return the day in UTC: a time of another one is shown with its date."""
        return (self.created_at + timedelta(milliseconds=self.now_ms - self.created_ms)).date()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a deployment decides about the page. `support_contact` serves where a merchant names no help of its own."""

    is_sandbox: bool
    support_contact: str


def build_page(view: PayinView, setting: Setting, *, language: Language, now: datetime, qr: str) -> Page:
    """Return the page of an order at `now` (business time); `qr` is the code that the payer asked for, "" for none."""
    t = catalogue(language)
    status = status_of(view, now, t)
    return Page(
        order_id=view.payin_id.hex,
        reference=plain(view.source_id),
        merchant=plain(view.merchant.name),
        language=language,
        price=figure(price(view.fiat_amount)),
        currency=view.currency,
        rate=_rate(view),
        contract=_contract(view),
        status=status,
        payment=_payment(view, status.due_units, t, qr) if status.due_units else None,
        detail=_payment(view, 0, t, ""),
        receipts=tuple(_receipt(deposit, t, view) for deposit in view.received),
        options=_options(view.options, t) if status.situation is Situation.PICK else (),
        links=_links(view, setting),
        created_at=view.created_at,
        expires_at=view.expires_at,
        now_ms=epoch_ms(now),
        created_ms=epoch_ms(view.created_at),
        expires_ms=epoch_ms(view.expires_at),
    )


def _rate(view: PayinView) -> str:
    """Return `1 USDT = 7.2 CNY`, "" before the pick and where price and payment are the same coin."""
    base, _, quote = view.symbol.partition("/")
    if view.asset is None or not quote or base == quote:
        return ""
    return f"1 {base} = {format_decimal(view.exchange_rate)} {quote}"


def _contract(view: PayinView) -> str:
    """Return the token contract that alone counts, "" for a native coin."""
    if view.asset is None or view.network is None or view.asset.is_native:
        return ""
    return show_contract(view.network, view.asset.contract)


def _payment(view: PayinView, units: int, t: NullTranslations, qr: str) -> Payment | None:
    """Return what to send; with no units, only where the order's address is, without a code to scan."""
    asset, network = view.asset, view.network
    if asset is None or network is None:
        return None
    codes = (
        codes_of(network, asset, address=view.address, tag=view.tag, units=units, t=t, asked=qr) if units else NO_CODES
    )
    return Payment(
        amount=figure(money(units or view.amount_units, asset)),
        ticker=asset.ticker,
        symbol=asset.symbol,
        network_id=network.id,
        network=network_name(network, asset),
        standard=asset.standard,
        address=stressed(view.address),
        tag=plain(view.tag),
        codes=codes,
    )


def _receipt(deposit: DepositView, t: NullTranslations, view: PayinView) -> Receipt:
    return Receipt(
        amount=figure(money(deposit.units, deposit.asset)),
        ticker=deposit.asset.ticker,
        network=network_name(deposit.network, deposit.asset),
        note=_note(deposit, t, view.merchant.name),
        tone=_receipt_tone(deposit),
        txid=stressed(deposit.txid),
        seen_at=deposit.seen_at,
    )


def _receipt_tone(deposit: DepositView) -> Tone:
    if deposit.label:
        return Tone.WARN
    return Tone.GOOD if deposit.state is DepositState.CREDITED else Tone.BUSY


def _note(deposit: DepositView, t: NullTranslations, merchant: str) -> str:
    """Return where the money is and, for odd money, why it did not count."""
    if deposit.state is DepositState.SEEN:
        state = t.gettext("confirming")
    elif deposit.state in {DepositState.UNASSIGNED, DepositState.REFUNDED}:
        state = t.gettext("recorded for %(merchant)s") % {"merchant": plain(merchant)}
    elif deposit.state is DepositState.CREDITED:
        state = t.gettext("accepted")
    elif deposit.state is DepositState.QUARANTINED:
        state = t.gettext("under review")
    else:
        state = t.gettext("confirmed")
    why = _why(t).get(deposit.label, "")
    return f"{why} · {state}" if why else state


def _why(t: NullTranslations) -> Mapping[str, str]:
    return MappingProxyType(
        {
            Label.SHORT: t.gettext("less than asked"),
            Label.OVER: t.gettext("more than asked"),
            Label.LATE: t.gettext("late"),
            Label.DOUBLE: t.gettext("second payment"),
            Label.AFTER_CANCEL: t.gettext("after the order was cancelled"),
            Label.WRONG_ASSET: t.gettext("another coin"),
            Label.WRONG_NETWORK: t.gettext("another network"),
            Label.UNTAGGED: t.gettext("without the tag"),
        }
    )


def _options(options: Sequence[NetworkOption], t: NullTranslations) -> tuple[Option, ...]:
    """Return the networks to pick from, cheapest for the payer first, then fastest; unknown fees come last."""
    ranked = sorted(options, key=lambda option: (*_fee_rank(option.asset), option.network.final_after))
    return tuple(_option(option.asset, option.network, t) for option in ranked)


def _fee_rank(asset: Asset) -> tuple[bool, int]:
    return asset.payer_fee_cents == 0, asset.payer_fee_cents


def _option(asset: Asset, network: Network, t: NullTranslations) -> Option:
    minutes = minutes_up(network.block_time + network.final_after)
    time = t.ngettext("about %(minutes)d minute", "about %(minutes)d minutes", minutes) % {"minutes": minutes}
    cents = asset.payer_fee_cents
    fee = t.gettext("fee about $%(dollars)s") % {"dollars": f"{cents // 100}.{cents % 100:02}"}
    return Option(
        asset_id=asset.id,
        symbol=asset.symbol,
        network_id=network.id,
        network=network_name(network, asset),
        hint=f"{fee} · {time}" if cents else time,
    )


def _links(view: PayinView, setting: Setting) -> Links:
    contact = (view.merchant.support or setting.support_contact).strip()
    is_mail = _MAIL.fullmatch(contact) is not None
    support = f"mailto:{contact}" if is_mail else safe_link(contact, is_sandbox=setting.is_sandbox)
    home, success, failure = (
        safe_link(link, is_sandbox=setting.is_sandbox)
        for link in (view.links.home, view.links.success, view.links.failure)
    )
    return Links(home, success or home, failure or home, support, plain(contact))


def safe_link(link: str, *, is_sandbox: bool) -> str:
    """Return the link if a page may lead there, else "": a second look at what was checked when the order was made."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return ""
    schemes = {"https", "http"} if is_sandbox else {"https"}
    has_host = bool(parts.hostname) and "@" not in parts.netloc
    return link if parts.scheme in schemes and has_host and link.isprintable() else ""
