"""What is known of a payment that its payer asks about, in plain words, with nothing of any other order."""

from collections.abc import Mapping
from dataclasses import dataclass
from gettext import NullTranslations

from bitlinkpay.payins.view import PayinView
from bitlinkpay.web.checkout.figures import money, plain
from bitlinkpay.web.checkout.port import Lookup, LookupKind
from bitlinkpay.web.checkout.status import Tone


@dataclass(frozen=True, slots=True)
class Answer:
    """One sentence or two, and how the page colours them."""

    tone: Tone
    text: str


def answer_of(lookup: Lookup, view: PayinView, t: NullTranslations) -> Answer:
    """Return the answer to "I have paid" for an order."""
    tone, text = _answers(lookup, view, t)[lookup.kind]
    return Answer(tone, text)


def _answers(lookup: Lookup, view: PayinView, t: NullTranslations) -> Mapping[LookupKind, tuple[Tone, str]]:
    sent = f"{money(lookup.units, lookup.asset)} {lookup.asset.ticker}" if lookup.asset else ""
    asked = f"{money(view.amount_units, view.asset)} {view.asset.ticker}" if view.asset else ""
    network = lookup.network.title if lookup.network else ""
    merchant = plain(view.merchant.name)
    decides = t.gettext("It is recorded; %(merchant)s decides what happens with it.") % {"merchant": merchant}
    seen = t.ngettext(
        "Your payment is in the network, with %(count)d confirmation so far. Nothing more to do.",
        "Your payment is in the network, with %(count)d confirmations so far. Nothing more to do.",
        lookup.confirmations,
    ) % {"count": lookup.confirmations}
    amount = t.gettext("It arrived, but with %(sent)s instead of %(asked)s.") % {"sent": sent, "asked": asked}
    coin = t.gettext("It arrived, but as %(sent)s: this order asks for %(asked)s.") % {"sent": sent, "asked": asked}
    other = t.gettext("It was sent on another network: %(network)s.") % {"network": network}
    return {
        LookupKind.UNREADABLE: (
            Tone.WARN,
            t.gettext("That is neither a transaction hash nor an address. Copy it from your wallet's history."),
        ),
        LookupKind.NOT_SEEN: (
            Tone.CALM,
            t.gettext("Not seen yet. A new payment can take a few minutes: this page tells you when it arrives."),
        ),
        LookupKind.PENDING: (Tone.BUSY, t.gettext("It is on its way and waits for its first confirmation.")),
        LookupKind.SEEN: (Tone.BUSY, seen),
        LookupKind.COUNTED: (Tone.GOOD, t.gettext("Your payment has arrived and is confirmed.")),
        LookupKind.OTHER_AMOUNT: (Tone.WARN, f"{amount} {decides}"),
        LookupKind.OTHER_ASSET: (Tone.WARN, f"{coin} {decides}"),
        LookupKind.OTHER_NETWORK: (Tone.WARN, f"{other} {decides}"),
        LookupKind.OTHER_ADDRESS: (
            Tone.BAD,
            t.gettext("It did not go to the address of this order. Compare the address in your wallet's history."),
        ),
        LookupKind.LATE: (Tone.WARN, t.gettext("Your payment arrived after the order's time.") + " " + decides),
        LookupKind.FAILED: (
            Tone.BAD,
            t.gettext("The network rejected this transaction: no money was moved. You can send it again."),
        ),
        LookupKind.UNKNOWN: (Tone.CALM, t.gettext("The network cannot be read at the moment. Try again in a minute.")),
    }
