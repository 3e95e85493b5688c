"""What a jetton's contracts say of themselves: the master, and our own jetton wallet."""

from typing import Final

import msgspec

from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.ton import getter
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.wire import Malformed, canonical_address, canonical_hash, decoder_of
from bitlinkpay.core.assets import Asset

_DECIMALS_MAX = 255


class _Content(msgspec.Struct, frozen=True):
    decimals: int | str | None = None
    symbol: str | None = None


class _RawMaster(msgspec.Struct, frozen=True):
    address: str
    code_hash: str | None = None
    jetton_wallet_code_hash: str | None = None
    jetton_content: _Content | None = None


class _Masters(msgspec.Struct, frozen=True):
    jetton_masters: list[_RawMaster]


_MASTERS: Final = decoder_of(_Masters)


async def read_facts(node: TonNode, asset: Asset, owner: str) -> TokenFacts:
    """Return the facts of a jetton; the code of its wallets stands as its implementation.

    Two questions may go unanswered without harm: TEP-64 lets a jetton keep its decimals elsewhere (9 is then usual, and
    the registry row decides), and only a stablecoin's wallet can be locked.
    """
    answer = await node.get("/jetton/masters", (("address", asset.contract), ("limit", "2")), _MASTERS)
    found = [row for row in answer.jetton_masters if canonical_address(row.address) == asset.contract]
    if not found:
        return TokenFacts(asset.contract, "", "", "", None, "", is_paused=False, is_deprecated=False)
    content = found[0].jetton_content or _Content()
    wallet = await jetton_wallet(node, asset.contract, owner)
    return TokenFacts(
        contract=asset.contract,
        code_hash=canonical_hash(found[0].code_hash),
        implementation="",
        implementation_hash=canonical_hash(found[0].jetton_wallet_code_hash),
        decimals=_decimals(content.decimals),
        symbol=printable(content.symbol or ""),
        is_paused=await _is_locked(node, wallet),
        is_deprecated=False,
        wallet=wallet,
    )


async def jetton_wallet(node: TonNode, master: str, owner: str) -> str:
    """Return the address of an owner's jetton wallet by the master's own word (TEP-74, `get_wallet_address`).

    Raises:
        Malformed: the master does not say.
    """
    stack = await getter.run(node, master, "get_wallet_address", getter.of_address(owner))
    if stack is None:
        raise Malformed(f"{master} does not say which jetton wallet is whose: it is no jetton master")
    return stack.address(0)


async def _is_locked(node: TonNode, wallet: str) -> bool:
    """Say whether the issuer has locked a wallet (stablecoin-contract, `get_status`: 1 out, 2 in, 3 both)."""
    stack = await getter.run(node, wallet, "get_status")
    return stack is not None and stack.number(0) != 0


def _decimals(value: int | str | None) -> int | None:
    text = str(value)
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None  # noqa: PLR2004
    return number if number is not None and number <= _DECIMALS_MAX else None
