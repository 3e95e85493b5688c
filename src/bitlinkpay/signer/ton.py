"""The platform's one TON wallet: the address of a highload wallet v3 for our key.

The contract is `highload-wallet-v3`, tag v3.00 of github.com/ton-blockchain/highload-wallet-contract-v3 (MIT licence,
audited); its compiled code is below as published there. The address of a contract is the hash of its first state
(docs.ton.org, "State init"), so the address needs the code's hash and depth only; the bytes are what a deployment
sends. Both parameters below are part of the address and therefore fixed for ever.
"""

import hashlib

SUBWALLET_ID = 0x10AD  # what the contract's authors recommend, apart from ordinary wallets of the same key
TIMEOUT_S = 3600  # life of one request; a request not seen for twice as long is proved dead

CODE_HASH = bytes.fromhex("11acad7955844090f283bf238bc1449871f783e7cc0979408d3f4859483e8525")
CODE_DEPTH = 6
CODE_BOC = bytes.fromhex(
    "b5ee9c7201021001000228000114ff00f4a413f4bcf2c80b01020120020d02014803040078d020d74bc00101c060b0915be1"
    "01d0d3030171b0915be0fa4030f828c705b39130e0d31f018210ae42e5a4ba9d8040d721d74cf82a01ed55fb04e030020120"
    "050a02027306070011adce76a2686b85ffc00201200809001aabb6ed44d0810122d721d70b3f0018aa3bed44d08307d721d7"
    "0b1f0201200b0c001bb9a6eed44d0810162d721d70b15800e5b8bf2eda2edfb21ab09028409b0ed44d0810120d721f404f40"
    "4d33fd315d1058e1bf82325a15210b99f326df82305aa0015a112b992306dde923033e2923033e25230800df40f6fa19ed02"
    "1d721d70a00955f037fdb31e09130e259800df40f6fa19cd001d721d70a00937fdb31e0915be270801f6f2d48308d718d121"
    "f900ed44d0d3ffd31ff404f404d33fd315d1f82321a15220b98e12336df82324aa00a112b9926d32de58f82301de541675f9"
    "10f2a106d0d31fd4d307d30cd309d33fd315d15168baf2a2515abaf2a6f8232aa15250bcf2a304f823bbf2a35304800df40f"
    "6fa199d024d721d70a00f2649130e20e01fe5309800df40f6fa18e13d05004d718d20001f264c858cf16cf8301cf168e1030"
    "c824cf40cf8384095005a1a514cf40e2f800c94039800df41704c8cbff13cb1ff40012f40012cb3f12cb15c9ed54f80f21d0"
    "d30001f265d3020171b0925f03e0fa4001d70b01c000f2a5fa4031fa0031f401fa0031fa00318060d721d300010f0020f265"
    "d2000193d431d19130e272b1fb00"
)

_STATE_INIT_BITS = 0x34  # no split depth, not special, code and data present, no library (0b00110), then the end mark
_KEY_BYTES = 32


def wallet_address(public_key: bytes) -> str:
    """Return the raw address (`0:` and 64 hex digits, base workchain) of the wallet of an Ed25519 public key."""
    assert len(public_key) == _KEY_BYTES
    # storage: public_key 256, subwallet_id 32, two empty dictionaries 2, last_clean_time 64, timeout 22 bits
    data = public_key + ((SUBWALLET_ID << (2 + 64 + 22)) | TIMEOUT_S).to_bytes(15, "big")
    data_hash = _cell_hash(references=0, data=data, tail=b"")
    tail = CODE_DEPTH.to_bytes(2, "big") + bytes(2) + CODE_HASH + data_hash
    return "0:" + _cell_hash(references=2, data=bytes([_STATE_INIT_BITS]), tail=tail, is_padded=True).hex()


def _cell_hash(*, references: int, data: bytes, tail: bytes, is_padded: bool = False) -> bytes:
    """Hash an ordinary cell (TON whitepaper, 3.1.4): two descriptors, data, depths and hashes of its references."""
    sizes = 2 * len(data) - (1 if is_padded else 0)
    return hashlib.sha256(bytes([references, sizes]) + data + tail).digest()
