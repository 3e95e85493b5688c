"""What became of an order, told to its payer: one title, the next steps, and what is still to be sent.

The texts are those of the state table of the hosted page; every end state has a next step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from gettext import NullTranslations
from types import MappingProxyType
from typing import Final

from bitlinkpay.core.assets import Asset
from bitlinkpay.deposits.model import DepositState
from bitlinkpay.payins.model import Label, PayinState
from bitlinkpay.payins.view import DepositView, PayinView
from bitlinkpay.web.checkout.figures import minutes_up, money, network_name, plain


class Situation(StrEnum):
    """What the page has to tell, finer than the order's state."""

    PICK = "pick"
    WAITING = "waiting"
    TIME_UP = "time_up"  # past its time, but the network is not read up to there yet
    SIGHTED = "sighted"  # it waits for its first block
    CONFIRMING = "confirming"
    PAID = "paid"
    SHORT = "short"
    OVER = "over"
    WRONG_ASSET = "wrong_asset"
    WRONG_NETWORK = "wrong_network"
    LATE = "late"
    HELD = "held"
    ODD = "odd"  # money that no other word fits
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    AFTER_CANCEL = "after_cancel"


class Tone(StrEnum):
    """How the page colours it."""

    CALM = "calm"
    BUSY = "busy"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Status:
    """What the page says.

    Attributes:
        due_units: what is still to be sent, exactly; 0 when nothing may be sent.
        is_final: nothing more happens by itself, the page need not hurry to ask again.
        has_reference: the payer may have to name the order to the merchant.
    """

    situation: Situation
    tone: Tone
    title: str
    steps: tuple[str, ...]
    due_units: int
    is_final: bool
    has_reference: bool


_BY_LABEL: Final[Mapping[str, Situation]] = MappingProxyType(
    {
        Label.SHORT: Situation.SHORT,
        Label.OVER: Situation.OVER,
        Label.LATE: Situation.LATE,
        Label.WRONG_ASSET: Situation.WRONG_ASSET,
        Label.WRONG_NETWORK: Situation.WRONG_NETWORK,
        Label.AFTER_CANCEL: Situation.AFTER_CANCEL,
        Label.QUARANTINED: Situation.HELD,
        Label.UNTAGGED: Situation.HELD,
    }
)
_TONES: Final[Mapping[Situation, Tone]] = MappingProxyType(
    {
        Situation.PICK: Tone.CALM,
        Situation.WAITING: Tone.CALM,
        Situation.TIME_UP: Tone.BUSY,
        Situation.SIGHTED: Tone.BUSY,
        Situation.CONFIRMING: Tone.BUSY,
        Situation.HELD: Tone.BUSY,
        Situation.PAID: Tone.GOOD,
        Situation.EXPIRED: Tone.BAD,
        Situation.CANCELLED: Tone.BAD,
    }
)


def odd_money(view: PayinView) -> list[DepositView]:
    """Return what arrived and did not complete the order, in chain order."""
    return [deposit for deposit in view.received if deposit.label]


def extra_money(view: PayinView) -> list[DepositView]:
    """Return odd money of a paid order that nobody has accepted as its payment."""
    return [deposit for deposit in odd_money(view) if deposit.state is not DepositState.CREDITED]


def is_open(view: PayinView, now: datetime) -> bool:
    """Say whether the payer may still send."""
    return view.state is PayinState.CREATED and now < view.expires_at


def situation_of(view: PayinView, now: datetime) -> Situation:
    """Return what the page has to tell at `now` (business time)."""
    odd = odd_money(view)
    match view.state:
        case PayinState.PAID:
            return Situation.PAID
        case PayinState.CONFIRMING:
            return Situation.CONFIRMING
        case PayinState.CANCELLED:
            return Situation.AFTER_CANCEL if odd else Situation.CANCELLED
        case PayinState.CREATED | PayinState.EXPIRED if odd:
            return _BY_LABEL.get(odd[-1].label, Situation.ODD)
        case PayinState.CREATED | PayinState.EXPIRED:
            return _without_money(view, now)


def _without_money(view: PayinView, now: datetime) -> Situation:
    if is_sighted(view):
        return Situation.SIGHTED
    if is_open(view, now):
        return Situation.PICK if view.asset is None else Situation.WAITING
    is_undecided = view.state is PayinState.CREATED and view.asset is not None
    return Situation.TIME_UP if is_undecided else Situation.EXPIRED


