"""Reads what a TRC-20 contract says of itself.

Code behind a proxy is a part of the facts only where the proxy tells its address by `implementation()`: the API has no
way to read a contract's storage. Names and symbols are shown to operators as foreign text and used for nothing.
"""

from bitlinkpay.chains.codec import abi
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.codec.tron import from_bytes, to_bytes
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.tron.node import Api, CallReverted, TronNode
from bitlinkpay.chains.tron.wire import CODE, HASH_BYTES, unhex

_ADDRESS = slice(-20, None)


async def read_facts(node: TronNode, contract: str) -> TokenFacts:
    """Return what one endpoint says of a token: its code as it is now, its answers in the solidified state.

    Raises:
        ChainError: it can't read that state.
    """
    code_hash = await _code_hash(node, contract)
    if not code_hash:
        return TokenFacts(contract, "", "", "", None, "", is_paused=False, is_deprecated=False)
    target = await view(node, contract, "implementation()")
    implementation = from_bytes(target[_ADDRESS]) if len(target) == HASH_BYTES and any(target) else ""
    return TokenFacts(
        contract=contract,
        code_hash=code_hash,
        implementation=implementation,
        implementation_hash=await _code_hash(node, implementation) if implementation else "",
        decimals=abi.small(await view(node, contract, "decimals()")),
        symbol=abi.text(await view(node, contract, "symbol()")),
        is_paused=abi.small(await view(node, contract, "paused()")) == 1,
        is_deprecated=abi.small(await view(node, contract, "deprecated()")) == 1,
    )


async def _code_hash(node: TronNode, address: str) -> str:
    code = await node.ask(Api.FULL, "getcontractinfo", {"value": to_bytes(address).hex()}, CODE)
    return "0x" + keccak256(unhex(code.runtimecode)).hex() if code.runtimecode else ""


async def view(node: TronNode, contract: str, function: str, arguments: bytes = b"") -> bytes:
    """Return what a view function answers to ABI-encoded arguments, nothing where the contract has none such."""
    try:
        return unhex("".join((await node.call(Api.SOLID, contract, function, arguments)).constant_result))
    except CallReverted:
        return b""
