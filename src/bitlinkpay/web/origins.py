"""Where payouts may be asked for from (THREATS, API-45): the same rule on every face of the platform."""

import logging
from typing import Final

from bitlinkpay.core.errors import Kind, Problem
from bitlinkpay.core.mode import Mode
from bitlinkpay.merchants.api_keys.model import is_within
from bitlinkpay.merchants.model import Merchant

_security: Final = logging.getLogger("bitlinkpay.security")


class NotFromHere(Problem):
    """Payouts may be asked for from listed networks only."""

    code = "withdraw.not_from_here"
    kind = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__(
            "withdrawals may not be asked for from this address; have the platform list your network for payouts"
        )


def check_origin(merchant: Merchant, peer: str, mode: Mode, *, key_networks: tuple[str, ...] = ()) -> None:
    """Refuse a payout from an address that nobody listed.

    Args:
        merchant: who asks; where networks are listed for its payouts, the address must lie in one of them.
        peer: the socket's own address.
        mode: where nothing is listed, a sandbox takes payouts from anywhere and a live deployment from nowhere.
        key_networks: where the API key that signed may be used, and was; a list of its own.

    Raises:
        NotFromHere: the address is not listed.
    """
    networks = merchant.payout_networks
    if is_within(peer, networks) or (not networks and (mode is Mode.SANDBOX or key_networks)):
        return
    _security.warning("a withdrawal from an unlisted address: merchant=%s peer=%s", merchant.broker, peer)
    raise NotFromHere
