"""Addresses of every network: one canonical text per address in the database, one shown text for people.

Canonical is EIP-55 on EVM networks, Base58Check on TRON, lower-case bech32 (or the older Base58Check) on Bitcoin,
Base58 on Solana and raw `0:<hex>` on TON; shown is the same, but for TON the user-friendly non-bounceable form.
"""

from typing import assert_never

from bitlinkpay.chains.codec import bitcoin, evm, solana, ton, tron
from bitlinkpay.core.assets import Family, Network
from bitlinkpay.core.errors import Invalid


def parse_address(network: Network, text: str) -> str:
    """Return the canonical form of an address that a person or a program wrote.

    Raises:
        Invalid: malformed, a wrong checksum, or an address of another network (where the format can tell).
    """
    match network.family:
        case Family.EVM:
            return evm.parse(text)
        case Family.TRON:
            return tron.parse(text)
        case Family.BITCOIN:
            return bitcoin.parse(text, _bitcoin_prefixes(network.testnet))
        case Family.SOLANA:
            return solana.parse(text)
        case Family.TON:
            return ton.parse(text, testnet=network.testnet)
        case _:
            assert_never(network.family)


def show_address(network: Network, canonical: str) -> str:
    """Return the form to hand to payers and merchants of a canonical address; "" stays ""."""
    if network.family is Family.TON and canonical:
        return ton.show(canonical, testnet=network.testnet)
    return canonical


def show_contract(network: Network, canonical: str) -> str:
    """Return the usual form of a token contract's canonical address (TON: bounceable `EQ…`)."""
    if network.family is Family.TON:
        return ton.show_contract(canonical, testnet=network.testnet)
    return canonical


def deposit_address(family: Family, testnet: bool, public_key: bytes) -> str:  # noqa: FBT001 - positional on the hot path
    """Return the canonical deposit address of a public key: secp256k1 (33 bytes), for Solana Ed25519 (32 bytes).

    Raises:
        Invalid: TON, where an order gets the wallet's address and a tag instead of a key.
        ValueError: not a public key.
    """
    match family:
        case Family.EVM:
            return evm.from_public_key(public_key)
        case Family.TRON:
            return tron.from_public_key(public_key)
        case Family.BITCOIN:
            return bitcoin.from_public_key(public_key, _bitcoin_prefixes(testnet))
        case Family.SOLANA:
            return solana.from_public_key(public_key)
        case Family.TON:
            raise Invalid("TON orders share one wallet address and differ by tag: no address comes from a key")
        case _:
            assert_never(family)


def _bitcoin_prefixes(testnet: bool) -> bitcoin.Prefixes:  # noqa: FBT001
    return bitcoin.TEST if testnet else bitcoin.MAIN
