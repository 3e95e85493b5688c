"""Reads what a token contract says of itself.

An upgrade behind a proxy changes no code at the token's own address, so the code that the usual proxies point to is
part of the facts. Names and symbols are shown to operators as foreign text and used for nothing.
"""

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec import abi
from bitlinkpay.chains.codec.evm import from_bytes, keccak256
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.state import pinned, read_state
from bitlinkpay.chains.evm.wire import ADDRESS_BYTES, HASH_BYTES, TEXT, unhex
from bitlinkpay.chains.rpc import Call, CallRefused
from bitlinkpay.chains.token import TokenFacts

_DECIMALS, _SYMBOL = "decimals()", "symbol()"  # EIP-20
_PAUSED, _DEPRECATED = "paused()", "deprecated()"
_IMPLEMENTATION = "implementation()"  # of a beacon, EIP-1967
_IMPLEMENTATION_SLOTS = (
    "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",  # EIP-1967
    "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3",  # OpenZeppelin before EIP-1967
)
_BEACON_SLOT = "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50"  # EIP-1967


async def read_facts(node: EvmNode, contract: str, block_hash: str) -> TokenFacts:
    """Return what one endpoint says of a token after one block.

    Raises:
        ChainError: it can't read that state.
    """
    implementation = await _implementation(node, contract, block_hash)
    return TokenFacts(
        contract=contract,
        code_hash=await _code_hash(node, contract, block_hash),
        implementation=implementation,
        implementation_hash=await _code_hash(node, implementation, block_hash) if implementation else "",
        decimals=abi.small(await view(node, contract, _DECIMALS, block_hash)),
        symbol=abi.text(await view(node, contract, _SYMBOL, block_hash)),
        is_paused=abi.small(await view(node, contract, _PAUSED, block_hash)) == 1,
        is_deprecated=abi.small(await view(node, contract, _DEPRECATED, block_hash)) == 1,
    )


async def _code_hash(node: EvmNode, address: str, block_hash: str) -> str:
    (text,) = await read_state(node, [Call("eth_getCode", (address, pinned(block_hash)))])
    code = unhex(text)
    return "0x" + keccak256(code).hex() if code else ""


async def _implementation(node: EvmNode, contract: str, block_hash: str) -> str:
    slots = (*_IMPLEMENTATION_SLOTS, _BEACON_SLOT)
    calls = [Call("eth_getStorageAt", (contract, slot, pinned(block_hash))) for slot in slots]
    *direct, beacon = [unhex(text).rjust(HASH_BYTES, b"\0") for text in await read_state(node, calls)]
    for word in direct:
        if any(word):
            return _address(word)
    if any(beacon):
        return _address(await view(node, _address(beacon), _IMPLEMENTATION, block_hash))
    return ""


async def view(node: EvmNode, contract: str, function: str, block_hash: str, arguments: bytes = b"") -> bytes:
    """Return what a view function answers, nothing where the contract has none such.

    Args:
        node: the endpoint.
        contract: canonical address.
        function: such as `balanceOf(address)`.
        block_hash: after which block.
        arguments: ABI-encoded.
    """
    data = "0x" + (keccak256(function.encode())[:4] + arguments).hex()
    call = Call("eth_call", ({"to": contract, "data": data}, pinned(block_hash)))
    try:
        (text,) = await node.ask([call], TEXT)
    except CallRefused as error:
        if error.is_unsupported:
            raise
        return b""
    return unhex(text)


def _address(word: bytes) -> str:
    if len(word) != HASH_BYTES:
        raise ChainError("a proxy does not say which code it runs")
    return from_bytes(word[-ADDRESS_BYTES:])
