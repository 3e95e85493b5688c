"""Transfers of listed assets out of a Solana block: pure, strict, and of everything, not only of ours.

What arrived is the net change of a balance over a whole transaction that took effect, in base units: it holds for
every form of instruction, for calls of programs within programs, and for money that comes in and goes out again.

Tokens count by (mint, owner, token program). They are a payment where the owner's associated token account received
them and was the owner's before and after, with its authority untouched (THREATS rule 20). Native coin is a payment as
far as the System program moved it to the address; what a closed account gave back, or a program paid in a way of its
own, arrives as `Arrival.SYSTEM`, as does token money in any other account of the owner: recorded, never a payment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from bitlinkpay.chains.base import Arrival, Block, BlockRef, GapError, Transfer
from bitlinkpay.chains.solana.calls import Calls, account_keys, read_calls
from bitlinkpay.chains.solana.programs import is_associated, program_of
from bitlinkpay.chains.solana.wire import (
    Header,
    Malformed,
    Meta,
    RawBlock,
    TokenBalance,
    Transaction,
    checked_hash,
    is_signature,
)
from bitlinkpay.core.assets import Asset

_VERSIONS = frozenset({"legacy", 0, 1})


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A listed token and the one program that its accounts belong to."""

    asset: Asset
    program: str


class Listing:
    """The listed assets of one network, tokens by mint; what is not in it never becomes a transfer."""

    def __init__(self, assets: Sequence[Asset]) -> None:
        """Index the rows.

        Raises:
            Invalid: a token of a standard that is none of Solana's.
        """
        self.native = next((asset for asset in assets if asset.is_native), None)
        self.by_mint: Mapping[str, ListedToken] = MappingProxyType(
            {asset.contract: ListedToken(asset, program_of(asset)) for asset in assets if not asset.is_native}
        )


@dataclass(slots=True)
class _Holding:
    """What a transaction did to one owner's accounts of one mint."""

    change: int = 0
    received: list[int] = field(default_factory=list)  # account indexes whose balance rose
    is_plain: bool = True


