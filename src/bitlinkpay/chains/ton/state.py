"""What addresses held after a masterchain block. Indexers tell only of now, so what came since is taken back."""

from typing import Final

import msgspec

from bitlinkpay.chains.base import GapError
from bitlinkpay.chains.ton.history import height_of
from bitlinkpay.chains.ton.node import TonNode
from bitlinkpay.chains.ton.reader import backwards, newest_until
from bitlinkpay.chains.ton.transfers import jetton_change
from bitlinkpay.chains.ton.wire import Malformed, Natural, canonical_address, decoder_of
from bitlinkpay.core.assets import Asset


class RawJettonWallet(msgspec.Struct, frozen=True):
    """A jetton wallet as of its own last transaction."""

    address: str
    balance: Natural
    owner: str
    jetton: str
    last_transaction_lt: Natural


class _JettonWallets(msgspec.Struct, frozen=True):
    jetton_wallets: list[RawJettonWallet]


_JETTON_WALLETS: Final = decoder_of(_JettonWallets)


async def coins_at(node: TonNode, address: str, height: int) -> int:
    """Return the nanotons of an address after a masterchain block."""
    last = await newest_until(node, address, height)
    if last is None:
        return 0
    if last.account_state_after is None or last.account_state_after.balance is None:
        raise GapError(f"{node.label} does not know what {address} held after {last.lt}")
    return int(last.account_state_after.balance)


async def jettons_at(node: TonNode, asset: Asset, owner: str, height: int) -> int:
    """Return the jettons of an owner after a masterchain block, in base units."""
    found = await find_jetton_wallet(node, asset, owner)
    if found is None:
        return 0
    wallet, units, newest = canonical_address(found.address), int(found.balance), 0
    async for transaction in backwards(node, wallet, lt=found.last_transaction_lt):
        newest = newest or transaction.lt
        if newest != found.last_transaction_lt:
            break
        if height_of(transaction) <= height:
            break
        units -= jetton_change(transaction)
    if newest != found.last_transaction_lt:
        raise GapError(f"{node.label} does not show the last transaction of {wallet}")
    if units < 0:
        raise Malformed(f"{node.label} does not explain the balance of {wallet}")
    return units


async def find_jetton_wallet(node: TonNode, asset: Asset, owner: str) -> RawJettonWallet | None:
    """Return an owner's jetton wallet, None if it never had any.

    Raises:
        Malformed: it is another owner's, or another jetton's.
    """
    query = (("owner_address", owner), ("jetton_address", asset.contract), ("limit", "2"))
    found = (await node.get("/jetton/wallets", query, _JETTON_WALLETS)).jetton_wallets
    if not found:
        return None
    if len(found) > 1 or (canonical_address(found[0].owner), canonical_address(found[0].jetton)) != (
        owner,
        asset.contract,
    ):
        raise Malformed(f"{node.label} answered with other jetton wallets than asked for")
    return found[0]