def is_sighted(view: PayinView) -> bool:
    """Say whether a payment of exactly what is asked waits for its first block."""
    asked = view.asset.id if view.asset else "", view.amount_units
    return view.state is PayinState.CREATED and asked in [(seen.asset, seen.units) for seen in view.waiting]


def due_units(view: PayinView, now: datetime) -> int:
    """Return what completes the order now: the asked amount, or the rest of it where the merchant sums transfers.

    Nothing while a payment is under review or waits for its block: nobody is asked to pay twice.
    """
    if not is_open(view, now) or view.asset is None or situation_of(view, now) in {Situation.HELD, Situation.SIGHTED}:
        return 0
    missing = view.amount_units - (_short_units(view) if view.policy.is_summing else 0)
    return max(missing, 0)


def _short_units(view: PayinView) -> int:
    return sum(deposit.units for deposit in odd_money(view) if deposit.label == Label.SHORT)


def status_of(view: PayinView, now: datetime, t: NullTranslations) -> Status:
    """Return what the page says about an order in the language of `t`."""
    situation = situation_of(view, now)
    teller = _Teller(view, now, t)
    title, steps = teller.tell(situation)
    is_final = view.state not in {PayinState.CREATED, PayinState.CONFIRMING}
    quiet = {Situation.PICK, Situation.WAITING, Situation.SIGHTED, Situation.CONFIRMING, Situation.TIME_UP}
    is_settled = situation is Situation.PAID and not extra_money(view)
    return Status(
        situation=situation,
        tone=_TONES.get(situation, Tone.WARN),
        title=title,
        steps=steps,
        due_units=due_units(view, now),
        is_final=is_final,
        has_reference=situation not in quiet and not is_settled,
    )


