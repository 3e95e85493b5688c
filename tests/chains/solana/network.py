"""A Solana test network behind HTTP JSON-RPC, on loopback and in the test's own process.

    async with SolanaNetwork.start() as network:
        usdt = await network.token(decimals=6)
        await network.fund(address, usdt, 5_000_000)
        await network.finalize()

Several nodes may serve it (`start(nodes=3)`); `node(1).behind = 20` makes one of them lag. What it is not stands in `ledger`.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

from aiohttp import web
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.state import TokenAccount
from solders.transaction import VersionedTransaction
from tests.chains.solana import wallets
from tests.chains.solana.answers import Answers, RpcError
from tests.chains.solana.ledger import FAUCET, LAG, TOKEN, Ledger

from bitlinkpay.core.assets import Asset, Family, Network

NETWORK = "solana"
MINT_BYTES, MINT_RENT = 82, 1_461_600


def coin() -> Asset:
    return asset_row("sol-solana", "SOL", "", "", 9)


def asset_row(asset_id: str, symbol: str, contract: str, standard: str, decimals: int) -> Asset:
    return Asset(
        id=asset_id,
        symbol=symbol,
        network=NETWORK,
        standard=standard,
        contract=contract,
        wallet="",
        decimals=decimals,
        payable_decimals=min(decimals, 8),
        wm_coin_id=1,
        minimum_units=1,
        sanity_units=10**18,
        payable=True,
    )


class SolanaNetwork:
    """The cluster and its nodes."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.nodes: list[Answers] = []
        self.urls: list[str] = []
        self.calls: list[tuple[str, list[object]]] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, *, nodes: int = 1) -> AsyncIterator[Self]:
        """Serve on free ports of loopback for the length of a `with` block, with some final blocks."""
        network = cls()
        runners = []
        try:
            for _ in range(nodes):
                network.nodes.append(Answers(network.ledger))
                runners.append(await network._serve(network.nodes[-1]))
            await network.mine(LAG + 1)
            yield network
        finally:
            for runner in runners:
                await runner.cleanup()

    async def _serve(self, node: Answers) -> web.AppRunner:
        async def handle(request: web.Request) -> web.Response:
            body = json.loads(await request.read())
            answers = [self._answer(node, call) for call in (body if isinstance(body, list) else [body])]
            return web.json_response(answers if isinstance(body, list) else answers[0])

        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, shutdown_timeout=0, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        return runner

    def _answer(self, node: Answers, call: dict[str, object]) -> dict[str, object]:
        self.calls.append((call["method"], call["params"]))
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            return answer | {"result": node(call["method"], call["params"])}
        except RpcError as error:
            return answer | {"error": error.body}

    def row(self, **changes: object) -> Network:
        """Return the registry row."""
        row: dict[str, object] = {
            "id": NETWORK,
            "title": "Solana",
            "family": Family.SOLANA,
            "chain_id": 0,
            "genesis": self.ledger.genesis_hash,
            "wm_chain_id": 7,
            "block_time": timedelta(milliseconds=400),
            "confirmations": 0,
            "final_after": timedelta(seconds=2),
            "grace": timedelta(seconds=5),
        }
        return Network(**row | changes)

    async def mine(self, blocks: int = 1) -> int:
        """Make blocks (what is pending goes into the first) and return the newest slot."""
        for _ in range(blocks):
            self.ledger.produce()
        return self.ledger.newest.slot

    async def finalize(self) -> int:
        """Make blocks until everything that was sent is final; return the newest final slot."""
        await self.mine(LAG + 1)
        return self.ledger.final.slot

    async def reorg(self, depth: int, *, keep: bool = False) -> None:
        """Replace the newest `depth` blocks by as many others, without their transactions unless they are kept."""
        dropped = self.ledger.rollback(depth)
        self.ledger.pending = [*(dropped if keep else ()), *self.ledger.pending]
        await self.mine(depth)

    async def drop_pending(self) -> int:
        """Forget what waits for a block; return how much."""
        count = len(self.ledger.pending)
        self.ledger.pending = []
        return count

    async def send(self, instructions: Sequence[Instruction], *signers: Keypair) -> str:
        """Sign, hand in and return the transaction's id; it stands in the next block."""
        return self.submit(wallets.signed(self.ledger.newest.hash, instructions, *signers))

    def submit(self, tx: VersionedTransaction) -> str:
        self.ledger.pending.append(tx)
        return str(tx.signatures[0])

    async def token(
        self, decimals: int = 6, *, symbol: str = "USDT", program: Pubkey = TOKEN, extend: Sequence[Instruction] = (),
        size: int = MINT_BYTES, mint: Keypair | None = None, standard: str = "SPL",
    ) -> Asset:  # fmt: skip
        """Create a mint of which the faucet holds plenty, and return its row. `extend` initialises its extensions first."""
        mint = mint or Keypair()
        rent = self.ledger.vm.minimum_balance_for_rent_exemption(size)
        init = wallets.initialize_mint(mint.pubkey(), decimals, FAUCET.pubkey(), program)
        made = wallets.create(FAUCET, mint.pubkey(), size, rent, program)
        await self.send([made, *extend, init], FAUCET, mint)
        await self.mine()
        await self.send(
            [
                wallets.create_associated(FAUCET, FAUCET.pubkey(), mint.pubkey(), program),
                wallets.mint_to(
                    mint.pubkey(), wallets.associated(FAUCET.pubkey(), mint.pubkey(), program), FAUCET, 10**17, program
                ),
            ],
            FAUCET,
        )
        await self.mine()
        for executed in self.ledger.blocks[-2].executed + self.ledger.newest.executed:
            assert executed.err is None, executed.meta.logs()
        return asset_row(f"{symbol.lower()}-solana", symbol, str(mint.pubkey()), standard, decimals)

    async def fund(self, address: str, asset: Asset, units: int) -> str:
        """Give an address coins or tokens of the faucet's by a plain transfer; return its id."""
        target = Pubkey.from_string(address)
        if asset.is_native:
            return await self.send([wallets.transfer(FAUCET, target, units)], FAUCET)
        mint = Pubkey.from_string(asset.contract)
        program = self.ledger.vm.get_account(mint).owner
        source, account = (wallets.associated(owner, mint, program) for owner in (FAUCET.pubkey(), target))
        instructions = [
            wallets.create_associated(FAUCET, target, mint, program),
            wallets.transfer_checked(source, mint, account, FAUCET, units, decimals=asset.decimals, program=program),
        ]
        return await self.send(instructions, FAUCET)

    async def balance(self, asset: Asset, address: str) -> int:
        """Return what an address holds in the newest state, read from the machine and not through any adapter."""
        owner = Pubkey.from_string(address)
        if asset.is_native:
            return self.ledger.vm.get_balance(owner) or 0
        mint = Pubkey.from_string(asset.contract)
        program = self.ledger.vm.get_account(mint).owner
        account = self.ledger.vm.get_account(wallets.associated(owner, mint, program))
        return TokenAccount.from_bytes(account.data[:165]).amount if account and account.lamports else 0

    def outcome(self, txid: str) -> object:
        """Return the block and the execution of a transaction, None if it stands nowhere."""
        found = ((b, e) for b in self.ledger.blocks for e in b.executed if str(e.signature) == txid)
        return next(found, None)
