"""What a token contract says of itself, to be held against the registry row; the registry wins, the asset waits.

An upgrade behind a proxy changes no code at the token's own address, so the code that the usual proxies point to is
part of the facts. Names and symbols are shown to operators as foreign text and used for nothing.
"""

from dataclasses import dataclass

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.codec.evm import from_bytes, keccak256
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.state import pinned, read_state
from bitlinkpay.chains.evm.wire import ADDRESS_BYTES, HASH_BYTES, TEXT, unhex
from bitlinkpay.chains.rpc import Call, CallRefused, printable
from bitlinkpay.core.assets import Asset

_DECIMALS, _SYMBOL = "0x313ce567", "0x95d89b41"  # EIP-20
_PAUSED, _DEPRECATED = "0x5c975abb", "0x0e136b19"  # paused(), deprecated()
_IMPLEMENTATION = "0x5c60da1b"  # implementation() of a beacon, EIP-1967
_IMPLEMENTATION_SLOTS = (
    "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",  # EIP-1967
    "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3",  # OpenZeppelin before EIP-1967
)
_BEACON_SLOT = "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50"  # EIP-1967
_DECIMALS_MAX = 255


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token contract as the chain shows it.

    Attributes:
        code_hash: Keccak hash of the code at the token's address, "" where there is none.
        implementation: canonical address of the contract that a known proxy form runs, "" for none.
        implementation_hash: Keccak hash of its code, "" for none.
        decimals: what the contract answers, None if nothing sensible.
        symbol: what the contract calls itself; foreign text.
        is_paused: it says that transfers are paused.
        is_deprecated: it says that another contract has taken its place.
    """

    code_hash: str
    implementation: str
    implementation_hash: str
    decimals: int | None
    symbol: str
    is_paused: bool
    is_deprecated: bool


def objections(asset: Asset, facts: TokenFacts, accepted: TokenFacts | None = None) -> tuple[str, ...]:
    """Return why the asset should be held until a person has looked, nothing if it may be used.

    Args:
        asset: the registry row.
        facts: what the chain shows now.
        accepted: what it showed when the row was last reviewed, if that was kept.
    """
    found: list[str] = []
    if not facts.code_hash:
        found.append(f"{asset.id}: no contract at {asset.contract}")
    elif facts.decimals != asset.decimals:
        found.append(f"{asset.id}: the contract says {facts.decimals} decimals, the registry {asset.decimals}")
    if facts.is_paused:
        found.append(f"{asset.id}: the contract is paused")
    if facts.is_deprecated:
        found.append(f"{asset.id}: the contract says that another one has replaced it")
    if accepted is not None and _code(facts) != _code(accepted):
        found.append(f"{asset.id}: the contract's code has changed since it was reviewed")
    return tuple(found)


def _code(facts: TokenFacts) -> tuple[str, str, str]:
    return facts.code_hash, facts.implementation, facts.implementation_hash


async def read_facts(node: EvmNode, contract: str, block_hash: str) -> TokenFacts:
    """Return what one endpoint says of a token after one block.

    Raises:
        ChainError: it can't read that state.
    """
    implementation = await _implementation(node, contract, block_hash)
    return TokenFacts(
        code_hash=await _code_hash(node, contract, block_hash),
        implementation=implementation,
        implementation_hash=await _code_hash(node, implementation, block_hash) if implementation else "",
        decimals=_small(await _view(node, contract, _DECIMALS, block_hash)),
        symbol=_text(await _view(node, contract, _SYMBOL, block_hash)),
        is_paused=_small(await _view(node, contract, _PAUSED, block_hash)) == 1,
        is_deprecated=_small(await _view(node, contract, _DEPRECATED, block_hash)) == 1,
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
        return _address(await _view(node, _address(beacon), _IMPLEMENTATION, block_hash))
    return ""


async def _view(node: EvmNode, contract: str, selector: str, block_hash: str) -> bytes:
    """Return what a view function answers, nothing where the contract has none such."""
    call = Call("eth_call", ({"to": contract, "data": selector}, pinned(block_hash)))
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


def _small(word: bytes) -> int | None:
    value = int.from_bytes(word, "big") if len(word) == HASH_BYTES else None
    return value if value is not None and value <= _DECIMALS_MAX else None


def _text(raw: bytes) -> str:
    """Return an ABI string, or the older `bytes32`, as printable text of bounded length."""
    if len(raw) >= 2 * HASH_BYTES and raw[:HASH_BYTES] == HASH_BYTES.to_bytes(HASH_BYTES, "big"):
        length = int.from_bytes(raw[HASH_BYTES : 2 * HASH_BYTES], "big")
        raw = raw[2 * HASH_BYTES : 2 * HASH_BYTES + min(length, len(raw))]
    return printable(raw.rstrip(b"\0").decode("utf-8", "replace"))
