"""From the transactions of our accounts to transfers; pure.

Two kinds of account are ours: the one wallet, and a jetton wallet for each listed jetton, pinned in the registry
(THREATS TON-03, TON-04: whoever else speaks of jettons is not asked). What moves money in them:

- Coins came when the wallet got an internal message that was not returned (`bounced`) and did not return itself (a
  bounce phase). Whether the wallet's code ran does not matter: coins stay when it is skipped or fails (TON-09).
- Jettons came when the jetton wallet took an internal transfer, and took it whole: its own aborted transaction left
  no trace (TON-09). The notice to our wallet is not looked at; it may be missing (TON-06) and anyone can forge one.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from bitlinkpay.chains.base import Transfer
from bitlinkpay.chains.ton.body import (
    BOUNCED,
    BURN,
    BURN_NOTIFICATION,
    EXCESSES,
    INTERNAL_TRANSFER,
    NOTIFICATION,
    OWNERSHIP_ASSIGNED,
    TRANSFER,
    op_of,
    read_internal_transfer,
)
from bitlinkpay.chains.ton.cell import BadCell, Slice
from bitlinkpay.chains.ton.memo import memo_of
from bitlinkpay.chains.ton.wire import (
    Malformed,
    RawMessage,
    RawTransaction,
    body_of,
    canonical_address,
    canonical_hash,
)
from bitlinkpay.core.assets import Asset

POSITION: Final = "in_msg"  # a transaction has one incoming message
_CARRIERS = frozenset({EXCESSES, NOTIFICATION, OWNERSHIP_ASSIGNED})
_SIGNS = {  # (returned, op): a returned message undoes what it did when it left
    (False, INTERNAL_TRANSFER): 1,
    (False, TRANSFER): -1,
    (False, BURN): -1,
    (True, INTERNAL_TRANSFER): 1,
    (True, BURN_NOTIFICATION): 1,
}


class Holdings:
    """Our accounts on one network and the asset that each holds."""

    def __init__(self, wallet: str, assets: Iterable[Asset]) -> None:
        """Take our wallet's address and the listed assets; a jetton without a pinned wallet is not read."""
        self.wallet = wallet
        self.assets = {asset.wallet or wallet: asset for asset in assets if asset.is_native or asset.wallet}
        self._jetton_wallets = frozenset(self.assets) - {wallet}

    @property
    def accounts(self) -> Sequence[str]:
        """Return the addresses to follow."""
        return tuple(self.assets)

    def transfer_of(self, transaction: RawTransaction) -> Transfer | None:
        """Return what a transaction of one of our accounts brought, None if nothing.

        Raises:
            Malformed: it is no transaction of ours, or has another form.
        """
        account = canonical_address(transaction.account)
        asset = self.assets.get(account)
        if asset is None:
            raise Malformed(f"a transaction of {account}, which was not asked for")
        message = transaction.in_msg
        if message is None or not message.source or message.bounced is not False:
            return None
        read = self._coins if asset.is_native else self._jettons
        return read(asset, transaction, message)

    def _coins(self, asset: Asset, transaction: RawTransaction, message: RawMessage) -> Transfer | None:
        source, units = canonical_address(message.source), message.value
        if units is None:
            raise Malformed("an internal message without a value")
        if source == self.wallet or source in self._jetton_wallets or transaction.description.bounce is not None:
            return None
        body = body_of(message)
        if not units or self._is_carrier(asset, op_of(body), units):
            return None
        return self._transfer(asset, transaction, source, memo_of(body), int(units))

    def _is_carrier(self, asset: Asset, op: int | None, units: int) -> bool:
        """Say whether the coins only carry a message: what is left of gas, or dust that comes with a notice."""
        return op == EXCESSES or (op in _CARRIERS and units < asset.minimum_units)

    def _jettons(self, asset: Asset, transaction: RawTransaction, message: RawMessage) -> Transfer | None:
        body = body_of(message)
        if not transaction.description.is_whole or body is None or op_of(body) != INTERNAL_TRANSFER:
            return None
        try:
            arrived = read_internal_transfer(body)
        except BadCell as error:
            raise Malformed(f"a jetton wallet of ours took what is no internal transfer: {error}") from None
        if not arrived.units:
            return None
        return self._transfer(asset, transaction, arrived.source, arrived.memo, arrived.units)

    def _transfer(self, asset: Asset, transaction: RawTransaction, source: str, memo: str, units: int) -> Transfer:
        return Transfer(
            asset=asset.id,
            txid=canonical_hash(transaction.hash),
            position=POSITION,
            source=source,
            target=self.wallet,
            tag=memo,
            units=units,
        )


def jetton_change(transaction: RawTransaction) -> int:
    """Return by how much a transaction of a jetton wallet changed its balance, in base units of the jetton."""
    message = transaction.in_msg
    body = None if message is None else body_of(message)
    if message is None or body is None or not transaction.description.is_whole:
        return 0
    fields = Slice(body)
    try:
        if message.bounced and fields.uint(32) != BOUNCED:
            return 0
        sign = _SIGNS.get((bool(message.bounced), fields.uint(32)), 0)
        fields.uint(64)  # query id
        return sign * fields.coins() if sign else 0
    except BadCell:
        return 0
