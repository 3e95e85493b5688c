"""A node's HTTP API, shaped like java-tron's, honest unless told otherwise.

    server.lag = 20                 # pretends to be 20 blocks behind
    server.edit = forge             # (path, request, answer) -> answer
    server.status = 429             # refuses with a status
    server.is_silent = True         # takes requests and never answers
    server.net = other_net          # serves another chain

Every request is kept in `requests`.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from aiohttp import web
from tests.chains.tron import messages
from tests.chains.tron.answers import account_json, block_json, info_json, lean, resources_json
from tests.chains.tron.ledger import BYTE, NEW_ACCOUNT, NEW_ACCOUNT_BANDWIDTH, Refused, State
from tests.chains.tron.vm import NOBODY

from bitlinkpay.chains.codec.evm import keccak256

if TYPE_CHECKING:
    from tests.chains.tron.network import Mined, TronNet

Edit = Callable[[str, dict[str, object], object], object]
SIMULATED_ENERGY = 100_000_000


class TronServer:
    """One node. Its switches may be changed at any time."""

    def __init__(self, net: "TronNet") -> None:
        self.net, self.url = net, ""
        self.lag, self.status, self.is_silent = 0, 200, False
        self.headers: dict[str, str] = {}
        self.body = "refused"
        self.edit: Edit | None = None
        self.penalty = 0
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.keys: list[str] = []
        self._closing = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def start(cls, net: "TronNet") -> AsyncIterator[Self]:
        """Serve on a free port of loopback for the length of a `with` block."""
        server = cls(net)
        runner = web.ServerRunner(web.Server(server._handle), shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield server
        finally:
            server._closing.set()
            await runner.cleanup()

    @property
    def counts(self) -> Counter[str]:
        """How many requests of each path came."""
        return Counter(path for path, _ in self.requests)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        body = json.loads(await request.read() or b"{}")
        self.requests.append((request.path, body))
        self.keys.append(request.headers.get("TRON-PRO-API-KEY", ""))
        if self.is_silent:
            await self._closing.wait()
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers, text=self.body)
        _, api, method = request.path.split("/")
        answer = self._answer(api, method, body)
        if self.edit is not None:
            answer = self.edit(f"/{api}/{method}", body, answer)
        return web.json_response(answer)

    def _answer(self, api: str, method: str, body: dict[str, object]) -> object:
        assert body.get("visible") is False, "the adapter reads hex only"
        handler = getattr(self, f"_{method}", None)
        assert handler is not None, f"the adapter asked for {method}, which this node does not have"
        try:
            return handler(_View(self, is_solid=api == "walletsolidity"), body)
        except Refused as refused:
            return {"Error": f"class org.tron.core.exception.ContractValidateException : {refused.message}"}

    def _getblock(self, view: "_View", body: dict[str, object]) -> object:
        block = view.block(int(body["id_or_num"]) if "id_or_num" in body else view.height)
        return {} if block is None else block_json(block, is_whole=bool(body.get("detail")))

    def _getblockbynum(self, view: "_View", body: dict[str, object]) -> object:
        block = view.block(int(body["num"]))
        return {} if block is None else block_json(block, is_whole=True)

    def _gettransactioninfobyblocknum(self, view: "_View", body: dict[str, object]) -> object:
        block = view.block(int(body["num"]))
        return [info_json(block, txid) for txid in block.outcomes] if block else []

    def _gettransactioninfobyid(self, view: "_View", body: dict[str, object]) -> object:
        txid = bytes.fromhex(str(body["value"]))
        for block in self.net.blocks[: view.height + 1]:
            if txid in block.outcomes:
                return info_json(block, txid)
        return {}

    def _gettransactionfrompending(self, _view: "_View", body: dict[str, object]) -> object:
        return {"txID": str(body["value"])} if bytes.fromhex(str(body["value"])) in self.net.pool else {}

    def _getaccount(self, view: "_View", body: dict[str, object]) -> object:
        return account_json(view.state, bytes.fromhex(str(body["address"]))[1:])

    def _getaccountresource(self, view: "_View", body: dict[str, object]) -> object:
        return resources_json(view.state, bytes.fromhex(str(body["address"]))[1:], self.net.now_ms)

    def _getcandelegatedmaxsize(self, view: "_View", body: dict[str, object]) -> object:
        assert body["type"] == 1, "the adapter lends energy only"
        account = view.state.accounts.get(bytes.fromhex(str(body["owner_address"]))[1:])
        return lean(max_size=account.lendable(self.net.now_ms) if account else 0)

    def _getdelegatedresourcev2(self, view: "_View", body: dict[str, object]) -> object:
        lender, borrower = (bytes.fromhex(str(body[name])) for name in ("fromAddress", "toAddress"))
        account = view.state.accounts.get(lender[1:])
        units = account.lent.get(borrower[1:], 0) if account else 0
        record = {"from": lender.hex(), "to": borrower.hex(), "frozen_balance_for_energy": units}
        return {"delegatedResource": [record]} if units else {}

    def _getchainparameters(self, view: "_View", _body: dict[str, object]) -> object:
        named = {
            "getTransactionFee": BYTE, "getCreateNewAccountFeeInSystemContract": NEW_ACCOUNT,
            "getCreateAccountFee": NEW_ACCOUNT_BANDWIDTH, "getEnergyFee": view.state.energy_price,
            "getAllowShieldedTransaction": 0, "getRemoveThePowerOfTheGr": -1,
        }  # fmt: skip
        return {"chainParameter": [lean(key=key, value=value) for key, value in named.items()]}

    def _getcontractinfo(self, view: "_View", body: dict[str, object]) -> object:
        code = view.state.machine.code.get(bytes.fromhex(str(body["value"]))[1:], b"")
        return {"runtimecode": code.hex(), "contract_state": {"update_cycle": 1}} if code else {}

    def _triggerconstantcontract(self, view: "_View", body: dict[str, object]) -> object:
        contract = bytes.fromhex(str(body["contract_address"]))[1:]
        if contract not in view.state.machine.code:
            message = b"No contract or not a valid smart contract".hex()
            return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": message}}
        selector = keccak256(str(body["function_selector"]).encode())[:4]
        owner = bytes.fromhex(str(body.get("owner_address", "")))[1:] or NOBODY
        data = selector + bytes.fromhex(str(body.get("parameter", "")))
        ran = view.state.machine.simulate(owner, contract, data, 0, SIMULATED_ENERGY)
        ret: dict[str, object] = {} if ran.ended == "SUCCESS" else {"ret": "FAILED"}
        result: dict[str, object] = {"result": True}
        if ran.ended != "SUCCESS":
            result["message"] = b"REVERT opcode executed".hex()
        return {
            "result": result,
            "transaction": {"ret": [ret]},
            "constant_result": [ran.output.hex()],
            **lean(energy_used=ran.energy + self.penalty, energy_penalty=self.penalty),
        }

    def _broadcasthex(self, _view: "_View", body: dict[str, object]) -> object:
        raw = bytes.fromhex(str(body["transaction"]))
        digest = sha256(messages.parse("Transaction", raw).raw_data.SerializeToString()).hexdigest()
        try:
            return {"result": True, "txid": self.net.submit(raw)}
        except Refused as refused:
            return {"code": refused.code, "txid": digest, "message": refused.message.encode().hex()}


class _View:
    """The chain as one node shows it in one of its two states."""

    def __init__(self, server: TronServer, *, is_solid: bool) -> None:
        self._net = server.net
        self.height = max(0, (server.net.solid_height if is_solid else server.net.height) - server.lag)
        self.state: State = server.net.solid if is_solid else server.net.head

    def block(self, height: int) -> "Mined | None":
        return self._net.blocks[height] if 0 <= height <= self.height else None
