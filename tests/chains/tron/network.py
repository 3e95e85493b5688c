"""The smallest honest TRON network: real bytes, real signatures, real contract code, blocks, forks and a solid height.

What it does as java-tron does: decodes transactions with Google's protobuf, recomputes their ids, recovers the signer
and holds it against the owner's permission, TAPOS, expiration within a day, duplicates, TRX balances, TRC-20 and other
contracts on a real virtual machine, bandwidth and its free allowance, the activation of accounts, stake and its
lending for energy (one TRX at least, to accounts that are no contracts, never what stands for energy in use; what a
borrower used is used at the lender afterwards), block ids and the hash tree over transactions, and a newest block that
is 18 ahead of the solid one.

What it is not: TRON's virtual machine (energy is EVM gas, see `vm`), its witnesses and their signatures, its voting, its
peer-to-peer network; resources come back all at once a day after they were used last, and not bit by bit; nothing is
locked when it is lent, bandwidth is not lent, stake that is given up is gone; the energy that all stake of the network
shares, and prices, are constants; nothing is ever pruned.
Before a release the suite's cases are to be run by hand against the Nile test network.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from eth_abi import encode
from google.protobuf.message import DecodeError
from tests.chains.tron import messages
from tests.chains.tron.api import TronServer
from tests.chains.tron.ledger import CONTRACT_RESULTS, DAY_MS, Account, Outcome, Refused, State, open_contract
from tests.chains.tron.messages import Message
from tests.chains.tron.wallets import Payer, canonical, signer_of
from tests.nodes.anvil import artefacts

from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.core.assets import Asset

BLOCK_MS = 3_000
SOLID_LAG = 18
TAPOS_BLOCKS = 65_536
SIZE_MAX = 512_000
RICH = 10**17
WITNESS = bytes.fromhex("41" + "77" * 20)


@dataclass
class Mined:
    """A block with what executing it did."""

    id: bytes
    header: Message
    transactions: list[Message]
    outcomes: dict[bytes, Outcome]

    @property
    def height(self) -> int:
        return self.header.number


class TronContract:
    """A contract on the network."""

    def __init__(self, net: "TronNet", name: str, account: bytes) -> None:
        self.net, self.name, self.account = net, name, account

    @property
    def address(self) -> str:
        return canonical(self.account)

    def data(self, signature: str, *args: object) -> bytes:
        types = signature[signature.index("(") + 1 : -1]
        selector = bytes.fromhex(artefacts()[self.name]["selectors"][signature])
        words = [_argument(arg) for arg in args]
        return selector + encode(types.split(",") if types else [], words)

    def send(
        self, signature: str, *args: object, payer: Payer | None = None, value: int = 0, fee_limit: int = 10**9
    ) -> str:
        """Put a call into the pool and return its id."""
        payer = payer or self.net.faucet
        body = messages.new(
            "TriggerSmartContract", owner_address=payer.owner, contract_address=b"\x41" + self.account,
            call_value=value, data=self.data(signature, *args),
        )  # fmt: skip
        return self.net.send(payer, "TriggerSmartContract", body, fee_limit=fee_limit)

    def view(self, signature: str, *args: object) -> int:
        """Return the number that a view function answers now."""
        ran = self.net.head.machine.simulate(b"\0" * 20, self.account, self.data(signature, *args), 0, 10**8)
        return int.from_bytes(ran.output, "big")


class TronNet:
    """One chain, and the nodes that serve it."""

    def __init__(self, *, genesis_ms: int = 1_700_000_000_000) -> None:
        self.faucet = Payer.named("faucet")
        self.pool: dict[bytes, Message] = {}
        self.solid_at: int | None = None  # holds finality still
        self.servers: list[TronServer] = []
        self._stamp = 0
        self._grants: list[Callable[[State], None]] = [self._endow]
        header = messages.new("HeaderRaw", timestamp=genesis_ms, txTrieRoot=bytes(32), parentHash=bytes(32))
        self.blocks = [Mined(block_id_of(header), header, [], {})]
        self.head, self.solid, self._solid_done = State(), State(), 0
        self._endow(self.head)
        self._endow(self.solid)

    def _endow(self, state: State) -> None:
        state.accounts[self.faucet.account] = Account(energy_stake=10**15, net_stake=10**15)
        state.machine.add(self.faucet.account, RICH)

    @classmethod
    @asynccontextmanager
    async def start(cls, nodes: int = 1, **options: int) -> AsyncIterator[Self]:
        """Run a network with so many nodes for the length of a `with` block."""
        net = cls(**options)
        async with AsyncExitStack() as stack:
            for _ in range(nodes):
                net.servers.append(await stack.enter_async_context(TronServer.start(net)))
            yield net

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def height(self) -> int:
        return self.blocks[-1].height

    @property
    def solid_height(self) -> int:
        reached = max(0, self.height - SOLID_LAG)
        return reached if self.solid_at is None else min(reached, self.solid_at)

    @property
    def genesis(self) -> str:
        return self.blocks[0].id.hex()

    @property
    def now_ms(self) -> int:
        return self.blocks[-1].header.timestamp

    # --- transactions ------------------------------------------------------------------------------------------------

    def send(
        self, payer: Payer, name: str, body: Message, *, fee_limit: int = 0, memo: bytes = b"", life_ms: int = 60_000
    ) -> str:
        """Sign a transaction, put it into the pool and return its id.

        Raises:
            Refused: the network does not take it.
        """
        signed = payer.sign(self.raw(name, body, fee_limit=fee_limit, memo=memo, life_ms=life_ms))
        return self.submit(signed)

    def raw(self, name: str, body: Message, *, fee_limit: int = 0, memo: bytes = b"", life_ms: int = 60_000) -> Message:
        ref = self.blocks[self.solid_height]
        self._stamp += 1
        return messages.new(
            "Raw",
            ref_block_bytes=ref.height.to_bytes(8, "big")[6:8],
            ref_block_hash=ref.id[8:16],
            expiration=self.now_ms + life_ms,
            data=memo,
            contract=[messages.contract(name, body)],
            timestamp=self.now_ms + self._stamp,
            fee_limit=fee_limit,
        )

    def submit(self, signed: bytes) -> str:
        """Take a signed transaction into the pool, as `broadcasthex` does.

        Raises:
            Refused: with java-tron's code.
        """
        try:
            transaction = messages.parse("Transaction", signed)
        except DecodeError:
            raise Refused("OTHER_ERROR", "no transaction") from None
        del transaction.ret[:]
        txid = sha256(transaction.raw_data.SerializeToString()).digest()
        self._check(transaction, txid)
        if txid in self.pool or any(txid in block.outcomes for block in self.blocks):
            raise Refused("DUP_TRANSACTION_ERROR", "Dup transaction.")
        self.pool[txid] = transaction
        return txid.hex()

    def _check(self, transaction: Message, txid: bytes) -> None:
        if transaction.ByteSize() > SIZE_MAX:
            raise Refused("TOO_BIG_TRANSACTION_ERROR")
        self._check_signature(transaction, txid)
        self._check_reference(transaction)
        expiration = transaction.raw_data.expiration
        if not self.now_ms < expiration <= self.now_ms + DAY_MS:
            raise Refused(
                "TRANSACTION_EXPIRATION_ERROR", f"expiration time is {expiration}, but headBlockTime is {self.now_ms}"
            )
        kind, body = open_contract(transaction)
        owner = body.owner_address[1:]
        self.head.account(owner)
        checks = getattr(self.head, f"_check_{messages.NAMES[kind]}", None)
        if checks is not None:
            checks(body, owner)

    def _check_signature(self, transaction: Message, txid: bytes) -> None:
        if len(transaction.signature) != 1:
            raise Refused("SIGERROR", "miss sig or contract")
        try:
            signer = signer_of(txid, transaction.signature[0])
        except ValueError as error:
            raise Refused("SIGERROR", f"Validate signature error: {error}") from None
        _, body = open_contract(transaction)
        account = self.head.accounts.get(body.owner_address[1:])
        allowed = account.owners if account and account.owners else [body.owner_address[1:]]
        if signer not in allowed:
            raise Refused("SIGERROR", "Validate signature error: it is not contained of permission.")

    def _check_reference(self, transaction: Message) -> None:
        low = int.from_bytes(transaction.raw_data.ref_block_bytes, "big")
        known = [block for block in self.blocks[-TAPOS_BLOCKS:] if block.height % 65_536 == low]
        if not known or known[-1].id[8:16] != transaction.raw_data.ref_block_hash:
            raise Refused("TAPOS_ERROR", "Tapos failed")

    def drop_pending(self, txid: str = "") -> None:
        """Let the pool forget a transaction, or all."""
        for known in list(self.pool):
            if known.hex() == txid or not txid:
                del self.pool[known]

    # --- blocks ------------------------------------------------------------------------------------------------------

    def mine_now(self, blocks: int = 1, *, after_ms: int = BLOCK_MS) -> int:
        """Make blocks; the pool's transactions that are still valid go into the first."""
        for _ in range(blocks):
            waiting, self.pool = self.pool, {}
            self._append(list(waiting.items()), after_ms)
            after_ms = BLOCK_MS
        self._solidify()
        return self.height

    async def mine(self, blocks: int = 1) -> int:
        return self.mine_now(blocks)

    async def finalize(self) -> None:
        """Mine until what is mined now is solid."""
        self.mine_now(SOLID_LAG + 1)

    def _append(self, waiting: Sequence[tuple[bytes, Message]], after_ms: int) -> None:
        parent, time = self.blocks[-1], self.now_ms + after_ms
        transactions, outcomes = [], {}
        for txid, transaction in waiting:
            if transaction.raw_data.expiration <= parent.header.timestamp:
                continue
            del transaction.ret[:]  # of the block that it stood in before a fork: no bytes of its own
            try:
                outcomes[txid] = self.head.apply(transaction, txid, time)
            except Refused:
                continue
            transaction.ret.add(contractRet=CONTRACT_RESULTS.index(outcomes[txid].ended))
            transactions.append(transaction)
        header = messages.new(
            "HeaderRaw", timestamp=time, txTrieRoot=tree_root_of(transactions), parentHash=parent.id,
            number=parent.height + 1, witness_address=WITNESS, version=30,
        )  # fmt: skip
        self.blocks.append(Mined(block_id_of(header), header, transactions, outcomes))

    def _solidify(self) -> None:
        """Let the second state follow: a node answers questions about solid accounts from there."""
        while self._solid_done < self.solid_height:
            self._solid_done += 1
            block = self.blocks[self._solid_done]
            for txid, transaction in zip(block.outcomes, block.transactions, strict=True):
                self._execute(self.solid, transaction, txid, block.header.timestamp)

    def _execute(self, state: State, transaction: Message, txid: bytes, time: int) -> None:
        bare = messages.parse("Transaction", transaction.SerializeToString())
        del bare.ret[:]
        state.apply(bare, txid, time)

    def grant(self, change: Callable[[State], None]) -> None:
        """Change the state by fiat, as the genesis block might have."""
        self._grants.append(change)
        change(self.head)
        change(self.solid)

    async def reorg(self, depth: int, again: Sequence[str] = ()) -> None:
        """Replace the newest `depth` blocks by as many others, without their transactions but for those named."""
        assert self.height - depth >= self.solid_height, "a solid block never leaves the chain"
        dropped = {
            txid: tx
            for block in self.blocks[-depth:]
            for txid, tx in zip(block.outcomes, block.transactions, strict=True)
        }
        del self.blocks[-depth:]
        self.head = State()
        self.head.rewrite = dict(self.solid.rewrite)
        for change in self._grants:
            change(self.head)
        for block in self.blocks:
            for txid, transaction in zip(block.outcomes, block.transactions, strict=True):
                self._execute(self.head, transaction, txid, block.header.timestamp)
        self._append([(txid, tx) for txid, tx in dropped.items() if txid.hex() in again], BLOCK_MS + 1)
        for _ in range(depth - 1):
            self._append([], BLOCK_MS)

    # --- what tests ask for ------------------------------------------------------------------------------------------

    def pay(self, target: str, units: int, payer: Payer | None = None, memo: bytes = b"") -> str:
        """Put a transfer of TRX into the pool and return its id."""
        payer = payer or self.faucet
        body = messages.new("TransferContract", owner_address=payer.owner, to_address=to_bytes(target), amount=units)
        return self.send(payer, "TransferContract", body, memo=memo)

    def act(self, payer: Payer, name: str, **fields: object) -> str:
        """Put a transaction of any type into the pool and return its id."""
        return self.send(payer, name, messages.new(name, owner_address=payer.owner, **fields))

    async def deploy(
        self, name: str, types: Sequence[str] = (), args: Sequence[object] = (), value: int = 0
    ) -> TronContract:
        """Deploy a contract of tests/nodes/contracts in a block of its own."""
        code = bytes.fromhex(str(artefacts()[name]["code"])[2:]) + encode(list(types), list(args))
        new = messages.new(
            "SmartContract", origin_address=self.faucet.owner, bytecode=code, call_value=value, name=name
        )
        body = messages.new("CreateSmartContract", owner_address=self.faucet.owner, new_contract=new)
        txid = self.send(self.faucet, "CreateSmartContract", body, fee_limit=10**12)
        self.mine_now()
        outcome = self.outcome(txid)
        assert outcome.ended == "SUCCESS", f"{name} was not deployed: {outcome.ended}"
        return TronContract(self, name, outcome.contract)

    async def token(self, decimals: int = 6) -> TronContract:
        """Deploy a USDT-like token: `transfer` returns nothing with 6 decimals, true with others."""
        if decimals == 6:
            return await self.deploy("DollarToken")
        return await self.deploy("PlainToken", ["string", "string", "uint8"], ["Tether USD", "USDT", decimals])

    async def fund(self, address: str, asset: Asset, units: int) -> str:
        """Give an address coin or tokens out of the faucet, in a block of its own."""
        if asset.is_native:
            txid = self.pay(address, units)
        else:
            token = TronContract(self, "PlainToken", to_bytes(asset.contract)[1:])
            txid = token.send("transfer(address,uint256)", address, units)
        self.mine_now()
        return txid

    async def balance(self, asset: Asset, address: str) -> int:
        """Return what an address holds after the newest block, read from the state itself."""
        if asset.is_native:
            return self.head.machine.balance(to_bytes(address)[1:])
        return TronContract(self, "PlainToken", to_bytes(asset.contract)[1:]).view("balanceOf(address)", address)

    def outcome(self, txid: str) -> Outcome:
        """Return what executing a mined transaction did."""
        return next(b.outcomes[bytes.fromhex(txid)] for b in self.blocks if bytes.fromhex(txid) in b.outcomes)


def _argument(value: object) -> object:
    """Return an ABI argument: TRON addresses as the machine knows them."""
    if isinstance(value, str) and len(value) == 34 and value.startswith("T"):
        return to_bytes(value)[1:]
    return [_argument(item) for item in value] if isinstance(value, list) else value


def block_id_of(header: Message) -> bytes:
    return header.number.to_bytes(8, "big") + sha256(header.SerializeToString()).digest()[8:]


def tree_root_of(transactions: Sequence[Message]) -> bytes:
    level = [sha256(transaction.SerializeToString()).digest() for transaction in transactions]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else bytes(32)
