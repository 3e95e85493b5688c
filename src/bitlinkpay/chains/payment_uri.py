"""Payment URIs, and what the QR code of an order holds.

EVM: EIP-681. Bitcoin: BIP-21. Solana: Solana Pay transfer requests. TON: `ton://transfer/` links. TRON has no standard;
`tron:` follows the shape of the others. Whatever goes in is checked again here, so that no caller can put a second
parameter, another address or a line break into a code that a payer's wallet obeys.
"""

import re
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import quote

from bitlinkpay.chains.address import parse_address, show_address, show_contract
from bitlinkpay.core.assets import Asset, Family, Network
from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.money import format_units

_TAG = re.compile(r"[0-9A-Za-z ._-]{1,64}", re.ASCII)
_MAX = 2**256 - 1


@dataclass(frozen=True, slots=True)
class QrContent:
    """What the page's QR code holds.

    Attributes:
        text: the content to show first.
        is_uri: whether `text` is the payment URI (else it is the bare address).
        address: the bare address for the one-tap switch, "" where money to it alone would go astray (TON: no tag).
        uri: the payment URI: the other side of the switch, and the link of the "open wallet" button.
    """

    text: str
    is_uri: bool
    address: str
    uri: str


def payment_uri(network: Network, asset: Asset, address: str, tag: str, units: int) -> str:
    """Return the URI that asks a wallet to send exactly `units` of `asset` to `address`.

    Args:
        network: where the money moves.
        asset: what to send; one of this network.
        address: canonical target.
        tag: TON: the order's tag, which must travel along; "" elsewhere.
        units: base units asked for.

    Raises:
        Invalid: asset, address or tag don't fit the network, or the amount is out of range.
    """
    _check(network, asset, address, tag, units)
    match network.family:
        case Family.EVM:
            return _evm(network, asset, address, units)
        case Family.TRON:
            token = {} if asset.is_native else {"token": asset.contract}
            return _join(f"tron:{address}", {"amount": format_units(units, asset.decimals), **token})
        case Family.BITCOIN:
            return _join(f"bitcoin:{address}", {"amount": format_units(units, asset.decimals)})
        case Family.SOLANA:
            token = {} if asset.is_native else {"spl-token": asset.contract}
            return _join(f"solana:{address}", {"amount": format_units(units, asset.decimals), **token})
        case Family.TON:
            token = {} if asset.is_native else {"jetton": show_contract(network, asset.contract)}
            query = {**token, "amount": str(units), "text": tag}
            return _join(f"ton://transfer/{show_address(network, address)}", query)
        case _:
            assert_never(network.family)


def qr_content(network: Network, asset: Asset, address: str, tag: str, units: int) -> QrContent:
    """Return what the QR code shows first, and the other form one tap away.

    Exchange apps read nothing but a bare address on EVM networks and TRON, so that comes first there; elsewhere
    wallets and exchanges read the URI. On TON there is no bare address at all: the tag must travel.

    Raises:
        Invalid: as for `payment_uri`.
    """
    uri = payment_uri(network, asset, address, tag, units)
    match network.family:
        case Family.EVM | Family.TRON:
            return QrContent(text=address, is_uri=False, address=address, uri=uri)
        case Family.BITCOIN:
            return QrContent(text=_compact(address, uri), is_uri=True, address=address, uri=uri)
        case Family.SOLANA:
            return QrContent(text=uri, is_uri=True, address=address, uri=uri)
        case Family.TON:
            return QrContent(text=uri, is_uri=True, address="", uri=uri)
        case _:
            assert_never(network.family)


def _check(network: Network, asset: Asset, address: str, tag: str, units: int) -> None:
    if asset.network != network.id:
        raise Invalid(f"{asset.id} is not an asset of {network.id}", param="asset")
    if parse_address(network, address) != address:
        raise Invalid("write the address in its canonical form", param="address")
    if network.family is not Family.TON and tag:
        raise Invalid(f"payments on {network.title} carry no tag", param="tag")
    if tag and not _TAG.fullmatch(tag):
        raise Invalid("a tag has 1 to 64 letters, digits, spaces, dots, dashes or underscores", param="tag")
    if not 0 < units <= _MAX:
        raise Invalid("the amount is out of range", param="amount")


def _join(path: str, query: dict[str, str]) -> str:
    fields = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items() if value)
    return f"{path}?{fields}"


def _evm(network: Network, asset: Asset, address: str, units: int) -> str:
    if asset.is_native:
        return f"ethereum:{address}@{network.chain_id}?value={units}"
    return f"ethereum:{asset.contract}@{network.chain_id}/transfer?address={address}&uint256={units}"


def _compact(address: str, uri: str) -> str:
    """Return the URI with scheme and segwit address in upper case: a smaller QR code (BIP-173)."""
    head = f"bitcoin:{address}"
    is_segwit = address == address.lower()
    return head.upper() + uri.removeprefix(head) if is_segwit else uri
