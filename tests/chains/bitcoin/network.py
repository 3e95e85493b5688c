"""A Bitcoin regression-test network of one node, with blocks made here: the same for both nodes that may judge them.

    async with BitcoinNetwork.start("kernel") as net:       # Bitcoin Core's validation, or "btcd"
        txid = await net.pay("tb1q…", 150_000)              # broadcast
        await net.mine()                                     # with everything that waits
        await net.reorg(2)                                   # another branch, one block longer, without what it held

`urls` is where an adapter asks: a gate in this process before the node, with credentials in the URL, which counts calls
and may be told to lie (`edit`). It holds the rich key `faucet`, to whom every block's new coins go.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Self
from urllib.parse import quote

import aiohttp
from aiohttp import web
from tests.chains.bitcoin.btcd import PASSWORD, USER, Btcd
from tests.chains.bitcoin.kernel import Kernel, KernelRpc, to_json
from tests.chains.bitcoin.keys import Lock, TestKey
from tests.chains.bitcoin.mempool import Refused
from tests.chains.bitcoin.serialize import MadeBlock, Tx, TxIn, TxOut, coinbase, subsidy

from bitlinkpay.chains.bitcoin.script import script_of
from bitlinkpay.chains.codec.bitcoin import TEST

GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
FIRST_BLOCKS = 110  # ten coins of the faucet can be spent
FEE = 10_000
NODES = ("kernel", "btcd")
_SWEEP_S = 60

Edit = Callable[[str, list[object], object], object]


class RpcError(Exception):
    """Raised by an `edit` to answer a call with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def alter(method: str, change: Callable[[object], object]) -> Edit:
    """Return an `edit` that changes what one method answers."""
    return lambda asked, params, result: change(result) if asked == method else result


def refuse(method: str, code: int, message: str) -> Edit:
    """Return an `edit` that answers one method with an error."""

    def edit(asked: str, params: list[object], result: object) -> object:
        if asked == method:
            raise RpcError(code, message)
        return result

    return edit