@dataclass(frozen=True, slots=True)
class _Teller:
    """Finds the words. One method per situation that needs figures; the rest stand in `_fixed`."""

    view: PayinView
    now: datetime
    t: NullTranslations

    def tell(self, situation: Situation) -> tuple[str, tuple[str, ...]]:
        tellers: Mapping[Situation, Callable[[], tuple[str, tuple[str, ...]]]] = {
            Situation.CONFIRMING: self._confirming,
            Situation.PAID: self._paid,
            Situation.SHORT: self._short,
            Situation.WRONG_ASSET: self._wrong_asset,
            Situation.WRONG_NETWORK: self._wrong_network,
            Situation.OVER: self._over,
            Situation.LATE: self._late,
            Situation.HELD: self._held,
            Situation.ODD: self._odd,
            Situation.AFTER_CANCEL: self._after_cancel,
        }
        return tellers[situation]() if situation in tellers else self._fixed(situation)

    def _fixed(self, situation: Situation) -> tuple[str, tuple[str, ...]]:
        t = self.t
        dont_send = t.gettext("Do not send anything to this address any more.")
        choose = t.gettext("Choose the network that your wallet sends %(coin)s on. The amount is fixed then.")
        new_order = t.gettext("To pay, start a new order at %(merchant)s.") % self._merchant
        fixed: Mapping[Situation, tuple[str, tuple[str, ...]]] = {
            Situation.PICK: (
                t.gettext("How would you like to pay?"),
                (choose % {"coin": self.view.coin},),
            ),
            Situation.WAITING: (
                t.gettext("Waiting for your payment"),
                (t.gettext("Send exactly this amount. Leave this page open or come back to it."),),
            ),
            Situation.SIGHTED: (
                t.gettext("Payment seen, waiting for a block"),
                (t.gettext("It counts once a block holds it."), t.gettext("It is safe to close this page.")),
            ),
            Situation.TIME_UP: (
                t.gettext("Time is up"),
                (t.gettext("We are checking whether a payment was made in time."), dont_send),
            ),
            Situation.EXPIRED: (t.gettext("This order has expired"), (dont_send, new_order)),
            Situation.CANCELLED: (t.gettext("Cancelled by the shop"), (dont_send, new_order)),
        }
        return fixed[situation]

    @property
    def _merchant(self) -> dict[str, str]:
        return {"merchant": plain(self.view.merchant.name)}

    def _confirming(self) -> tuple[str, tuple[str, ...]]:
        t = self.t
        steps = [t.gettext("It is safe to close this page.")]
        network, coming = self.view.network, _coming(self.view)
        if network is None or coming is None:
            return t.gettext("Payment seen"), tuple(steps)
        minutes = minutes_up(coming.final_in)
        if minutes:
            title = t.ngettext(
                "Payment seen, about %(minutes)d minute to go", "Payment seen, about %(minutes)d minutes to go", minutes
            ) % {"minutes": minutes}
        else:
            title = t.gettext("Payment seen, any moment now")
        if network.confirmations:
            seen = min(max(coming.confirmations, 0), network.confirmations)
            steps.insert(
                0,
                t.gettext("Confirmation %(seen)d of %(needed)d") % {"seen": seen, "needed": network.confirmations},
            )
        return title, tuple(steps)

    def _paid(self) -> tuple[str, tuple[str, ...]]:
        t = self.t
        steps = [t.gettext("%(merchant)s has been told. Thank you!") % self._merchant]
        has_extra = bool(extra_money(self.view))
        if has_extra:
            steps.append(t.gettext("More than one payment arrived. The extra money is recorded."))
        asset = self.view.asset
        if asset is not None and self.view.accepted_units > self.view.amount_units:
            steps.append(t.gettext("More than asked was received"))
        if has_extra:
            steps.append(self._decides())
        return t.gettext("Paid"), tuple(steps)

    def _short(self) -> tuple[str, tuple[str, ...]]:
        asset = self.view.asset
        assert asset is not None, "short money has an asset to fall short of"
        title = self.t.gettext("%(received)s of %(asked)s %(symbol)s received") % {
            "received": money(_short_units(self.view), asset),
            "asked": money(self.view.amount_units, asset),
            "symbol": asset.ticker,
        }
        if is_open(self.view, self.now) and self.view.policy.is_summing:
            rest = self._sum_text(due_units(self.view, self.now), asset)
            return title, (
                self.t.gettext("Send the rest, exactly %(amount)s, to complete the order.") % {"amount": rest},
            )
        return title, self._recorded()

    def _over(self) -> tuple[str, tuple[str, ...]]:
        return self.t.gettext("More than asked was received"), self._recorded()

    def _wrong_asset(self) -> tuple[str, tuple[str, ...]]:
        last = odd_money(self.view)[-1]
        title = self.t.gettext("Sent in another coin: %(coin)s") % {"coin": last.asset.ticker}
        return title, self._recorded()

    def _wrong_network(self) -> tuple[str, tuple[str, ...]]:
        last = odd_money(self.view)[-1]
        title = self.t.gettext("Sent on another network: %(network)s") % {"network": last.network.title}
        return title, self._recorded()

    def _late(self) -> tuple[str, tuple[str, ...]]:
        return self.t.gettext("Your payment arrived late"), self._recorded()

    def _held(self) -> tuple[str, tuple[str, ...]]:
        steps = (
            self.t.gettext("Your payment arrived and is being reviewed. There is nothing to do for now."),
            self._decides(),
        )
        return self.t.gettext("Payment under review"), steps

    def _odd(self) -> tuple[str, tuple[str, ...]]:
        return self.t.gettext("A payment arrived that could not be matched"), self._recorded()

    def _after_cancel(self) -> tuple[str, tuple[str, ...]]:
        return self.t.gettext("Cancelled by the shop"), (
            self.t.gettext("A payment arrived after that."),
            *self._recorded(),
        )

    def _recorded(self) -> tuple[str, ...]:
        """Return the steps after odd money: it is not lost, who decides, and what still completes an open order."""
        t = self.t
        recorded = t.gettext(
            "The payment is recorded and not lost. %(merchant)s decides what happens with it: "
            "contact them with the reference below."
        ) % (self._merchant)
        asset, network = self.view.asset, self.view.network
        if not is_open(self.view, self.now) or asset is None or network is None:
            return recorded, t.gettext("The order is closed: do not send any more.")
        exact = t.gettext("To complete the order, send exactly %(amount)s on %(network)s.") % {
            "amount": self._sum_text(due_units(self.view, self.now), asset),
            "network": network_name(network, asset),
        }
        return exact, recorded

    def _decides(self) -> str:
        return self.t.gettext("%(merchant)s decides what happens with it: contact them with the reference below.") % (
            self._merchant
        )

    @staticmethod
    def _sum_text(units: int, asset: Asset) -> str:
        return f"{money(units, asset)} {asset.ticker}"


def _coming(view: PayinView) -> DepositView | None:
    """Return the newest transfer that is about to complete the order."""
    coming = [deposit for deposit in view.received if not deposit.label]
    return coming[-1] if coming else None
