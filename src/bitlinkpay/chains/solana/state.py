"""What addresses hold after a block. Nodes keep the newest state only, so what happened since is taken back again.

An account is read as it is now, at a slot that the node names; then every transaction that the account's history shows
between the block and that slot is looked up and its change undone. So endpoints that are some slots apart agree, and a
sweep of ours in that moment is not mistaken for missing money.

Tokens count where the account's owner is the address at that reading, whoever created the account (THREATS SOL-05),
and where the issuer has not frozen it: frozen units cover nothing (SOL-15).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call
from bitlinkpay.chains.solana.accounts import read_token_account
from bitlinkpay.chains.solana.calls import account_keys
from bitlinkpay.chains.solana.node import FINALIZED, SolanaNode, transaction_call
from bitlinkpay.chains.solana.programs import associated, program_of
from bitlinkpay.chains.solana.wire import ACCOUNTS, FOUND, MENTIONS, OWNED, Found, Malformed, Mention, checked_hash
from bitlinkpay.core.assets import Asset

ACCOUNTS_MAX = 100  # of one getMultipleAccounts
_PAGE = 1000
_PAGES_MAX = 4
_NO_DATA = {"offset": 0, "length": 0}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one account held at a slot, and for whom: `owner` is "" for native coin."""

    account: str
    slot: int
    units: int
    mint: str = ""
    owner: str = ""


class StateReader:
    """Balances of one network."""

    def __init__(self, quorum: Quorum[SolanaNode]) -> None:
        self._quorum = quorum

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> list[int]:
        """Return base units held by each address after the block at a finalized slot.

        Calls with each endpoint of the quorum: native coin 1 for 100 addresses and 1 an address; tokens 1 an address
        and 1 an account of it; where something moved since, 1 a transaction.

        Raises:
            GapError, NotEnoughAnswers, ChainError: the quorum does not hold or not agree on that state.
        """
        if not addresses:
            return []
        return list(await self._quorum.agree(lambda node: _balances(node, asset, addresses, height)))


async def _balances(node: SolanaNode, asset: Asset, addresses: Sequence[str], height: int) -> tuple[int, ...]:
    if asset.is_native:
        of_address = {reading.account: [reading] for reading in await _coins(node, addresses, height)}
    else:
        of_address = await _tokens(node, asset, addresses, height)
    past = await _Past.read(node, [reading for readings in of_address.values() for reading in readings], height)
    totals = (sum(map(past.units, of_address[address])) for address in addresses)
    return tuple(totals)


async def _coins(node: SolanaNode, addresses: Sequence[str], height: int) -> list[_Reading]:
    options = {"commitment": FINALIZED, "encoding": "base64", "minContextSlot": height, "dataSlice": _NO_DATA}
    chunks = [addresses[at : at + ACCOUNTS_MAX] for at in range(0, len(addresses), ACCOUNTS_MAX)]
    answers = await node.ask([Call("getMultipleAccounts", (chunk, options)) for chunk in chunks], ACCOUNTS)
    readings: list[_Reading] = []
    for chunk, answer in zip(chunks, answers, strict=True):
        _check_slot(node, answer.context.slot, height)
        if len(answer.value) != len(chunk):
            raise Malformed(f"{node.label} sent {len(answer.value)} accounts instead of {len(chunk)}")
        for address, account in zip(chunk, answer.value, strict=True):
            readings.append(_Reading(address, answer.context.slot, account.lamports if account else 0))
    return readings


async def _tokens(node: SolanaNode, asset: Asset, addresses: Sequence[str], height: int) -> dict[str, list[_Reading]]:
    program, mint = program_of(asset), asset.contract
    options = {"commitment": FINALIZED, "encoding": "base64", "minContextSlot": height}
    calls = [Call("getTokenAccountsByOwner", (address, {"mint": mint}, options)) for address in addresses]
    found: dict[str, list[_Reading]] = {}
    for address, answer in zip(addresses, await node.ask(calls, OWNED), strict=True):
        slot = _check_slot(node, answer.context.slot, height)
        held: dict[str, int | None] = {associated(address, mint, program): 0}
        for owned in answer.value:
            token = read_token_account(owned.account, program)
            if token is not None and (token.mint, token.owner) == (mint, address):
                held[checked_hash(owned.pubkey)] = None if token.is_frozen else token.units
        found[address] = [
            _Reading(account, slot, units, mint, address) for account, units in held.items() if units is not None
        ]
    return found


