"""Addresses that nobody can have meant as a recipient (THREATS PAY-27). Pure; deposit addresses are for the books."""

from collections.abc import Iterable

from bitlinkpay.chains.codec.evm import from_bytes, parse, to_bytes
from bitlinkpay.chains.evm.delegates import FACTORY, delegates_of
from bitlinkpay.core.assets import Asset

_BURNS = frozenset(
    parse(address)
    for address in (
        "0x000000000000000000000000000000000000dead",
        "0xdead000000000000000042069420694206942069",
        "0xffffffffffffffffffffffffffffffffffffffff",
        "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",  # stands for native coin in many programs
    )
)
_SYSTEM_MAX = 0xFFFF  # precompiles of Ethereum (1 to 0x11, 0x100) and of chains beside it, Arbitrum's up to 0xff
ZERO = from_bytes(bytes(20))


def objection(target: str, assets: Iterable[Asset], payer: str) -> str:
    """Return why a canonical address is no recipient of a payout, "" if it may be one."""
    if target == ZERO:
        return "the zero address: nobody holds its key"
    if target in _BURNS:
        return "a burn address: nobody holds its key"
    if int.from_bytes(to_bytes(target), "big") <= _SYSTEM_MAX:
        return "a precompiled contract of the network"
    if any(target == asset.contract for asset in assets):
        return "a token's own contract, which gives nothing back"
    ours = delegates_of(payer)
    if target in {payer, ours.executor, ours.sweeper, FACTORY}:
        return "an address of our own or a contract that we use"
    return ""
