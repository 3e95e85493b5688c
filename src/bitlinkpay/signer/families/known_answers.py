"""Known answers of every signing library, checked at each start of the signer, before a key is opened.

Sources: the secp256k1 vectors for RFC 6979 that libraries share (`trezor-crypto`, `haskoin`, `coincurve`); the worked
example of EIP-155; the native P2WPKH example of BIP-143; RFC 8032, 7.1, tests 1 to 3. All signatures have low s.
"""

from hashlib import sha256

import wallycore
from eth_account import Account
from nacl.signing import SigningKey

from bitlinkpay.signer.problems import SelfTestFailed

RFC6979 = (
    (
        1,
        b"Satoshi Nakamoto",
        (
            "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
            "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
        ),
    ),
    (
        1,
        b"All those moments will be lost in time, like tears in rain. Time to die...",
        (
            "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b"
            "547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"
        ),
    ),
)

EIP155_KEY = bytes.fromhex("46" * 32)
EIP155_FIELDS: dict[str, object] = {
    "nonce": 9,
    "gasPrice": 20 * 10**9,
    "gas": 21_000,
    "to": "0x3535353535353535353535353535353535353535",
    "value": 10**18,
    "data": b"",
    "chainId": 1,
}
EIP155_RAW = (
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025"
    "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
)

BIP143_UNSIGNED = bytes.fromhex(
    "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff"
    "ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff"
    "02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac"
    "9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
)
BIP143_KEY = bytes.fromhex("619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9")
BIP143_CODE = bytes.fromhex("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac")
BIP143_UNITS = 600_000_000
BIP143_HASH = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
BIP143_SIGNATURE = (
    "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a"
    "0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee"
)

RFC8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)


def run() -> None:
    """Check every known answer.

    Raises:
        SelfTestFailed: one came out wrong; nothing may be signed on this machine.
    """
    for key, message, signature in RFC6979:
        found = wallycore.ec_sig_from_bytes(key.to_bytes(32, "big"), sha256(message).digest(), wallycore.EC_FLAG_ECDSA)
        _expect("RFC 6979", bytes(found).hex(), signature)
    _expect("EIP-155", Account.sign_transaction(EIP155_FIELDS, EIP155_KEY).raw_transaction.hex(), EIP155_RAW)
    _bip143()
    for seed, text, signature in RFC8032:
        made = SigningKey(bytes.fromhex(seed)).sign(bytes.fromhex(text)).signature
        _expect("RFC 8032", made.hex(), signature)


def _bip143() -> None:
    transaction = wallycore.tx_from_bytes(BIP143_UNSIGNED, 0)
    digest = wallycore.tx_get_btc_signature_hash(
        transaction, 1, BIP143_CODE, BIP143_UNITS, wallycore.WALLY_SIGHASH_ALL, wallycore.WALLY_TX_FLAG_USE_WITNESS
    )
    _expect("BIP-143 digest", bytes(digest).hex(), BIP143_HASH)
    for flags in (wallycore.EC_FLAG_ECDSA, wallycore.EC_FLAG_ECDSA | wallycore.EC_FLAG_GRIND_R):
        signature = wallycore.ec_sig_to_der(wallycore.ec_sig_from_bytes(BIP143_KEY, digest, flags))
        _expect("BIP-143 signature", bytes(signature).hex(), BIP143_SIGNATURE)


def _expect(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise SelfTestFailed(name)
