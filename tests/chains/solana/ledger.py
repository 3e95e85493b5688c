"""A small Solana cluster in one process: the real virtual machine and token programs (LiteSVM), our own slots and forks.

What it is not: there is no proof of history, no vote, no leader and no gossip; `finalized` is simply `LAG` blocks behind the
newest one. One transaction runs after the other. Rent, fees, signatures, programs and their errors are the machine's own;
block hashes, the window of 150 blocks, duplicates, skipped slots, history and rollback are ours.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTable
from solders.clock import Clock
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.state import Mint
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

LAG = 4  # blocks from the newest one to the newest final one
AGE_MAX = 150  # blocks for which a block hash may be used
SKIP_EVERY = 7  # every seventh slot has no block
FAUCET = Keypair.from_seed(bytes(31) + b"\1")
LEADER = Keypair.from_seed(bytes(31) + b"\2").pubkey()  # who makes all blocks
SYSTEM = Pubkey.default()
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
WRAPPED_SOL = Pubkey.from_string("So11111111111111111111111111111111111111112")
NOBODY = Account(0, b"", SYSTEM)


class Refused(Exception):
    """A transaction that no block can hold, with the reason as nodes name it."""


@dataclass(frozen=True)
class Executed:
    """A transaction in a block and what it did."""

    tx: VersionedTransaction
    keys: list[Pubkey]
    loaded: tuple[list[Pubkey], list[Pubkey]]  # writable, readonly
    before: list[Account | None]
    after: list[Account | None]
    meta: TransactionMetadata
    err: object | None

    @property
    def signature(self) -> Signature:
        return self.tx.signatures[0]


@dataclass(frozen=True)
class Block:
    slot: int
    parent_slot: int
    height: int
    hash: Hash
    previous: Hash
    time: int
    executed: list[Executed]


@dataclass
class Ledger:
    """The chain of blocks and the state after each of them."""

    vm: LiteSVM = field(default_factory=lambda: LiteSVM().with_transaction_history(0).with_blockhash_check(False))
    blocks: list[Block] = field(default_factory=list)
    pending: list[VersionedTransaction] = field(default_factory=list)
    refused: list[tuple[VersionedTransaction, str]] = field(default_factory=list)
    skip_every: int = SKIP_EVERY
    _history: dict[Pubkey, list[tuple[int, Account | None]]] = field(default_factory=dict)
    _slot: int = 0

    def __post_init__(self) -> None:
        self.vm.set_account(FAUCET.pubkey(), Account(10**18, b"", SYSTEM))
        self.vm.set_account(LEADER, Account(10**9, b"", SYSTEM))
        self.vm.set_account(WRAPPED_SOL, Account(10**9, bytes(Mint(None, 0, 9, True)), TOKEN))
        genesis = Block(0, 0, 0, self._next_hash(), Hash.default(), int(time.time()), [])
        self.blocks.append(genesis)

    def _next_hash(self) -> Hash:
        self.vm.expire_blockhash()
        return self.vm.latest_blockhash()

    @property
    def newest(self) -> Block:
        return self.blocks[-1]

    @property
    def final(self) -> Block:
        return self.blocks[max(0, len(self.blocks) - 1 - LAG)]

    @property
    def genesis_hash(self) -> str:
        return str(self.blocks[0].hash)

    def produce(self) -> Block:
        """Make the next block out of what is pending."""
        self._slot += 1
        while self.skip_every and self._slot % self.skip_every == 0:
            self._slot += 1
        parent = self.newest
        now = max(int(time.time()), parent.time)
        self.vm.set_clock(Clock(self._slot, 0, 0, 0, now))
        self.vm.set_slot_hashes([(block.slot, block.hash) for block in reversed(self.blocks[-300:])])
        executed: list[Executed] = []
        for tx in self.pending:
            try:
                executed.append(self._execute(tx, parent.height + 1, executed))
            except Refused as refusal:
                self.refused.append((tx, str(refusal)))
        self.pending = []
        block = Block(self._slot, parent.slot, parent.height + 1, self._next_hash(), parent.hash, now, executed)
        self.blocks.append(block)
        return block

    def check(self, tx: VersionedTransaction, height: int, beside: Sequence[Executed] = ()) -> None:
        """Refuse a transaction that is too old, or that stands in the chain already."""
        if tx.signatures[0] in {other.signature for other in (*beside, *self._recent())}:
            raise Refused("AlreadyProcessed")
        usable = {block.hash for block in self.blocks if block.height >= height - 1 - AGE_MAX}
        if tx.message.recent_blockhash not in usable and not uses_nonce(tx):
            raise Refused("BlockhashNotFound")

    def _recent(self) -> Iterable[Executed]:
        return (executed for block in self.blocks[-AGE_MAX - 2 :] for executed in block.executed)

    def resolve(self, tx: VersionedTransaction) -> tuple[list[Pubkey], tuple[list[Pubkey], list[Pubkey]]]:
        """Return all accounts of a transaction, and those of them that come from lookup tables."""
        writable: list[Pubkey] = []
        readonly: list[Pubkey] = []
        if isinstance(tx.message, MessageV0):
            for lookup in tx.message.address_table_lookups:
                table = AddressLookupTable.deserialize(self.vm.get_account(lookup.account_key).data).addresses
                writable += [table[index] for index in lookup.writable_indexes]
                readonly += [table[index] for index in lookup.readonly_indexes]
        return [*tx.message.account_keys, *writable, *readonly], (writable, readonly)

    def _execute(self, tx: VersionedTransaction, height: int, beside: Sequence[Executed]) -> Executed:
        self.check(tx, height, beside)
        keys, loaded = self.resolve(tx)
        before = [self.vm.get_account(key) for key in keys]
        result = self.vm.send_transaction(tx)
        after = [self.vm.get_account(key) for key in keys]
        failed = isinstance(result, FailedTransactionMetadata)
        if failed and _lamports(before) == _lamports(after):
            raise Refused(str(result.err()))
        for key, was, now in zip(keys, before, after, strict=True):
            if was != now:
                self._history.setdefault(key, [(0, was)]).append((self._slot, now))
        return Executed(
            tx, keys, loaded, before, after, result.meta() if failed else result, result.err() if failed else None
        )

    def account(self, key: Pubkey, slot: int) -> Account | None:
        """Return an account as it was after a slot."""
        past = [account for at, account in self._history.get(key, []) if at <= slot]
        account = past[-1] if past else self.vm.get_account(key)
        return account if account is not None and account.lamports else None

    def accounts(self, slot: int) -> list[tuple[Pubkey, Account]]:
        """Return every account that transactions have touched and that existed after a slot."""
        found = ((key, self.account(key, slot)) for key in self._history)
        return [(key, account) for key, account in found if account is not None]

    def plant(self, key: Pubkey, account: Account) -> None:
        """Put an account into the state by no transaction at all."""
        self.vm.set_account(key, account)
        self._history.setdefault(key, []).append((0, account))

    def rollback(self, depth: int) -> list[VersionedTransaction]:
        """Drop the newest blocks and what they did; return the transactions that stood in them."""
        gone, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        for key, past in self._history.items():
            if past[-1][0] > self.newest.slot:
                past[:] = [entry for entry in past if entry[0] <= self.newest.slot]
                self.vm.set_account(key, past[-1][1] or NOBODY)
        self._slot = self.newest.slot
        return [executed.tx for block in gone for executed in block.executed]


def uses_nonce(tx: VersionedTransaction) -> bool:
    """Say whether the first instruction advances a durable nonce."""
    first = tx.message.instructions[0]
    return tx.message.account_keys[first.program_id_index] == SYSTEM and bytes(first.data)[:4] == b"\4\0\0\0"


def _lamports(accounts: Sequence[Account | None]) -> list[int]:
    return [account.lamports if account else 0 for account in accounts]
