"""Making a paying wallet ready for batches (EVM: delegation, TON: deployment): a payment to nobody."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import NAMESPACE_OID, uuid5

from bitlinkpay.chains.outgoing import Purpose, Wallet
from bitlinkpay.core.ids import SendingId, new_uuid7
from bitlinkpay.db.driver import Tx
from bitlinkpay.sending import store
from bitlinkpay.sending.model import OwnerKind, Sending, SendingState
from bitlinkpay.sending.service import Ending, Stage

_MOMENT = timedelta(seconds=1)


class SetupOwner:
    """`sending.service.Owner` of wallets being made ready: there is nothing to settle but the gas."""

    async def progressed(self, tx: Tx, sendings: Sequence[Sending], stage: Stage, txid: str, now: datetime) -> None:
        """Do nothing."""

    async def ended(self, tx: Tx, endings: Sequence[Ending], now: datetime) -> None:
        """Do nothing: the next look at the chain shows whether the wallet is ready."""


async def ask(
    tx: Tx, network: str, payer: Wallet, *, number: int, fee_max_units: int, before: datetime, now: datetime
) -> bool:
    """Queue the making ready of a wallet in front of a waiting payment; False where it was tried at this number.

    Args:
        tx: the open transaction.
        network: id of the network.
        payer: the wallet.
        number: the lane's next number: a wallet is tried once a number.
        fee_max_units: the most that it may cost.
        before: when the first payment that needs it was queued.
        now: business time.
    """
    setup = Sending(
        sending_id=SendingId(new_uuid7()),
        owner=OwnerKind.SETUP,
        owner_id=uuid5(NAMESPACE_OID, f"{network}:{payer.address}:{number}"),
        merchant_id=None,
        network=network,
        purpose=Purpose.SETUP,
        payer=payer,
        payment=None,
        fee_max_units=fee_max_units,
        state=SendingState.QUEUED,
        transaction_id=None,
        reason="",
        queued_at=before - _MOMENT,
        not_before=now,
    )
    return setup.sending_id in await store.insert(tx, [setup], setup.queued_at)