def block_ref(slot: int, header: Header) -> BlockRef:
    """Return where a block stands. A block's height is its slot: slots without a block are skipped heights.

    Raises:
        GapError: the node does not know the block's time.
        Malformed: a hash or time that cannot be.
    """
    if header.block_time is None:
        raise GapError(f"a node does not know the time of block {slot}")
    try:
        time = datetime.fromtimestamp(header.block_time, UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed("a node sent a block time that is no time") from None
    return BlockRef(height=slot, hash=checked_hash(header.blockhash), time=time)


def read_block(slot: int, block: RawBlock, listing: Listing) -> Block:
    """Return the block with every transfer of a listed asset, in the order of the chain."""
    ref = block_ref(slot, block)
    transfers = [transfer for tx in block.transactions for transfer in read_transaction(tx, listing)]
    return Block(ref.height, ref.hash, checked_hash(block.previous_blockhash), ref.time, tuple(transfers))


def read_transaction(tx: Transaction, listing: Listing) -> list[Transfer]:
    """Return what a transaction brought to whom, nothing if it failed.

    Raises:
        GapError: the node did not keep what it did.
        Malformed: content that cannot be.
    """
    if tx.meta is None:
        raise GapError("a node did not keep what a transaction did")
    keys = _checked_keys(tx, tx.meta)
    if not tx.meta.is_success:
        return []
    holdings = _holdings(tx.meta, listing) if listing.by_mint else {}
    coins = _risen(tx.meta) if listing.native is not None else {}
    if not coins and all(holding.change <= 0 for holding in holdings.values()):
        return []
    return _Reader(tx, tx.meta, keys, read_calls(tx, keys)).read(listing, holdings, coins)


def _checked_keys(tx: Transaction, meta: Meta) -> list[str]:
    """Return the transaction's accounts, once its parts are seen to fit together."""
    if tx.version not in _VERSIONS:
        raise Malformed(f"a transaction of version {str(tx.version)[:20]}, which nobody here can read")
    keys = account_keys(tx)
    if not len(keys) == len(meta.pre_balances) == len(meta.post_balances):
        raise Malformed("a transaction has other balances than accounts")
    return keys


def txid_of(tx: Transaction) -> str:
    """Return a transaction's id, its first signature.

    Raises:
        Malformed: it has none.
    """
    if not tx.transaction.signatures or not is_signature(tx.transaction.signatures[0]):
        raise Malformed("a transaction without an id")
    return tx.transaction.signatures[0]


def _risen(meta: Meta) -> dict[int, int]:
    """Return by how much native coin each account holds more, token accounts left out: nobody is asked to pay there."""
    balances = zip(meta.pre_balances, meta.post_balances, strict=True)
    risen = {index: after - before for index, (before, after) in enumerate(balances) if after > before}
    if risen:
        for balance in (*meta.pre_token_balances, *meta.post_token_balances):
            risen.pop(balance.account_index, None)
    return risen


def _holdings(meta: Meta, listing: Listing) -> dict[tuple[str, str], _Holding]:
    """Return the change of each (mint, owner) of listed tokens."""
    before, after = _listed(meta.pre_token_balances, listing), _listed(meta.post_token_balances, listing)
    holdings: dict[tuple[str, str], _Holding] = {}
    for index in sorted(before.keys() | after.keys()):
        old, new = before.get(index), after.get(index)
        if old is not None:
            holding = holdings.setdefault((old.mint, _owner(old)), _Holding())
            holding.change -= old.units
        if new is not None:
            holding = holdings.setdefault((new.mint, _owner(new)), _Holding())
            holding.change += new.units
            if new.units > (old.units if old is not None and old.mint == new.mint else 0) or _is_other(old, new):
                holding.received.append(index)
        if old is not None and new is not None and _is_other(old, new):
            holdings[old.mint, _owner(old)].is_plain = holdings[new.mint, _owner(new)].is_plain = False
    return holdings


def _listed(balances: Sequence[TokenBalance], listing: Listing) -> dict[int, TokenBalance]:
    found: dict[int, TokenBalance] = {}
    for balance in balances:
        token = listing.by_mint.get(balance.mint)
        if token is None:
            continue
        if balance.program_id is None or balance.owner is None:
            raise GapError("a node did not keep whose a token account is")
        if balance.program_id == token.program:
            found[balance.account_index] = balance
    return found


def _owner(balance: TokenBalance) -> str:
    assert balance.owner is not None, "a listed balance without an owner"
    return balance.owner


def _is_other(old: TokenBalance | None, new: TokenBalance) -> bool:
    """Say whether an account was another owner's, or held another mint, before the transaction."""
    return old is not None and (old.mint, old.owner) != (new.mint, new.owner)


class _Reader:
    """One transaction that brought somebody money."""

    def __init__(self, tx: Transaction, meta: Meta, keys: Sequence[str], calls: Calls) -> None:
        self._txid = txid_of(tx)
        self._meta = meta
        self._keys = keys
        self._calls = calls

    def read(
        self, listing: Listing, holdings: Mapping[tuple[str, str], _Holding], coins: Mapping[int, int]
    ) -> list[Transfer]:
        """Return tokens by the account that received them, then native coin by account."""
        found = [
            self._token(listing.by_mint[mint], owner, holding, holdings)
            for (mint, owner), holding in holdings.items()
            if holding.change > 0
        ]
        if listing.native is not None:
            for index, units in coins.items():
                found += self._native(listing.native, index, units)
        return found

    def _token(
        self, token: ListedToken, owner: str, holding: _Holding, holdings: Mapping[tuple[str, str], _Holding]
    ) -> Transfer:
        mint = token.asset.contract
        is_payment = holding.is_plain and all(
            index not in self._calls.altered and is_associated(self._key(index), owner, mint, token.program)
            for index in holding.received
        )
        return self._transfer(
            asset=token.asset.id,
            position=f"token:{holding.received[0]}",
            source=self._token_payer(holding, mint, holdings),
            target=owner,
            units=holding.change,
            arrival=Arrival.DIRECT if is_payment else Arrival.SYSTEM,
        )

    def _token_payer(self, holding: _Holding, mint: str, holdings: Mapping[tuple[str, str], _Holding]) -> str:
        """Return whose account the calls took the tokens from, else who holds less now; "" unless it is one."""
        owners = {balance.account_index: balance.owner for balance in self._meta.post_token_balances}
        owners |= {balance.account_index: balance.owner for balance in self._meta.pre_token_balances}
        paid_from = {owners.get(source) for source, target in self._calls.token_sources if target in holding.received}
        payers = paid_from or {owner for (of, owner), other in holdings.items() if of == mint and other.change < 0}
        return next(iter(payers)) or "" if len(payers) == 1 else ""

    def _native(self, asset: Asset, index: int, units: int) -> list[Transfer]:
        """Split what an address has more into what was paid to it and what came otherwise."""
        moved = [coins for coins in self._calls.coins if coins.target == index and coins.source != index]
        paid = min(units, sum(coins.units for coins in moved))
        payers = {self._key(coins.source) for coins in moved}
        source = payers.pop() if len(payers) == 1 else ""
        direct = Arrival.DIRECT if any(not coins.is_inner for coins in moved) else Arrival.INTERNAL
        parts = ((f"lamports:{index}", paid, direct), (f"lamports:{index}:rest", units - paid, Arrival.SYSTEM))
        return [
            self._transfer(
                asset=asset.id,
                position=position,
                source=source if arrival is direct else "",
                target=self._key(index),
                units=part,
                arrival=arrival,
            )
            for position, part, arrival in parts
            if part
        ]

    def _key(self, index: int) -> str:
        if not 0 <= index < len(self._keys):
            raise Malformed("a call names an account that the transaction does not have")
        return checked_hash(self._keys[index])

    def _transfer(
        self, *, asset: str, position: str, source: str, target: str, units: int, arrival: Arrival
    ) -> Transfer:
        return Transfer(
            asset=asset,
            txid=self._txid,
            position=position,
            source=checked_hash(source) if source else "",
            target=checked_hash(target),
            tag="",
            units=units,
            arrival=arrival,
        )