def _check_slot(node: SolanaNode, slot: int, height: int) -> int:
    if slot < height:
        raise GapError(f"{node.label} answers from slot {slot}, before {height}")
    return slot


class _Past:
    """What accounts gained between a block and the slots at which they were read."""

    def __init__(self, gained: Mapping[_Reading, int]) -> None:
        self._gained = gained

    def units(self, reading: _Reading) -> int:
        """Return what an account held after the block.

        Raises:
            ChainError: less than nothing, so that the node's history and state contradict each other.
        """
        units = reading.units - self._gained[reading]
        if units < 0:
            raise ChainError(f"the history of {reading.account} does not fit what it holds")
        return units

    @classmethod
    async def read(cls, node: SolanaNode, readings: Sequence[_Reading], height: int) -> "_Past":
        """Look up what happened to each account after `height` and up to the slot of its reading."""
        since = [reading for reading in readings if reading.slot > height]
        mentions = await _mentions(node, since, height)
        ids = sorted({mention.signature for found in mentions.values() for mention in found})
        answers = await node.ask([transaction_call(txid) for txid in ids], FOUND) if ids else []
        transactions = dict(zip(ids, answers, strict=True))
        return cls(
            {
                reading: sum(
                    _gain(node, transactions[mention.signature], mention, reading)
                    for mention in mentions.get(reading, ())
                )
                for reading in readings
            }
        )


async def _mentions(node: SolanaNode, readings: Sequence[_Reading], height: int) -> dict[_Reading, list[Mention]]:
    """Return by account the transactions that name it after `height`, up to the slot of its reading."""
    found: dict[_Reading, list[Mention]] = {reading: [] for reading in readings}
    before: dict[_Reading, str] = dict.fromkeys(readings, "")
    for _ in range(_PAGES_MAX):
        if not before:
            return found
        pages = await node.ask([_history(reading, at) for reading, at in before.items()], MENTIONS)
        following: dict[_Reading, str] = {}
        for reading, page in zip(before, pages, strict=True):
            found[reading] += [mention for mention in page if height < mention.slot <= reading.slot]
            if len(page) == _PAGE and page[-1].slot > height:
                following[reading] = page[-1].signature
        before = following
    raise GapError(f"{node.label}: too much happened since block {height} to tell what was held then")


def _history(reading: _Reading, before: str) -> Call:
    options: dict[str, object] = {"commitment": FINALIZED, "limit": _PAGE, "minContextSlot": reading.slot}
    return Call("getSignaturesForAddress", (reading.account, options | ({"before": before} if before else {})))


def _gain(node: SolanaNode, found: Found | None, mention: Mention, reading: _Reading) -> int:
    """Return what a transaction added to an account; also one that failed, for it took a fee."""
    if found is None or found.meta is None or found.slot != mention.slot:
        raise GapError(f"{node.label} does not show transaction {mention.signature[:88]!r}")
    meta, keys = found.meta, account_keys(found)
    if not len(keys) == len(meta.pre_balances) == len(meta.post_balances) or reading.account not in keys:
        raise Malformed(f"{node.label} sent another transaction than {mention.signature[:88]!r}")
    index = keys.index(reading.account)
    if not reading.mint:
        return meta.post_balances[index] - meta.pre_balances[index]
    before, after = (
        sum(
            balance.units
            for balance in balances
            if (balance.account_index, balance.mint, balance.owner) == (index, reading.mint, reading.owner)
        )
        for balances in (meta.pre_token_balances, meta.post_token_balances)
    )
    return after - before
