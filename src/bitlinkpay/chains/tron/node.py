"""One TRON endpoint: proves which chain it serves at each connect, then answers typed questions.

`https://KEY@host` sends the key as `TRON-PRO-API-KEY` (TronGrid). A node of one's own serves its solidified state on a
port of its own: `http://10.0.0.5:8090#8091` names that port in the fragment, which is never sent.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from bitlinkpay.chains.base import BlockRef, ChainError, GapError, WrongChain
from bitlinkpay.chains.codec.text import printable
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.http_json import HttpJson
from bitlinkpay.chains.transport import Endpoint, StatusRefused
from bitlinkpay.chains.tron.sealed import Sealed, seal, stand
from bitlinkpay.chains.tron.wire import (
    ACCOUNT,
    BLOCK,
    CALLED,
    INFO,
    INFOS,
    Account,
    Answer,
    Called,
    Info,
    Malformed,
    RawBlock,
    unhex,
)
from bitlinkpay.core.assets import Network
from bitlinkpay.core.errors import Invalid

KEY_HEADER = "TRON-PRO-API-KEY"
_SECOND_NS = 1_000_000_000
_WRONG_CHAIN_REST_NS = 60 * _SECOND_NS
_SUSPENDED = 403  # TronGrid: too many requests, "suspended for 5 s"
_SUSPENDED_FOR = re.compile(rb"suspended for ([0-9]{1,3}) s")
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_PORT_MAX = 65_535
_NOBODY = "41" + "00" * 20

T = TypeVar("T")


class Api(StrEnum):
    """Which state is asked: the newest, which may still be undone, or the solidified one."""

    FULL = "/wallet"
    SOLID = "/walletsolidity"


class NodeRefused(ChainError):
    """The node answered with an error of its own."""


class CallReverted(ChainError):
    """A contract refused a simulated call."""

    def __init__(self, message: str) -> None:
        super().__init__(f"the contract refused: {message}")


class TronNode:
    """An endpoint of one TRON network."""

    def __init__(self, endpoint: Endpoint, network: Network) -> None:
        """Connect lazily.

        Raises:
            Invalid: the URL's fragment is no port.
        """
        self.endpoint = endpoint
        self._network = network
        full, solid = HttpJson(endpoint, key_header=KEY_HEADER), _solid(endpoint)
        self._https: Mapping[Api, HttpJson] = {Api.FULL: full, Api.SOLID: solid or full}
        self._identified = {full: 0} | ({solid: 0} if solid else {})

    @property
    def label(self) -> str:
        """Return its name without credentials."""
        return self.endpoint.label

    @property
    def party(self) -> str:
        """Return who runs it."""
        return self.endpoint.party

    @property
    def is_resting(self) -> bool:
        """Say whether it refuses to be asked for now."""
        return any(http.breaker.is_resting for http in self._https.values())

    async def aclose(self) -> None:
        """Close all connections."""
        for http in self._identified:
            await http.aclose()

    async def ask(self, api: Api, method: str, body: dict[str, object], decoder: "msgspec.json.Decoder[T]") -> T:
        """Call one method and return its typed answer.

        Whenever a connection was opened meanwhile, the chain is checked before the answer is believed.

        Raises:
            EndpointFailed: no answer.
            NodeRefused: an error for an answer.
            WrongChain: it serves another chain.
        """
        http = self._https[api]
        answer = await self._post(http, f"{api}/{method}", {"visible": False, **body}, decoder)
        if http.connections != self._identified[http]:
            await self._identify(http, api)
        return answer

    async def _post(self, http: HttpJson, path: str, body: dict[str, object], decoder: "msgspec.json.Decoder[T]") -> T:
        try:
            answer = await http.post(path, body, decoder)
        except StatusRefused as refused:
            if refused.status == _SUSPENDED:
                found = _SUSPENDED_FOR.search(refused.body)
                http.breaker.failed(str(refused), at_least_ns=int(found[1] if found else 5) * _SECOND_NS)
            raise
        if isinstance(answer, Answer) and answer.error:
            raise NodeRefused(f"{self.label} {path}: {printable(answer.error)}")
        return answer

    async def _identify(self, http: HttpJson, api: Api) -> None:
        connections = http.connections
        if self._network.genesis:
            asked = {"id_or_num": "0", "detail": False, "visible": False}
            first = stand(await self._post(http, f"{api}/getblock", asked, BLOCK))
            if first is None or first.hash != self._network.genesis.lower():
                what = "has another block 0 than the registry names"
                http.breaker.failed(what, at_least_ns=_WRONG_CHAIN_REST_NS)
                raise WrongChain(f"{self.label} {what}")
        self._identified[http] = connections

    async def newest(self, api: Api) -> BlockRef:
        """Return the newest block of one state.

        Raises:
            GapError: it has none.
        """
        ref = stand(await self.ask(api, "getblock", {"detail": False}, BLOCK))
        if ref is None:
            raise GapError(f"{self.label} has no newest block")
        return ref

    async def heads(self) -> tuple[BlockRef, BlockRef]:
        """Return its newest block and its newest solidified one."""
        latest, solid = await asyncio.gather(self.newest(Api.FULL), self.newest(Api.SOLID))
        return latest, solid

    async def ref_at(self, height: int) -> BlockRef | None:
        """Return its block at a height, None if it has none."""
        ref = stand(await self.ask(Api.FULL, "getblock", {"id_or_num": str(height), "detail": False}, BLOCK))
        return None if ref is None else _at(ref, height)

    async def sealed(self, api: Api, height: int) -> Sealed:
        """Return a block with the outcome of each of its transactions: two calls.

        Raises:
            GapError: it lacks the block, or an outcome.
        """
        block, infos = await asyncio.gather(self.block(api, height), self._infos(api, height))
        sealed = seal(block, infos)
        _at(sealed.ref, height)
        return sealed

    async def block(self, api: Api, height: int) -> RawBlock:
        """Return a block without outcomes, as the node sent it.

        Raises:
            GapError: it has none.
        """
        block = await self.ask(api, "getblockbynum", {"num": height}, BLOCK)
        if block.header is None:
            raise GapError(f"{self.label} has no block {height}")
        return block

    async def _infos(self, api: Api, height: int) -> list[Info]:
        infos = await self.ask(api, "gettransactioninfobyblocknum", {"num": height}, INFOS)
        if not isinstance(infos, list):
            raise GapError(f"{self.label} has no outcomes of block {height}")
        return infos

    async def height_of(self, api: Api, txid: str) -> int | None:
        """Return the height at which it has a transaction, None if it knows none."""
        info = await self.ask(api, "gettransactioninfobyid", {"value": txid}, INFO)
        if info.id not in {"", txid}:
            raise Malformed(f"{self.label} answered with another transaction")
        return info.height if info.id else None

    async def account(self, api: Api, address: str) -> Account:
        """Return an account, an empty one where none was ever activated."""
        asked = to_bytes(address).hex()
        account = await self.ask(api, "getaccount", {"address": asked}, ACCOUNT)
        if account.address not in {"", asked}:
            raise Malformed(f"{self.label} answered with another account")
        return account

    async def call(self, api: Api, contract: str, function: str, arguments: bytes = b"", *, owner: str = "") -> Called:
        """Simulate a contract call.

        Args:
            api: on which state.
            contract: canonical address.
            function: such as `balanceOf(address)`.
            arguments: ABI-encoded.
            owner: who calls; by default nobody, for views.

        Raises:
            CallReverted: the contract refused.
            NodeRefused: there is no such contract, or the node would not run it.
        """
        body: dict[str, object] = {
            "owner_address": to_bytes(owner).hex() if owner else _NOBODY,
            "contract_address": to_bytes(contract).hex(),
            "function_selector": function,
            "parameter": arguments.hex(),
        }
        return taken(await self.ask(api, "triggerconstantcontract", body, CALLED), self.label, function)


def taken(called: Called, label: str, function: str) -> Called:
    """Return a simulated call that succeeded.

    Raises:
        CallReverted, NodeRefused: it did not.
    """
    said = legible(called.result.message)
    if not called.result.result:
        raise NodeRefused(f"{label} would not call {function}: {called.result.code} {said}")
    if said or any(result.ret != "SUCESS" for result in called.transaction.ret):
        raise CallReverted(said)
    return called


def legible(message: str) -> str:
    """Return a node's message as text fit for a log line: some versions and endpoints send it in hex."""
    try:
        return printable(unhex(message).decode())
    except (Malformed, UnicodeDecodeError):
        return printable(message)


def _at(ref: BlockRef, height: int) -> BlockRef:
    if ref.height != height:
        raise Malformed(f"a node answered with another block than {height}")
    return ref


def _solid(endpoint: Endpoint) -> HttpJson | None:
    """Return the connection to a solidity port of its own, None where the URL names none."""
    parts = urlsplit(endpoint.url)
    if not parts.fragment:
        return None
    if not _PORT.fullmatch(parts.fragment) or not 0 < int(parts.fragment) <= _PORT_MAX:
        raise Invalid(f"the part after # in the URL of {endpoint.label} is the port of its solidity API")
    user, at, host = parts.netloc.rpartition("@")
    bare = host if parts.port is None else host.rpartition(":")[0]
    url = parts._replace(netloc=f"{user}{at}{bare}:{parts.fragment}", fragment="").geturl()
    return HttpJson(replace(endpoint, url=url), key_header=KEY_HEADER)
