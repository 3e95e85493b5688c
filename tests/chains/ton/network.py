"""A TON network on loopback for tests (tests/nodes/ton.js says what it is and what it is not), and who pays on it.

    async with TonNetwork.start() as network:
        usdt = await network.token(wallet, decimals=6)
        await network.pay_jettons(usdt, PAYER, wallet, 5_000_000, memo="123456789")
        await network.mine()

Messages are built with `pytoniq_core` and `ton_core`, by other hands than the adapter's. Nothing runs until `mine`.
"""

import base64
import hashlib
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import aiohttp
from pytoniq_core import Address, Cell, begin_cell
from tests.nodes.anvil import NodeError
from tests.nodes.ton import TonProgram
from ton_core.contrib.contracts.codes import CONTRACT_CODES
from ton_core.contrib.contracts.jetton.tlb import (
    JettonInternalTransferBody,
    JettonMasterStablecoinData,
    JettonMasterStandardData,
    JettonMintBody,
)
from ton_core.contrib.contracts.nft.tlb import OffchainContent
from ton_core.contrib.contracts.versions import ContractVersion

from bitlinkpay.core.assets import Asset, Family, Network

NETWORK = "ton"
GENESIS = base64.b64encode(hashlib.sha256(b"zero state of a test network").digest()).decode()
TON = 10**9
PAYER = "0:" + "aa" * 32
ISSUER = "0:" + "bb" * 32
THROWS = begin_cell().store_uint(0xF2C0C8, 24).end_cell().to_boc().hex()  # THROW 200 at every message
_MASTER = CONTRACT_CODES[ContractVersion.JettonMasterStablecoinV2]
_WALLET = CONTRACT_CODES[ContractVersion.JettonWalletStablecoinV2]


def row(*, testnet: bool = False, genesis: str = "") -> Network:
    """Return the registry row of the network."""
    return Network(
        id=NETWORK,
        title="TON on loopback",
        family=Family.TON,
        chain_id=0,
        genesis=genesis,
        wm_chain_id=2,
        block_time=timedelta(seconds=1),
        confirmations=0,
        final_after=timedelta(seconds=5),
        grace=timedelta(seconds=15),
        testnet=testnet,
    )


def coin() -> Asset:
    """Return the native coin."""
    return _asset("ton-ton", "TON", "", "", 9, minimum_units=10_000_000)


def jetton(master: str, wallet: str, *, symbol: str = "USDT", decimals: int = 6) -> Asset:
    """Return the row of a jetton whose wallet of ours is pinned."""
    return _asset(f"{symbol.lower()}-ton", symbol, master, wallet, decimals, minimum_units=1)


def _asset(asset_id: str, symbol: str, contract: str, wallet: str, decimals: int, *, minimum_units: int) -> Asset:
    return Asset(
        id=asset_id,
        symbol=symbol,
        network=NETWORK,
        standard="jetton" if contract else "",
        contract=contract,
        wallet=wallet,
        decimals=decimals,
        payable_decimals=min(decimals, 8),
        wm_coin_id=1 if contract else 3,
        minimum_units=minimum_units,
        sanity_units=10**30,
        payable=True,
    )


def text(memo: str) -> Cell:
    """Return a comment that fits one cell or goes on in snake format."""
    return begin_cell().store_uint(0, 32).store_snake_string(memo).end_cell()


@dataclass(frozen=True, slots=True)
class Jetton:
    """A jetton's master and what its code says of an owner."""

    network: "TonNetwork"
    master: str

    async def wallet_of(self, owner: str) -> str:
        """Return the address of an owner's jetton wallet, by the master's own word."""
        entry = {"type": "slice", "value": b64(begin_cell().store_address(Address(owner)).end_cell())}
        stack = await self.network.get_method(self.master, "get_wallet_address", [entry])
        return raw(Cell.one_from_boc(stack[0]["value"]).begin_parse().load_address())

    async def units_of(self, owner: str) -> int:
        """Return how much an owner has, by the jetton wallet's own word."""
        stack = await self.network.get_method(await self.wallet_of(owner), "get_wallet_data", [])
        return int(stack[0]["value"], 16) if stack else 0