class BitcoinNetwork:
    """One network; `rpc` and `kernel` are None where btcd judges."""

    def __init__(self, kernel: Kernel | None, btcd: Btcd | None) -> None:
        self.kernel = kernel
        self.btcd = btcd
        self.rpc = KernelRpc(kernel) if kernel else None
        self.faucet = TestKey.of("faucet")
        self.edit: Edit | None = None
        self.calls: Counter[str] = Counter()
        self.asked: list[tuple[str, list[object]]] = []
        self.url = ""
        self.clock: Callable[[], float] = time.time
        self._coins: dict[tuple[str, int], tuple[int, int]] = {}  # of the faucet -> units, first height to spend it
        self._session = aiohttp.ClientSession()
        self.refusal: object = None
        self._extra = 0
        self._made: dict[str, tuple[int, int]] = {}  # blocks made here -> height, time

    @property
    def urls(self) -> list[str]:
        return [self.url]

    @classmethod
    @asynccontextmanager
    async def start(
        cls, node: str = "kernel", *, blocks: int = FIRST_BLOCKS, clock: Callable[[], float] = time.time
    ) -> AsyncIterator[Self]:
        """Run a network for the length of a `with` block.

        Args:
            node: `kernel` or `btcd`.
            blocks: how many blocks there are at the start.
            clock: what time new blocks tell, unless the one before tells a later one. btcd sweeps its mempool only
                while its chain is no older than a day.
        """
        net = cls(Kernel() if node == "kernel" else None, await Btcd.start() if node == "btcd" else None)
        net.clock = clock
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{path:.*}", net._handle)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            net.url = f"http://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{runner.addresses[0][1]}/"
            await net._first(blocks)
            yield net
        finally:
            await runner.cleanup()
            await net._session.close()
            if net.kernel:
                net.kernel.close()
            if net.btcd:
                await net.btcd.stop()

    async def _first(self, blocks: int) -> None:
        start, tip = int(self.clock()) - 600 * blocks, GENESIS
        for n in range(blocks):
            block = await self.build(tip, (), at=start + 600 * n)
            self.refusal = await self.ask("submitblock", block.raw().hex())
            tip = block.hash
        assert await self.ask("getbestblockhash") == tip, f"the node refused a block of ours: {self.refusal}"

    # --- the node's door --------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "")
        if header != aiohttp.encode_basic_auth(USER, PASSWORD, "utf-8"):
            return web.Response(status=401)
        body = json.loads(await request.read())
        answers = [await self._answer(call) for call in body]
        return web.Response(text="[" + ",".join(answers) + "]", content_type="application/json")

    async def _answer(self, call: dict[str, object]) -> str:
        method, params = str(call["method"]), list(call["params"])
        self.calls[method] += 1
        self.asked.append((method, params))
        try:
            result = await self.ask(method, *params)
            if self.edit is not None:
                result = self.edit(method, params, result)
        except (Refused, RpcError) as error:
            return to_json({"result": None, "error": {"code": error.code, "message": str(error)}, "id": call["id"]})
        return to_json({"result": result, "error": None, "id": call["id"]})

    async def ask(self, method: str, *params: object) -> object:
        """Ask the node itself, past the gate."""
        if self.rpc is not None:
            return self.rpc.call(method, list(params))
        body = json.dumps({"jsonrpc": "1.0", "id": 1, "method": method, "params": params})
        async with self._session.post(self.btcd.target, data=body, headers=self.btcd.headers()) as response:
            answer = json.loads(await response.text(), parse_float=Decimal)
        if answer["error"] is not None:
            raise Refused(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    # --- blocks -----------------------------------------------------------------------------------------------------

    async def height(self) -> int:
        return await self.ask("getblockcount")

    async def mine(
        self, blocks: int = 1, *, script: bytes = b"", at: int | None = None, txs: Sequence[Tx] | None = None
    ) -> str:
        """Mine blocks; the first holds `txs`, by default everything that waits. Return the hash of the last one."""
        tip = await self.ask("getbestblockhash")
        for n in range(blocks):
            chosen = (await self.waiting() if txs is None else list(txs)) if n == 0 else []
            block = await self.build(tip, chosen, script=script, at=at)
            await self.submit(block)
            tip = block.hash
            assert await self.ask("getbestblockhash") == tip, f"the node refused a block of ours: {self.refusal}"
        return tip

    async def build(self, parent: str, txs: Sequence[Tx], *, script: bytes = b"", at: int | None = None) -> MadeBlock:
        """Make a block on block 0 or any block that was made here."""
        above = self._made.get(parent)
        height, earlier = above or (
            0,
            int.from_bytes(bytes.fromhex(await self.ask("getblockheader", parent, False))[68:72], "little"),
        )
        height += 1
        self._extra += 1
        first = coinbase(
            height,
            script or self.faucet.script(),
            subsidy(height),
            others=tuple(txs),
            extra=self._extra.to_bytes(4, "big"),
        )
        block = MadeBlock(parent, at or max(int(self.clock()), earlier + 1), (first, *txs)).mined()
        if not script:
            self._coins[first.txid, 0] = first.outputs[0].units, height + 100
        self._made[block.hash] = height, block.time
        return block

    async def submit(self, block: MadeBlock) -> None:
        """Hand the node a block; whether it takes it shows in the chain."""
        self.refusal = await self.ask("submitblock", block.raw().hex())
        if not self.btcd or await self.ask("getbestblockhash") != block.hash:
            return
        mined = {tx.txid for tx in block.txs}
        async with asyncio.timeout(_SWEEP_S):
            while mined.intersection(await self.ask("getrawmempool")):
                await asyncio.sleep(0.005)  # btcd sweeps its mempool a moment after the block

    async def reorg(self, depth: int, *, keep: Sequence[Tx] = (), longer: int = 1, kept_at: int = 0) -> str:
        """Replace the newest `depth` blocks by `depth + longer` others; `keep` stands in the one at `kept_at`.

        What waits afterwards stays unmined. Returns the new tip.
        """
        tip = await self.ask("getblockhash", await self.height() - depth)
        for n in range(depth + longer):
            block = await self.build(tip, keep if n == kept_at else ())
            await self.submit(block)
            tip = block.hash
        assert await self.ask("getbestblockhash") == tip, "the longer branch did not win"
        return tip

    async def copy(self, source: "BitcoinNetwork", *, last: int | None = None) -> None:
        """Take the blocks of another network, up to a height; blocks may then be built on them here, too."""
        for height in range(1, (await source.height() if last is None else last) + 1):
            block_hash = await source.ask("getblockhash", height)
            await self.ask("submitblock", await source.ask("getblock", block_hash, 0))
        self._made = dict(source._made)

    async def finalize(self) -> None:
        """Mine what waits and as much more as makes it final."""
        await self.mine(6)

    # --- money ------------------------------------------------------------------------------------------------------

    async def waiting(self) -> list[Tx]:
        """Return what waits, parents first."""
        if self.kernel:
            return list(self.kernel.mempool.waiting.values())
        txs = [
            Tx.parse(bytes.fromhex(await self.ask("getrawtransaction", t, 0))) for t in await self.ask("getrawmempool")
        ]
        ordered: list[Tx] = []
        while txs:
            ids = {tx.txid for tx in txs}
            ready = [tx for tx in txs if not any(i.txid in ids for i in tx.inputs)]
            ordered += ready
            txs = [tx for tx in txs if tx not in ready]
        return ordered

    async def coin(self, units: int) -> tuple[TxIn, TxOut]:
        """Take a coin of the faucet of at least so many units."""
        height = await self.height()
        for outpoint, (value, ready_at) in list(self._coins.items()):
            if value >= units and ready_at <= height + 1 and await self.ask("gettxout", *outpoint, True):
                del self._coins[outpoint]
                return TxIn(*outpoint), TxOut(value, self.faucet.script())
        raise AssertionError("the faucet is empty: mine more blocks")

    async def build_payment(self, *outputs: TxOut, fee: int = FEE, **more: object) -> Tx:
        """Return a signed transaction of the faucet with these outputs, its change last."""
        start, coin = await self.coin(sum(o.units for o in outputs) + fee + 10_000)
        change = TxOut(coin.units - sum(o.units for o in outputs) - fee, self.faucet.script())
        tx = self.faucet.sign(Tx((start,), (*outputs, change), **more), 0, [coin], Lock.P2WPKH)
        self._coins[tx.txid, len(outputs)] = change.units, 0
        return tx

    async def send(self, tx: Tx) -> str:
        txid = await self.ask("sendrawtransaction", tx.raw().hex())
        assert txid == tx.txid
        return txid

    async def pay(self, address: str, units: int, **more: object) -> str:
        """Broadcast a payment of the faucet to an address as the adapter writes them (`tb1…`)."""
        return await self.send(await self.build_payment(TxOut(units, script_of(address, TEST)), **more))

    async def fund(self, address: str, asset: object, units: int) -> str:
        """Give an address coins that stand in a final block."""
        del asset
        txid = await self.pay(address, units)
        await self.finalize()
        return txid

    async def give(self, key: TestKey, units: int, lock: Lock = Lock.P2WPKH) -> tuple[TxIn, TxOut]:
        """Mine an output of so many units for a key, and return how to spend it."""
        out = TxOut(units, key.script(lock))
        tx = await self.build_payment(out)
        await self.mine(txs=[*await self.waiting(), tx])
        return TxIn(tx.txid, 0), out

    async def balance(self, asset: object, address: str) -> int:
        """Return what an address holds, counted in the blocks by the tests' own parser."""
        del asset
        script = script_of(address, TEST)
        held: dict[tuple[str, int], int] = {}
        for height in range(await self.height() + 1):
            for tx in await self.block(height):
                for i in tx.inputs:
                    held.pop(i.outpoint, None)
                held.update({(tx.txid, n): o.units for n, o in enumerate(tx.outputs) if o.script == script})
        return sum(held.values())

    async def block(self, height: int) -> list[Tx]:
        """Return the transactions of a block."""
        raw = bytes.fromhex(await self.ask("getblock", await self.ask("getblockhash", height), 0))
        return parse_block(raw)

    async def drop_pending(self) -> None:
        """Let the node forget everything that waits, as a restart without its mempool file does."""
        assert self.kernel, "btcd keeps what waits until it is mined"
        self.kernel.mempool.drop(list(self.kernel.mempool.waiting))


def parse_block(raw: bytes) -> list[Tx]:
    """Return the transactions of a serialized block, read by the tests' own parser."""
    at, txs = 80, []
    count = raw[at] if raw[at] < 0xFD else int.from_bytes(raw[at + 1 : at + 3], "little")
    at += 1 if raw[80] < 0xFD else 3
    for _ in range(count):
        tx = Tx.parse(raw[at:])
        txs.append(tx)
        at += len(tx.raw())
    return txs
