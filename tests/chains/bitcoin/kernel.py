"""Bitcoin Core's own validation (libbitcoinkernel) as a regression-test node, behind bitcoind's JSON-RPC.

What judges here is Core's code: every block goes through its `process_block` (work, merkle root, scripts, amounts,
maturity, reorganisation by work), every waiting transaction through its script verification. What it is not: there are
no peers, no wallet and no index of Core's; the mempool's policy is ours (`mempool.py`), and so are the answers' JSON
forms, written after Core's RPC documentation (`bitcoin-cli help`) and held against published answers elsewhere.
"""

import contextlib
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import pbk
from tests.chains.bitcoin.mempool import Mempool, Refused
from tests.chains.bitcoin.serialize import Tx, TxOut

MATURITY = 100


class Coin:
    """An unspent output of the chain."""

    def __init__(self, out: TxOut, height: int, *, is_coinbase: bool) -> None:
        self.out, self.height, self.is_coinbase = out, height, is_coinbase


class Kernel:
    """The chain: Core decides, and this follows what Core decided with a set of unspent outputs of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="blp-kernel-")
        self._context = pbk.make_context(pbk.ChainType.REGTEST)
        path = Path(self._folder.name)
        options = pbk.ChainstateManagerOptions(self._context, str(path), str(path / "blocks"))
        options.update_block_tree_db_in_memory(True)
        options.update_chainstate_db_in_memory(True)
        self._manager = pbk.ChainstateManager(options)
        self.hashes: list[str] = []
        self.blocks: dict[str, tuple[bytes, list[Tx]]] = {}
        self.heights: dict[str, int] = {}
        self.places: dict[str, str] = {}  # transaction id -> block
        self.coins: dict[tuple[str, int], Coin] = {}
        self.spent: dict[str, list[list[Coin]]] = {}  # block -> what each of its transactions spent
        self.mempool = Mempool(self._spendable)
        self._follow()

    def close(self) -> None:
        self._folder.cleanup()

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    def submit(self, raw: bytes) -> None:
        """Hand Core a block; only the tip of the chain shows what it thinks of it."""
        with contextlib.suppress(pbk.ProcessBlockException):
            self._manager.process_block(pbk.Block(raw))
        self._follow()

    def _follow(self) -> None:
        """Walk from our end of the chain to Core's."""
        chain = self._manager.get_active_chain()
        entries = chain.block_tree_entries
        at = min(self.height, chain.height)
        while at >= 0 and str(entries[at].block_hash) != self.hashes[at]:
            at -= 1
        undone = [self._disconnect() for _ in range(self.height - at)]
        for height in range(at + 1, chain.height + 1):
            self._connect(bytes(self._manager.blocks[entries[height]]), str(entries[height].block_hash))
        self.mempool.disconnected(tx for txs in reversed(undone) for tx in txs)

    def _connect(self, raw: bytes, block_hash: str) -> None:
        height = len(self.hashes)
        txs = _transactions(raw)
        undo: list[list[Coin]] = []
        for tx in txs:
            undo.append([] if tx.is_coinbase else [self.coins.pop(i.outpoint) for i in tx.inputs])
            self.places[tx.txid] = block_hash
            for vout, out in enumerate(tx.outputs if height else ()):  # block 0's coins can't be spent
                if not out.script.startswith(b"\x6a"):
                    self.coins[tx.txid, vout] = Coin(out, height, is_coinbase=tx.is_coinbase)
        self.hashes.append(block_hash)
        self.heights[block_hash] = height
        self.blocks[block_hash] = raw, txs
        self.spent[block_hash] = undo
        self.mempool.connected(txs)

    def _disconnect(self) -> list[Tx]:
        block_hash = self.hashes.pop()
        del self.heights[block_hash]
        txs = self.blocks[block_hash][1]
        for tx, coins in zip(reversed(txs), reversed(self.spent[block_hash]), strict=True):
            for vout in range(len(tx.outputs)):
                self.coins.pop((tx.txid, vout), None)
            del self.places[tx.txid]
            self.coins.update({i.outpoint: coin for i, coin in zip(tx.inputs, coins, strict=bool(coins))})
        return txs

    def _spendable(self, outpoint: tuple[str, int]) -> TxOut | None:
        coin = self.coins.get(outpoint)
        if coin is None or (coin.is_coinbase and self.height + 1 - coin.height < MATURITY):
            return None
        return coin.out


def _transactions(raw: bytes) -> list[Tx]:
    return [Tx.parse(bytes(tx)) for tx in pbk.Block(raw).transactions]