class TonNetwork:
    """One running network."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.base = f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession()
        self._queries = 0

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[Self]:
        """Run a network for the length of a `with` block, on a free port of loopback."""
        program = TonProgram.shared()
        network = cls(program.process, await program.open())
        try:
            yield network
        finally:
            if program.process.poll() is None:
                await network.control("close")
            await network._session.close()

    @property
    def url(self) -> str:
        """Return the base that an operator would name."""
        return f"{self.base}/api/v3"

    @property
    def urls(self) -> list[str]:
        """Return all endpoints."""
        return [self.url]

    def lagging(self, blocks: int) -> str:
        """Return the base of an endpoint that is some blocks behind."""
        return f"{self.base}/lag/{blocks}/api/v3"

    async def control(self, method: str, **params: object) -> object:
        """Do what only a test may do."""
        async with self._session.post(f"{self.base}/control", json={"method": method, "params": params}) as response:
            answer = await response.json()
        if "error" in answer:
            raise NodeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def api(self, path: str, **query: str) -> dict:
        """Ask the indexer."""
        async with self._session.get(self.url + path, params=query) as response:
            return await response.json()

    async def get_method(self, address: str, method: str, stack: list[dict]) -> list[dict]:
        """Return what a contract's get-method leaves; nothing where it fails."""
        body = {"address": address, "method": method, "stack": stack}
        async with self._session.post(f"{self.url}/runGetMethod", json=body) as response:
            answer = await response.json()
        return answer["stack"] if answer.get("exit_code") == 0 else []

    async def mine(self, blocks: int = 1, *, hops: int = 1000) -> int:
        """Run what is queued (at most `hops` generations of messages a block) and return the newest height."""
        return await self.control("mine", blocks=blocks, hops=hops)

    async def finalize(self) -> int:
        """Make everything that was mined final: on TON a block is final when the masterchain has it."""
        return await self.mine()

    async def advance(self, seconds: int) -> None:
        """Let time pass for the blocks to come."""
        await self.control("advance", seconds=seconds)

    async def drop_pending(self) -> int:
        """Forget what waits in the mempool; return how many messages."""
        return await self.control("drop")

    async def send(self, source: str, target: str, value: int, body: Cell | None = None, **more: object) -> None:
        """Queue an internal message."""
        encoded = {} if body is None else {"body": b64(body)}
        await self.control("send", source=source, target=target, value=str(value), **encoded, **more)

    async def pay(self, target: str, units: int, memo: str = "", *, source: str = PAYER, bounce: bool = False) -> None:
        """Queue a plain payment of coins with a text comment."""
        await self.send(source, target, units, text(memo) if memo else None, bounce=bounce)

    async def deploy(self, code: str, data: Cell, *, value: int = TON) -> str:
        """Deploy a contract in a block of its own and return its address."""
        init = [b64(Cell.one_from_boc(code)), b64(data)]
        address = await self.control("send", source=ISSUER, value=str(value), init=init)
        await self.mine()
        return address

    async def lock(self, address: str) -> None:
        """Make a contract refuse whatever comes, as a jetton wallet does that its issuer has locked."""
        await self.control("replace", address=address, code=b64(Cell.one_from_boc(THROWS)))

    async def jetton(self, *, decimals: int = 6, symbol: str = "USDT", issuer: str = ISSUER) -> Jetton:
        """Deploy a jetton."""
        self._queries += 1
        content = OffchainContent(f"https://example.org/{symbol}-{self._queries}.json")
        data = JettonMasterStablecoinData(Address(issuer), Cell.one_from_boc(_WALLET), content).serialize()
        master = await self.deploy(_MASTER, data)
        await self.control("content", master=master, content={"decimals": str(decimals), "symbol": symbol})
        return Jetton(self, master)

    async def rewritten(self, *edits: tuple[str, str], symbol: str = "LIE") -> Jetton:
        """Deploy a jetton of TEP-74's reference code, some instructions of whose wallets are written otherwise."""
        code = b64(Cell.one_from_boc(CONTRACT_CODES[ContractVersion.JettonWalletStandard]))
        wallet = Cell.one_from_boc(await self.control("rewrite", code=code, edits=edits))
        content = OffchainContent(f"https://example.org/{symbol}.json")
        data = JettonMasterStandardData(Address(ISSUER), content, wallet).serialize()
        master = await self.deploy(CONTRACT_CODES[ContractVersion.JettonMasterStandard], data)
        await self.control("content", master=master, content={"decimals": "6", "symbol": symbol})
        return Jetton(self, master)

    async def person(self, number: int = 1, *, version: ContractVersion = ContractVersion.WalletV4R2) -> str:
        """Deploy somebody's wallet, with a coin for gas, and return its address."""
        key = bytes([number]) * 32
        fields = begin_cell().store_uint(0, 32).store_uint(698983191, 32).store_bytes(key)
        if version in {ContractVersion.WalletV4R1, ContractVersion.WalletV4R2}:
            fields.store_bit(0)  # no plugins
        elif version is ContractVersion.WalletV5R1:
            fields = (
                begin_cell().store_bit(1).store_uint(0, 32).store_uint(2147483409, 32).store_bytes(key).store_bit(0)
            )
        return await self.deploy(CONTRACT_CODES[version], fields.end_cell())

    async def token(self, wallet: str, *, decimals: int = 6) -> Asset:
        """Deploy a USDT-like jetton and return its row, our wallet's jetton wallet pinned."""
        made = await self.jetton(decimals=decimals)
        return jetton(made.master, await made.wallet_of(wallet), decimals=decimals)

    async def mint(
        self, master: str, target: str, units: int, *, issuer: str = ISSUER, is_reference: bool = False
    ) -> None:
        """Queue the making of jettons, by the stablecoin's master or by that of TEP-74's reference."""
        inner = JettonInternalTransferBody(jetton_amount=units, forward_amount=0, response_address=Address(issuer))
        body = JettonMintBody(Address(target), inner, 100_000_000).serialize()
        if is_reference:
            fields = begin_cell().store_uint(21, 32).store_uint(0, 64).store_address(Address(target))
            body = fields.store_coins(100_000_000).store_ref(inner.serialize()).end_cell()
        await self.send(issuer, master, TON, body, bounce=True)

    async def fund(self, address: str, asset: Asset, units: int) -> None:
        """Give an address money of an asset, in a block of its own."""
        if asset.is_native:
            await self.pay(address, units, source=ISSUER)
        else:
            await self.mint(asset.contract, address, units)
        await self.mine()

    async def pay_jettons(
        self,
        master: str,
        target: str,
        units: int,
        memo: str | Cell = "",
        *,
        source: str = PAYER,
        forward: int = 1,
        body: Cell | None = None,
    ) -> None:
        """Queue a transfer from the payer's jetton wallet, which must hold enough; `forward` nanotons go on."""
        payload = memo if isinstance(memo, Cell) else text(memo) if memo else None
        wallet = await Jetton(self, master).wallet_of(source)
        await self.send(source, wallet, TON // 10, body or transfer_body(target, units, payload, forward, source))

    async def balance(self, asset: Asset, address: str) -> int:
        """Return what an address has, read from the contracts themselves."""
        if asset.is_native:
            return int((await self.control("account", address=address))["balance"])
        return await Jetton(self, asset.contract).units_of(address)

    def stop(self) -> None:
        """Kill the network at once."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


def transfer_body(target: str, units: int, payload: Cell | None, forward: int, answer_to: str) -> Cell:
    """Return an order to a jetton wallet (TEP-74), the payload in a reference."""
    fields = begin_cell().store_uint(0x0F8A7EA5, 32).store_uint(7, 64).store_coins(units)
    fields.store_address(Address(target)).store_address(Address(answer_to)).store_bit(0).store_coins(forward)
    return (fields.store_bit(1).store_ref(payload) if payload else fields.store_bit(0)).end_cell()


def b64(cell: Cell) -> str:
    """Return a cell as the API takes it."""
    return base64.b64encode(cell.to_boc()).decode()


def raw(address: Address) -> str:
    """Return the raw form of an address."""
    return f"{address.wc}:{address.hash_part.hex()}"
