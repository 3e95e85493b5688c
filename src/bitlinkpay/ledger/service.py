"""The books as the flows use them: post, look, lock. Everything happens inside the caller's transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from bitlinkpay.core.ids import MerchantId, PostingId
from bitlinkpay.db.pool import Tx
from bitlinkpay.ledger import accounts, store
from bitlinkpay.ledger.model import (
    MAX_BATCH,
    AccountFrozen,
    Balance,
    BalanceOverflow,
    ExistsDifferent,
    ForeignAccount,
    InsufficientBalance,
    MixedAssets,
    Posted,
    Posting,
    Refusal,
    Replayed,
    Result,
    UnknownAccount,
)

_REFUSALS: Final[Mapping[str, Callable[[str], Refusal]]] = {
    "exists_different": ExistsDifferent,
    "insufficient_balance": InsufficientBalance,
    "balance_overflow": BalanceOverflow,
    "account_frozen": AccountFrozen,
    "unknown_account": UnknownAccount,
    "foreign_account": ForeignAccount,
    "mixed_assets": MixedAssets,
}


async def post(tx: Tx, postings: Sequence[Posting]) -> list[Result]:
    """Book a batch of at most `MAX_BATCH` postings in one round trip and return one result per posting, in order.

    Postings are decided in order: each against the balances that the accepted ones before it left, so that no overdraft
    hides inside a batch. A refused one leaves no trace and never fails its neighbours. Refusals come back as values:
    `InsufficientBalance`, `BalanceOverflow`, `AccountFrozen`, `UnknownAccount`, `ForeignAccount`, `MixedAssets`, or
    `ExistsDifferent` where the key stands with other content. A key that stands with the same content (whatever its
    `happened_at`) is `Replayed`.

    The accounts stay locked until the transaction ends: post last, once, and commit soon.
    """
    assert len(postings) <= MAX_BATCH, f"a batch of {len(postings)} postings"
    if not postings:
        return []
    return [_result(*row) for row in await store.post(tx, postings)]


def _result(outcome: str, detail: str, posting_id: UUID, recorded_at: datetime) -> Result:
    if outcome == "posted":
        return Posted(PostingId(posting_id), recorded_at)
    if outcome == "replayed":
        return Replayed(PostingId(posting_id), recorded_at)
    return _REFUSALS[outcome](detail)


async def post_all(tx: Tx, postings: Sequence[Posting]) -> list[Posted | Replayed]:
    """Book a batch that only makes sense as a whole.

    Raises:
        Refusal: the first refusal, of which the caller's transaction must not commit the rest.
    """
    done: list[Posted | Replayed] = []
    for start in range(0, len(postings), MAX_BATCH):
        for result in await post(tx, postings[start : start + MAX_BATCH]):
            if isinstance(result, Refusal):
                raise result
            done.append(result)
    return done


async def balance(tx: Tx, account: str, asset: str) -> int:
    """Return one account's balance on its normal side in base units, 0 where nothing was ever booked."""
    return await store.balance_units(tx, account, asset)


async def holdings(tx: Tx, asset: str, names: Sequence[str]) -> Mapping[str, int]:
    """Return the balances of those of the accounts that hold something, by name."""
    return await store.holdings(tx, asset, names)


async def balances(tx: Tx, merchant_id: MerchantId) -> list[Balance]:
    """Return what a merchant has, one row per asset with anything in it, by asset."""
    units = await store.kind_units(tx, merchant_id)

    def of(asset: str, kind: str) -> int:
        return units.get((asset, f"merchant:{kind}"), 0)

    return [
        Balance(
            asset=asset,
            available_units=of(asset, "available"),
            reserved_units=of(asset, "reserved"),
            pending_units=of(asset, "pending"),
            unassigned_units=of(asset, "unassigned"),
            quarantined_units=of(asset, "quarantined"),
            debt_units=of(asset, "debt"),
        )
        for asset in sorted({asset for asset, _ in units})
    ]


async def debts(tx: Tx, owners: Collection[tuple[MerchantId, str]]) -> dict[tuple[MerchantId, str], int]:
    """Return what merchants owe per (merchant, asset), 0 included, for the credits that are about to repay it.

    Where something is owed, debt and available balance stay locked until the transaction ends: the answer stays true.
    A batch with several credits of one merchant has to subtract each one's share before the next.
    """
    names = {(accounts.debt(merchant_id), asset): (merchant_id, asset) for merchant_id, asset in owners}
    owing = [names[found] for found in await store.find_open(tx, list(names))]
    locked: Mapping[tuple[str, str], int] = {}
    if owing:
        both = [(name(merchant), asset) for merchant, asset in owing for name in (accounts.available, accounts.debt)]
        locked = await lock(tx, both)
    return {owner: locked.get(name, 0) for name, owner in names.items()}


async def debt(tx: Tx, merchant_id: MerchantId, assets: Collection[str]) -> dict[str, int]:
    """Return what one merchant owes per asset, locked like `debts`."""
    found = await debts(tx, [(merchant_id, asset) for asset in assets])
    return {asset: units for (_, asset), units in found.items()}


async def lock(tx: Tx, names: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
    """Lock accounts, given as (account, asset), until the transaction ends; return the balances of those that exist.

    A decision over several balances locks all of them in one call, so that no other decision comes between.
    """
    return await store.lock(tx, sorted(names))


async def recoverable(tx: Tx, merchant_id: MerchantId, asset: str, units: int) -> int:
    """Return how much of `units` the merchant's available balance still yields, for `chart.deposit_reversed`.

    Debt and available balance stay locked until the transaction ends.
    """
    name = (accounts.available(merchant_id), asset)
    locked = await lock(tx, [name, (accounts.debt(merchant_id), asset)])
    return min(units, locked.get(name, 0))


async def freeze_unequal(tx: Tx) -> list[str]:
    """Stop every account whose balance is not what its entries add up to, and say which and by how much.

    Nothing can be booked on such an account until a person has explained the difference and cleared `frozen_reason`
    as the schema's owner.
    """
    return await store.freeze_unequal(tx, "differs from its entries")
