"""The few calls that our own transactions make. Pure.

Layouts: docs.rs/solana-system-interface, docs.rs/solana-compute-budget-interface, docs.rs/spl-token,
spl.solana.com/associated-token-account. All numbers are little-endian.
"""

from bitlinkpay.chains.solana.message import Instruction, Party
from bitlinkpay.chains.solana.programs import ASSOCIATED, COMPUTE_BUDGET, SYSTEM, associated

_SET_LIMIT, _SET_PRICE = 2, 3
_SYSTEM_TRANSFER = 2
_TRANSFER, _CLOSE, _TRANSFER_CHECKED = 3, 9, 12
_CREATE_IDEMPOTENT = 1


def set_compute_limit(units: int) -> Instruction:
    """Bound the compute units that the transaction may use; it also decides what its price comes to."""
    return Instruction(COMPUTE_BUDGET, (), bytes([_SET_LIMIT]) + units.to_bytes(4, "little"))


def set_compute_price(micro: int) -> Instruction:
    """Offer so many millionths of a lamport for each compute unit of the limit, for a place before others."""
    return Instruction(COMPUTE_BUDGET, (), bytes([_SET_PRICE]) + micro.to_bytes(8, "little"))


def transfer_coins(source: str, target: str, units: int) -> Instruction:
    """Move native coin."""
    parties = (Party(source, is_signer=True, is_writable=True), Party(target, is_writable=True))
    return Instruction(SYSTEM, parties, _SYSTEM_TRANSFER.to_bytes(4, "little") + units.to_bytes(8, "little"))


def create_account(payer: str, owner: str, mint: str, program: str) -> Instruction:
    """Create an owner's associated token account at the payer's cost, unless it is there."""
    parties = (
        Party(payer, is_signer=True, is_writable=True),
        Party(associated(owner, mint, program), is_writable=True),
        *map(Party, (owner, mint, SYSTEM, program)),
    )
    return Instruction(ASSOCIATED, parties, bytes([_CREATE_IDEMPOTENT]))


def transfer_tokens(source: str, target: str, units: int, *, mint: str, program: str) -> Instruction:
    """Move tokens between the associated accounts of two owners, with nothing said about the mint: 34 bytes shorter.

    The accounts are derived from the mint, and the program moves tokens between accounts of one mint only.
    """
    accounts = (Party(associated(owner, mint, program), is_writable=True) for owner in (source, target))
    data = bytes([_TRANSFER]) + units.to_bytes(8, "little")
    return Instruction(program, (*accounts, Party(source, is_signer=True)), data)


def transfer_checked(source: str, target: str, units: int, *, mint: str, program: str, decimals: int) -> Instruction:
    """Move tokens between the associated accounts of two owners if the mint has these decimals."""
    account = associated(source, mint, program)
    return pay_checked(source, account, target, units, mint=mint, program=program, decimals=decimals)


def pay_checked(
    owner: str, account: str, target: str, units: int, *, mint: str, program: str, decimals: int
) -> Instruction:
    """Move tokens from any account of an owner to the associated one of another if the mint has these decimals."""
    parties = (
        Party(account, is_writable=True),
        Party(mint),
        Party(associated(target, mint, program), is_writable=True),
        Party(owner, is_signer=True),
    )
    data = bytes([_TRANSFER_CHECKED]) + units.to_bytes(8, "little") + bytes([decimals])
    return Instruction(program, parties, data)


def close_account(owner: str, target: str, *, mint: str, program: str) -> Instruction:
    """Close an owner's emptied associated account; `target` gets its rent."""
    parties = (
        Party(associated(owner, mint, program), is_writable=True),
        Party(target, is_writable=True),
        Party(owner, is_signer=True),
    )
    return Instruction(program, parties, bytes([_CLOSE]))
