"""The programs of Solana that we deal with, and the addresses that programs derive. Pure.

Ids and seeds: solana.com/docs/core/programs, spl.solana.com/associated-token-account. A derived address is a hash that
is no point of the Ed25519 curve, so that no key exists for it (solana.com/docs/core/pda).
"""

from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from bitlinkpay.chains.codec.solana import from_bytes, to_bytes
from bitlinkpay.core.assets import Asset
from bitlinkpay.core.errors import Invalid

SYSTEM: Final = "11111111111111111111111111111111"
COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105
ASSOCIATED: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
INCINERATOR: Final = "1nc1nerator11111111111111111111111111111111"  # what it receives is burned

STANDARDS: Final = MappingProxyType({"SPL": TOKEN, "Token-2022": TOKEN_2022})
"""The token program of each `standard` that a registry row may name."""

_MARK = b"ProgramDerivedAddress"
_BUMPS = range(255, -1, -1)

# RFC 8032, section 5.1: the curve -x² + y² = 1 + d·x²·y² over the field of p.
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_Y_BITS = 2**255 - 1


def program_of(asset: Asset) -> str:
    """Return the token program of an asset's standard.

    Raises:
        Invalid: no standard of Solana's.
    """
    if asset.standard not in STANDARDS:
        raise Invalid(f"{asset.id}: write `standard` as one of {', '.join(STANDARDS)}", param="standard")
    return STANDARDS[asset.standard]


def is_on_curve(address: str) -> bool:
    """Say whether a key may exist for an address: whether its 32 bytes decode as a point of the curve."""
    return _is_point(to_bytes(address))


def _is_point(raw: bytes) -> bool:
    """Decide by Euler's criterion whether x² = (y² - 1) / (d·y² + 1) has a root; the sign of x does not matter."""
    y2 = pow(int.from_bytes(raw, "little") & _Y_BITS, 2, _P)
    # v is never 0, and u/v is a square just when u·v is.
    u, v = (y2 - 1) % _P, (_D * y2 + 1) % _P
    return u == 0 or pow(u * v % _P, (_P - 1) // 2, _P) == 1


@lru_cache(maxsize=65_536)
def associated(owner: str, mint: str, program: str) -> str:
    """Return the associated token account: the one place where wallets send a mint's tokens for an owner."""
    seeds = _seeds(owner, mint, program)
    for bump in _BUMPS:
        raw = _hash(seeds, bump)
        if not _is_point(raw):
            return from_bytes(raw)
    raise AssertionError("256 hashes in a row are points of the curve")


@lru_cache(maxsize=65_536)
def is_associated(account: str, owner: str, mint: str, program: str) -> bool:
    """Say whether a token account that exists is the associated one of its owner.

    Cheaper than `associated`: a hash that equals the account needs no look at the curve, for only the associated token
    program can create an account at one of these hashes, and it takes the first that is off the curve.
    """
    seeds, wanted = _seeds(owner, mint, program), to_bytes(account)
    return any(_hash(seeds, bump) == wanted for bump in _BUMPS)


def _seeds(owner: str, mint: str, program: str) -> bytes:
    return to_bytes(owner) + to_bytes(program) + to_bytes(mint)


def _hash(seeds: bytes, bump: int) -> bytes:
    return sha256(seeds + bytes([bump]) + to_bytes(ASSOCIATED) + _MARK).digest()
