"""What payers, exchanges and attackers send: instructions of the programs, made by hand for the tests.

    tx = signed(ledger, [transfer(alice, shop, 10**9)], alice)

The layouts are those of docs.rs/spl-token and docs.rs/spl-token-2022; the virtual machine judges them.
"""

import struct
from collections.abc import Sequence

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account
from solders.system_program import transfer as system_transfer
from solders.transaction import VersionedTransaction
from tests.chains.solana.answers import TOKEN_2022
from tests.chains.solana.ledger import TOKEN, WRAPPED_SOL

ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SYSTEM = Pubkey.default()
ACCOUNT_RENT = 2_039_280  # of a token account of 165 bytes
__all__ = ["TOKEN", "TOKEN_2022", "WRAPPED_SOL"]


def person(number: int) -> Keypair:
    """Return the same stranger for the same number."""
    return Keypair.from_seed(number.to_bytes(32, "big"))


def signed(blockhash: Hash, instructions: Sequence[Instruction], *signers: Keypair) -> VersionedTransaction:
    """Return a legacy transaction; the first signer pays its fee."""
    return VersionedTransaction(Message.new_with_blockhash(instructions, signers[0].pubkey(), blockhash), list(signers))


def transfer(source: Keypair, target: Pubkey, lamports: int) -> Instruction:
    return system_transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=target, lamports=lamports))


def create(payer: Keypair, account: Pubkey, size: int, rent: int, program: Pubkey) -> Instruction:
    return create_account(
        CreateAccountParams(from_pubkey=payer.pubkey(), to_pubkey=account, lamports=rent, space=size, owner=program)
    )


def associated(owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Pubkey:
    return Pubkey.find_program_address([bytes(owner), bytes(program), bytes(mint)], ASSOCIATED)[0]


def create_associated(payer: Keypair, owner: Pubkey, mint: Pubkey, program: Pubkey = TOKEN) -> Instruction:
    metas = [
        AccountMeta(payer.pubkey(), True, True),
        _writable(associated(owner, mint, program)),
        *(_readonly(key) for key in (owner, mint, SYSTEM, program)),
    ]
    return Instruction(ASSOCIATED, b"\1", metas)


def initialize_mint(mint: Pubkey, decimals: int, authority: Pubkey, program: Pubkey = TOKEN) -> Instruction:
    data = bytes([20, decimals]) + bytes(authority) + b"\1" + bytes(authority)
    return Instruction(program, data, [_writable(mint)])


def initialize_account(account: Pubkey, mint: Pubkey, owner: Pubkey, program: Pubkey = TOKEN) -> Instruction:
    return Instruction(program, b"\x12" + bytes(owner), [_writable(account), _readonly(mint)])


def mint_to(mint: Pubkey, account: Pubkey, authority: Keypair, units: int, program: Pubkey = TOKEN) -> Instruction:
    metas = [_writable(mint), _writable(account), _signer(authority.pubkey())]
    return Instruction(program, b"\7" + units.to_bytes(8, "little"), metas)


def transfer_token(source: Pubkey, target: Pubkey, owner: Keypair, units: int, program: Pubkey = TOKEN) -> Instruction:
    metas = [_writable(source), _writable(target), _signer(owner.pubkey())]
    return Instruction(program, b"\3" + units.to_bytes(8, "little"), metas)


def transfer_checked(
    source: Pubkey, mint: Pubkey, target: Pubkey, owner: Keypair, units: int, *, decimals: int, program: Pubkey = TOKEN
) -> Instruction:
    metas = [_writable(source), _readonly(mint), _writable(target), _signer(owner.pubkey())]
    return Instruction(program, b"\x0c" + units.to_bytes(8, "little") + bytes([decimals]), metas)


def set_owner(account: Pubkey, owner: Keypair, new: Pubkey, program: Pubkey = TOKEN) -> Instruction:
    metas = [_writable(account), _signer(owner.pubkey())]
    return Instruction(program, b"\6\2\1" + bytes(new), metas)


def close(account: Pubkey, target: Pubkey, owner: Keypair, program: Pubkey = TOKEN) -> Instruction:
    return Instruction(program, b"\x09", [_writable(account), _writable(target), _signer(owner.pubkey())])


def freeze(account: Pubkey, mint: Pubkey, authority: Keypair, program: Pubkey = TOKEN) -> Instruction:
    return Instruction(program, b"\x0a", [_writable(account), _readonly(mint), _signer(authority.pubkey())])


def thaw(account: Pubkey, mint: Pubkey, authority: Keypair, program: Pubkey = TOKEN) -> Instruction:
    return Instruction(program, b"\x0b", [_writable(account), _readonly(mint), _signer(authority.pubkey())])


def sync_native(account: Pubkey) -> Instruction:
    return Instruction(TOKEN, b"\x11", [_writable(account)])


def batch(instructions: Sequence[Instruction]) -> Instruction:
    """Pack token instructions into one call of p-token."""
    data = b"".join(bytes([len(each.accounts), len(each.data)]) + bytes(each.data) for each in instructions)
    return Instruction(TOKEN, b"\xff" + data, [meta for each in instructions for meta in each.accounts])


def extensions(mint: Pubkey, authority: Pubkey) -> dict[str, tuple[int, Instruction]]:
    """Return by our name how each mint extension of Token-2022 is initialised, and the bytes of its value."""
    key, none, option = bytes(authority), bytes(32), b"\1" + bytes(authority)
    calls = {
        "transfer fee": (
            108,
            bytes([26, 0]) + option + option + (100).to_bytes(2, "little") + (10**9).to_bytes(8, "little"),
        ),
        "mint can be closed": (32, bytes([25]) + option),
        "confidential transfers": (65, bytes([27, 0]) + key + b"\1" + none),
        "accounts start frozen": (1, bytes([28, 0, 2])),
        "accounts may start frozen": (1, bytes([28, 0, 1])),
        "cannot be transferred": (0, bytes([32])),
        "shown amounts bear interest": (52, bytes([33, 0]) + key + (500).to_bytes(2, "little")),
        "permanent delegate": (32, bytes([35]) + key),
        "transfer hook": (64, bytes([36, 0]) + key + bytes(MEMO)),
        "metadata pointer": (64, bytes([39, 0]) + key + bytes(mint)),
        "shown amounts are scaled": (56, bytes([43, 0]) + key + struct.pack("<d", 2.0)),
        "pausable": (33, bytes([44, 0]) + key),
    }
    return {name: (size, Instruction(TOKEN_2022, data, [_writable(mint)])) for name, (size, data) in calls.items()}


def pause(mint: Pubkey, authority: Keypair) -> Instruction:
    return Instruction(TOKEN_2022, bytes([44, 1]), [_writable(mint), _signer(authority.pubkey())])


def memo(text: str, *signers: Keypair) -> Instruction:
    return Instruction(MEMO, text.encode(), [_signer(signer.pubkey()) for signer in signers])


def _writable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, False, True)


def _readonly(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, False, False)


def _signer(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, True, False)