class KernelRpc:
    """bitcoind's answers to the calls that matter here; everything else is unknown to it.

    `has_index` plays `-txindex`; `version` 22 to 24 lack what came later.
    """

    def __init__(self, kernel: Kernel, *, has_index: bool = True, version: int = 30) -> None:
        self.kernel = kernel
        self.has_index = has_index
        self.version = version
        self.fee_rate: Decimal | None = None  # coins per 1,000 vB, as `estimatesmartfee` answers

    def call(self, method: str, params: list[object]) -> object:
        found = getattr(self, f"_{method}", None)
        if found is None:
            raise Refused(-32601, "Method not found")
        return found(*params)

    def _getblockcount(self) -> int:
        return self.kernel.height

    def _getbestblockhash(self) -> str:
        return self.kernel.hashes[-1]

    def _getblockhash(self, height: int) -> str:
        if not 0 <= height <= self.kernel.height:
            raise Refused(-8, "Block height out of range")
        return self.kernel.hashes[height]

    def _known(self, block_hash: str) -> tuple[bytes, list[Tx]]:
        if block_hash not in self.kernel.blocks:
            raise Refused(-5, "Block not found")
        return self.kernel.blocks[block_hash]

    def _getblockheader(self, block_hash: str, verbose: bool = True) -> object:
        raw, txs = self._known(block_hash)
        if not verbose:
            return raw[:80].hex()
        return {"hash": block_hash, "nTx": len(txs)} | self._where(block_hash)

    def _where(self, block_hash: str) -> dict[str, object]:
        height = self.kernel.heights.get(block_hash)
        confirmations = -1 if height is None else self.kernel.height - height + 1
        return {"height": -1 if height is None else height, "confirmations": confirmations}

    def _getblock(self, block_hash: str, verbosity: int = 1) -> object:
        raw, txs = self._known(block_hash)
        if verbosity == 0:
            return raw.hex()
        parent = raw[4:36][::-1].hex()
        shown = [self._shown(tx, self.kernel.spent[block_hash][at], verbosity - 1) for at, tx in enumerate(txs)]
        return {"hash": block_hash, "previousblockhash": parent, "tx": shown} | self._where(block_hash)

    def _shown(self, tx: Tx, coins: list[Coin], verbosity: int) -> dict[str, object]:
        """Return a transaction as `decoderawtransaction` does; with verbosity 2 also what it spends."""
        inputs: list[dict[str, object]] = []
        for index, i in enumerate(tx.inputs):
            shown = {"coinbase": i.script.hex()} if tx.is_coinbase else {"txid": i.txid, "vout": i.vout}
            if verbosity > 1 and coins and self.version >= 23:
                shown["prevout"] = {
                    "generated": coins[index].is_coinbase, "height": coins[index].height,
                    "value": coins_of(coins[index].out.units), "scriptPubKey": {"hex": coins[index].out.script.hex()},
                }  # fmt: skip
            inputs.append(shown | {"sequence": i.sequence})
        outputs = [
            {"value": coins_of(o.units), "n": n, "scriptPubKey": {"hex": o.script.hex()}}
            for n, o in enumerate(tx.outputs)
        ]
        return {"txid": tx.txid, "vin": inputs, "vout": outputs, "hex": tx.raw().hex(), "vsize": tx.vsize}

    def _getrawtransaction(self, txid: str, verbosity: int = 0, block_hash: str | None = None) -> object:
        waiting = self.kernel.mempool.waiting.get(txid)
        place = block_hash or (self.kernel.places.get(txid) if self.has_index else None)
        txs = self._known(place)[1] if place else []
        at = next((n for n, tx in enumerate(txs) if tx.txid == txid), None)
        if at is None and waiting is None:
            hint = "" if self.has_index else " Use -txindex or provide a block hash to enable blockchain queries"
            raise Refused(-5, "No such mempool or blockchain transaction." + hint)
        tx = waiting if at is None else txs[at]
        if not verbosity:
            return tx.raw().hex()
        if at is None:
            return self._shown(tx, [], 1)
        coins = self.kernel.spent[place][at] if self.version >= 25 else []
        return self._shown(tx, coins, verbosity) | {"blockhash": place} | self._where(place)

    def _gettxout(self, txid: str, vout: int, include_mempool: bool = True) -> object:
        pool = self.kernel.mempool
        coin = self.kernel.coins.get((txid, vout))
        if include_mempool and pool.spender((txid, vout)):
            return None
        if coin is None and include_mempool and (waiting := pool.waiting.get(txid)) and vout < len(waiting.outputs):
            coin = Coin(waiting.outputs[vout], self.kernel.height + 1, is_coinbase=False)
        if coin is None:
            return None
        return {
            "bestblock": self.kernel.hashes[-1],
            "confirmations": self.kernel.height - coin.height + 1,
            "value": coins_of(coin.out.units),
            "scriptPubKey": {"hex": coin.out.script.hex()},
            "coinbase": coin.is_coinbase,
        }

    def _scantxoutset(self, action: str, descriptors: list[str]) -> object:
        assert action == "start"
        wanted = {bytes.fromhex(d.removeprefix("raw(").removesuffix(")")) for d in descriptors}
        found = [
            {"txid": txid, "vout": vout, "scriptPubKey": c.out.script.hex(), "amount": coins_of(c.out.units), "height": c.height}
            for (txid, vout), c in self.kernel.coins.items()
            if c.out.script in wanted
        ]  # fmt: skip
        return {"success": True, "height": self.kernel.height, "bestblock": self.kernel.hashes[-1], "unspents": found}

    def _getrawmempool(self) -> list[str]:
        return list(self.kernel.mempool.waiting)

    def _sendrawtransaction(self, text: str) -> str:
        try:
            tx = Tx.parse(bytes.fromhex(text))
        except Exception:
            raise Refused(-22, "TX decode failed. Make sure the tx has at least one input.") from None
        if any((tx.txid, vout) in self.kernel.coins for vout in range(len(tx.outputs))):
            raise Refused(-27, "Transaction outputs already in utxo set")
        self.kernel.mempool.add(tx)
        return tx.txid

    def _estimatesmartfee(self, target: int, mode: str = "") -> object:
        if self.fee_rate is None:
            return {"errors": ["Insufficient data or no feerate found"], "blocks": target}
        return {"feerate": self.fee_rate, "blocks": target}

    def _submitblock(self, text: str) -> None:
        self.kernel.submit(bytes.fromhex(text))


def coins_of(units: int) -> Decimal:
    """Return what Core prints: coins with eight decimals."""
    return Decimal(units).scaleb(-8).quantize(Decimal("0.00000001"))


def to_json(value: object) -> str:
    """Return JSON in which a Decimal stands as a number with its digits, as Core writes amounts."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value)
