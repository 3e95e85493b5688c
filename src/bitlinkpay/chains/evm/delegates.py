"""The code that our own addresses run (EIP-7702): where it stands and what it is, both fixed by the hot wallet alone.

Source and compiler output are `contracts/wallets.sol` and `wallets.json` (rebuilt and compared by a test). The
executor is deployed through the deterministic deployment proxy, so its address follows from its code (CREATE2,
EIP-1014) and nobody can put other code there; its constructor deploys the sweeper (CREATE from nonce 1). Whoever
deploys them first, they are the same. The signer derives these addresses itself and authorizes no others.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import msgspec

from bitlinkpay.chains.codec.evm import from_bytes, keccak256, parse, to_bytes
from bitlinkpay.chains.evm.abi import address_word
from bitlinkpay.chains.evm.rlp import encode_bytes, encode_int, encode_list

# https://github.com/Arachnid/deterministic-deployment-proxy: the same address and code on every chain.
FACTORY = parse("0x4e59b44847b379578588920cA78FbF26c0B4956C")
FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
_SALT = bytes(32)
_FIRST_NONCE = 1  # of a contract, EIP-161
_DESIGNATOR = bytes.fromhex("ef0100")  # EIP-7702: the code of an account that delegates is this and an address
_DESIGNATOR_BYTES = 23


class _Compiled(msgspec.Struct, frozen=True):
    creation: str
    runtime: str
    immutables: tuple[int, ...]
    selectors: dict[str, str]


class _Contracts(msgspec.Struct, frozen=True, rename="pascal"):
    executor: _Compiled
    sweeper: _Compiled
    transfer_trial: _Compiled


_CONTRACTS = msgspec.json.decode(
    files("bitlinkpay.chains.evm").joinpath("contracts", "wallets.json").read_bytes(), type=_Contracts
)
PAY_TOKENS, PAY_NATIVE, SWEEP_TOKENS = (
    bytes.fromhex(_CONTRACTS.executor.selectors[f"{name}(address,uint256)[])"])
    for name in ("payTokens(address,uint256,", "payNative(uint256,", "sweepTokens(address,uint256,")
)
# Stands on no chain: what nodes run in a holder's place when a transfer is tried, see `chains.evm.trial`.
TRIAL_CODE = bytes.fromhex(_CONTRACTS.transfer_trial.runtime)
TRY_TRANSFER = bytes.fromhex(_CONTRACTS.transfer_trial.selectors["run(address,address,uint256)"])
EXECUTED_TOPIC = "0x" + keccak256(b"Executed(uint256)").hex()


@dataclass(frozen=True, slots=True)
class Delegates:
    """What one hot wallet and the deposit addresses that it sweeps delegate to; canonical addresses."""

    executor: str
    sweeper: str


@lru_cache(maxsize=64)
def delegates_of(wallet: str) -> Delegates:
    """Return the contracts of a hot wallet, on every chain that has the deployment proxy."""
    code_hash = keccak256(_creation(wallet))
    executor = keccak256(b"\xff" + to_bytes(FACTORY) + _SALT + code_hash)[12:]
    sweeper = keccak256(encode_list((encode_bytes(executor), encode_int(_FIRST_NONCE))))[12:]
    return Delegates(from_bytes(executor), from_bytes(sweeper))


def deployment(wallet: str) -> bytes:
    """Return what to send to `FACTORY` in order to deploy both contracts of a hot wallet."""
    return _SALT + _creation(wallet)


def _creation(wallet: str) -> bytes:
    return bytes.fromhex(_CONTRACTS.executor.creation) + address_word(wallet)


def executor_code() -> bytes:
    """Return the code that must stand at every executor."""
    return bytes.fromhex(_CONTRACTS.executor.runtime)


def sweeper_code(wallet: str) -> bytes:
    """Return the code that must stand at the sweeper of a hot wallet, the wallet being its sink."""
    code = bytearray.fromhex(_CONTRACTS.sweeper.runtime)
    for start in _CONTRACTS.sweeper.immutables:
        code[start : start + 32] = address_word(wallet)
    return bytes(code)


def designator(delegate: str) -> bytes:
    """Return the code of an account that has delegated."""
    return _DESIGNATOR + to_bytes(delegate)


def delegate_of(code: bytes) -> str:
    """Return the canonical address that an account with this code delegates to, "" if it does not delegate."""
    if len(code) == _DESIGNATOR_BYTES and code.startswith(_DESIGNATOR):
        return from_bytes(code[len(_DESIGNATOR) :])
    return ""
