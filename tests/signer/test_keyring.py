"""The public key ring as JSON."""

import json

import pytest

from bitlinkpay.core.errors import Invalid
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import derive_keyring

RING = derive_keyring(bytes(range(64)), {"evm": 5})


def test_json_round_trip() -> None:
    assert KeyRing.from_json(RING.to_json()) == RING


@pytest.mark.parametrize(
    "name", ["evm", "tron", "bitcoin", "bitcoin_testnet", "ton_key", "ton_wallet", "solana_zero", "fingerprint"]
)
def test_an_altered_key_is_noticed(name: str) -> None:
    other = json.loads(derive_keyring(bytes(64)).to_json())
    altered = json.loads(RING.to_json()) | {name: other[name]}
    with pytest.raises(Invalid, match="fingerprint"):
        KeyRing.from_json(json.dumps(altered).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"fingerprint": 1}',
        b"\xff\xfe",
        b'"\xff"',
        b'{"fingerprint": "\x80"}',
        RING.to_json()[:-1],
    ],
)
def test_what_is_no_ring_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="not a key ring"):
        KeyRing.from_json(text)
