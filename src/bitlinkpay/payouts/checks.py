"""What is checked before anything is reserved: address, amount, look-alikes. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from bitlinkpay.chains.address import show_address
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_units, share_down, to_units
from bitlinkpay.payouts.model import AddressRefused, AmountRefused, Terms

_ENDS: Final = 4
"""How many characters at both ends people compare; an address that agrees there and differs between is a trap."""

NOBODY: Final = frozenset(
    {
        "0x0000000000000000000000000000000000000000",
        "0x000000000000000000000000000000000000dEaD",
        "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb",  # TRON: 20 zero bytes
        "11111111111111111111111111111111",  # Solana: the system program
        "1nc1nerator11111111111111111111111111111111",  # Solana: the incinerator
        "0:" + "0" * 64,
    }
)
"""Addresses that nobody has a key for, in canonical form: money sent there is burnt."""
_PRECOMPILES: Final = 0x1FF
"""Highest address of an EVM precompiled contract that any of our networks has (EIP-7951 puts one at 0x100)."""


def check_target(family: Family, canonical: str, *, ours: str, contracts: Sequence[str]) -> None:
    """Refuse addresses that must not be paid (THREATS, PAY-27).

    Args:
        family: of the network.
        canonical: the address.
        ours: why the address is ours, "" if it is not.
        contracts: token contracts of the network, canonical.

    Raises:
        AddressRefused: with the reason.
    """
    if canonical in NOBODY:
        raise AddressRefused("nobody has its key, the money would be burnt")
    if family is Family.EVM and int(canonical, 16) <= _PRECOMPILES:
        raise AddressRefused("it belongs to the network itself, the money would be burnt")
    if canonical in contracts:
        raise AddressRefused("it is a token's contract, not a wallet")
    if ours == "wallet":
        raise AddressRefused("it is a wallet of this platform")


def check_tag(family: Family, tag: str) -> None:
    """Refuse a tag where the network has none.

    Raises:
        Invalid: it could not travel.
    """
    if tag and family is not Family.TON:
        raise Invalid("this network knows no tags; leave tag empty", param="tag")


def check_amount(asset: Asset, amount: Decimal, terms: Terms, *, today_units: int) -> int:
    """Return the amount in base units.

    Raises:
        AmountRefused: nothing, more digits than the chain carries, below the minimum, or above a limit.
    """
    try:
        units = to_units(amount, asset.decimals, param="amount")
    except Invalid as error:
        raise AmountRefused(f"{error.message} of {asset.symbol}", param="amount") from None
    if units < max(1, asset.minimum_units):
        least = format_units(max(1, asset.minimum_units), asset.decimals)
        raise AmountRefused(f"the smallest withdrawal is {least} {asset.symbol}", param="amount")
    if terms.payment_max_units is not None and units > terms.payment_max_units:
        most = format_units(terms.payment_max_units, asset.decimals)
        raise AmountRefused(f"the largest single withdrawal is {most} {asset.symbol}", param="amount")
    if terms.day_max_units is not None and units + today_units > terms.day_max_units:
        left = format_units(max(0, terms.day_max_units - today_units), asset.decimals)
        raise AmountRefused(f"the daily limit leaves {left} {asset.symbol} for today", param="amount")
    return units


def fee_units(units: int, terms: Terms) -> int:
    """Return the platform's fee on a payout, rounded down to base units."""
    return terms.fee_flat_units + share_down(units, terms.fee_ppm)


def look_alike(network: Network, canonical: str, earlier: Sequence[str]) -> str:
    """Return an earlier address, as it is shown, that looks like this one at both ends but is another, "" for none.

    People compare what they are shown, which on TON is not the canonical form (PAY-29).
    """
    ends = _ends(network, canonical)
    twins = (one for one in earlier if one != canonical and not ends.isdisjoint(_ends(network, one)))
    return show_address(network, next(twins, ""))


def _ends(network: Network, canonical: str) -> set[tuple[str, str]]:
    return {_both_ends(canonical), _both_ends(show_address(network, canonical))}


def _both_ends(address: str) -> tuple[str, str]:
    body = address.removeprefix("0x").removeprefix("0:").lower()
    return body[:_ENDS], body[-_ENDS:]
