"""A merchant's terms for money that leaves: changed with a row in the merchant's history."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Final

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import PayoutKind, Terms

HIGHEST_FEE_PPM: Final = 200_000
"""20 %, as for deposits."""


async def change(
    tx: Tx,
    merchant_id: MerchantId,
    kind: PayoutKind,
    asset: str,
    edit: Callable[[Terms], Terms],
    *,
    now: datetime,
    cause: str,
) -> Terms:
    """Change the terms of an asset and return them; what does not change writes nothing. They hold from now on.

    Args:
        tx: the open transaction.
        merchant_id: whose.
        kind: payouts (refunds with them) or settlements.
        asset: id of the asset.
        edit: gets the terms that hold now, those of all assets where the asset has none of its own.
        now: business time.
        cause: who did it.

    Raises:
        MerchantNotFound, MerchantConflict: there is none, or it is revoked.
        Invalid: a fee above 20 %.
    """
    await merchants.lock(tx, merchant_id)  # before the terms are read: nobody else's change comes between
    before = await store.find_terms(tx, merchant_id, kind, asset)
    after = edit(before)
    if after.fee_ppm > HIGHEST_FEE_PPM:
        raise Invalid("fee: at most 20 percent", param="fee")
    if after != before:
        old, new = asdict(before), asdict(after)
        names = [name for name in new if new[name] != old[name]]
        what = {name: {"from": _text(old[name]), "to": _text(new[name])} for name in names}
        await merchants.note_change(tx, merchant_id, {f"{kind} terms of {asset}": what}, now=now, cause=cause)
        await store.save_terms(tx, merchant_id, kind, asset, after)
    return after


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)  # beyond what JSON's numbers carry safely
