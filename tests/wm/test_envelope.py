"""One refusal for everything that can be wrong with an envelope, and never anything else."""

import base64
import hashlib
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.wm.vectors import Recorded, encrypted, envelope_key

from bitlinkpay.wm.envelope import (
    REFUSED,
    EnvelopeKey,
    Headers,
    Opened,
    Sealed,
    WeakEnvelopeKey,
    load_public_key,
    open_envelope,
    read_headers,
    seal_envelope,
)

TS = 1795451467029
SECRET = b"abcdefghABCDEFGH"
BODY = b'{"source_id":"a-1","chain_id":1,"coin_id":1,"fiat_amount":"7.18","symbol":"USDT/CNY"}'


def sealed(plaintext: bytes = BODY, *, ts: int = TS, nonce: str = "123456", secret: bytes = SECRET) -> Sealed:
    key = envelope_key().public_key
    return seal_envelope(key, "merchant-a", plaintext, ts_ms=ts, nonce=nonce, secret=secret)


def headers_of(envelope: Sealed, **changed: bytes) -> Headers:
    raw = {name.encode(): value.encode() for name, value in envelope.headers.items()}
    raw |= {f"w-{name}".encode(): value for name, value in changed.items()}
    return read_headers(raw.items())


def opens(headers: Headers, body: bytes) -> bool:
    answer = open_envelope(envelope_key(), headers, body)
    assert isinstance(answer, Opened) or answer is REFUSED
    return isinstance(answer, Opened)


@given(plaintext=st.binary(max_size=200), number=st.integers(0, 999_999), ts=st.integers(10**12, 10**13 - 1))
@settings(max_examples=60, deadline=None)
def test_what_our_client_seals_opens(plaintext: bytes, number: int, ts: int) -> None:
    nonce = f"{number:06d}"
    envelope = sealed(plaintext, ts=ts, nonce=nonce)
    answer = open_envelope(envelope_key(), headers_of(envelope), envelope.body)
    assert isinstance(answer, Opened)
    assert (answer.plaintext, answer.seal.ts_ms, answer.seal.nonce) == (plaintext, ts, nonce)


def bad_secrets() -> list[tuple[str, bytes]]:
    good = base64.b64decode(headers_of(sealed()).secret)
    modulus = envelope_key().public_key.public_numbers().n
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    tampered = bytes((good[0], good[1] ^ 1, *good[2:]))
    rng = random.Random(10)
    raw = [
        ("tampered", tampered),
        ("random", b"\x00" + rng.randbytes(255)),
        ("random above the modulus", b"\xff" * 256),
        ("the modulus", modulus.to_bytes(256, "big")),
        ("zero", bytes(256)),
        ("short", good[:-1]),
        ("long", good + b"\x00"),
        ("another platform's key", other.encrypt(SECRET, PKCS1v15())),
        ("another secret", envelope_key().public_key.encrypt(b"AAAAAAAAAAAAAAAA", PKCS1v15())),
        ("a secret of 15", envelope_key().public_key.encrypt(SECRET[:15], PKCS1v15())),
        ("a secret of 17", envelope_key().public_key.encrypt(SECRET + b"x", PKCS1v15())),
        ("an empty secret", envelope_key().public_key.encrypt(b"", PKCS1v15())),
    ]
    encoded = [(name, base64.b64encode(value)) for name, value in raw]
    wire = base64.b64encode(good)
    return [
        *encoded,
        ("empty", b""),
        ("not base64", b"*" * 344),
        ("url-safe base64", wire.replace(b"+", b"-").replace(b"/", b"_") + b"-"),
        ("no padding", wire.rstrip(b"=")),
        ("a line break", wire[:64] + b"\n" + wire[64:]),
        ("a space after", wire + b" "),
        ("hex", good.hex().encode()),
    ]


@pytest.mark.parametrize(("name", "secret"), bad_secrets(), ids=[name for name, _ in bad_secrets()])
def test_API_10_a_bad_secret_is_the_one_refusal(name: str, secret: bytes) -> None:
    envelope = sealed()
    assert not opens(headers_of(envelope, secret=secret), envelope.body)


def test_API_11_a_bad_secret_runs_to_the_end_with_a_decoy_that_repeats() -> None:
    """Asking twice with one bad ciphertext must not tell it from a good one: the decoy depends on it alone."""
    key = envelope_key()
    for _, wire in bad_secrets():
        first, second = key.secret(wire), key.secret(wire)
        assert first == second
        assert len(first) == 16
        assert first != SECRET


def test_API_11_every_secret_reaches_the_rsa_operation_as_a_number_below_the_modulus() -> None:
    key = envelope_key()
    modulus = key.public_key.public_numbers().n
    for _, wire in bad_secrets():
        number = key._ciphertext(wire)
        assert len(number) == 256
        assert int.from_bytes(number, "big") < modulus


def test_API_11_the_decoy_differs_per_key_object_and_cannot_be_computed_outside() -> None:
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    one, two = EnvelopeKey.load(pem), EnvelopeKey.load(pem)
    # One in 245: OpenSSL's own pseudo-random answer, which depends on the private key, has 16 bytes by chance.
    wires = [b"garbage %d" % number for number in range(8)]
    assert [one.secret(wire) for wire in wires] != [two.secret(wire) for wire in wires]


def encrypt_padded(padded: bytes) -> bytes:
    encryptor = Cipher(AES(hashlib.sha256(SECRET).digest()), ECB()).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize())


@pytest.mark.parametrize("pad", [0, *range(17, 256, 7), 255])
def test_API_12_a_bad_padding_byte_is_the_one_refusal(pad: int) -> None:
    text = BODY + b" " * (-len(BODY) % 16)
    assert not opens(headers_of(sealed()), encrypt_padded(text[:-1] + bytes((pad,))))


def test_API_12_a_padding_whose_bytes_differ_is_the_one_refusal() -> None:
    text = (BODY + b" " * 16)[: (len(BODY) // 16 + 1) * 16]
    for count in range(2, 17):
        broken = text[:-count] + bytes((count + 1,)) + bytes((count,)) * (count - 1)
        assert not opens(headers_of(sealed()), encrypt_padded(broken))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"=",
        b"AAAA",
        base64.b64encode(bytes(15)),
        base64.b64encode(bytes(17)),
        b"not base64 at all",
        b"\xff\xfe",
        BODY,
    ],
)
def test_API_12_a_body_that_is_no_whole_number_of_blocks_is_the_one_refusal(body: bytes) -> None:
    assert not opens(headers_of(sealed()), body)


def test_API_13_swapped_repeated_and_deleted_blocks_break_the_signature() -> None:
    envelope = sealed(BODY + b" " * 200)
    raw = base64.b64decode(envelope.body)
    blocks = [raw[at : at + 16] for at in range(0, len(raw), 16)]
    count = len(blocks)
    assert count > 10
    for at in range(count - 1):
        swapped = [*blocks[:at], blocks[at + 1], blocks[at], *blocks[at + 2 :]]
        deleted = blocks[:at] + blocks[at + 1 :]
        repeated = [*blocks[: at + 1], blocks[at], *blocks[at + 1 :]]
        for changed in (swapped, deleted, repeated):
            if b"".join(changed) != raw:
                assert not opens(headers_of(envelope), base64.b64encode(b"".join(changed)))


def bad_signs() -> list[bytes]:
    good = headers_of(sealed()).sign
    flipped = [good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :] for at in range(32)]
    return [*flipped, good.upper(), b"", good * 2, good[:-1], good + b"0", b" " + good, good + b"\n", b"g" * 32]


@pytest.mark.parametrize("sign", bad_signs())
def test_API_14_a_sign_wrong_in_one_bit_or_in_spelling_is_refused(sign: bytes) -> None:
    envelope = sealed()
    assert headers_of(envelope).sign != sign
    assert not opens(headers_of(envelope, sign=sign), envelope.body)


def test_API_15_a_digit_moved_between_time_and_nonce_is_refused_though_the_hash_agrees() -> None:
    envelope = sealed(ts=TS, nonce="123456")
    ts = str(TS).encode()
    assert opens(headers_of(envelope), envelope.body)
    assert not opens(headers_of(envelope, ts=ts + b"1", nonce=b"23456"), envelope.body)
    assert not opens(headers_of(envelope, ts=ts[:-1], nonce=ts[-1:] + b"123456"), envelope.body)
    assert not opens(headers_of(envelope, ts=b"", nonce=ts + b"123456"), envelope.body)


def test_API_15_a_digit_moved_between_broker_and_time_is_refused() -> None:
    key = envelope_key().public_key
    envelope = seal_envelope(key, "merchant-1", BODY, ts_ms=TS, nonce="123456", secret=SECRET)
    assert not opens(headers_of(envelope, broker=b"merchant-", ts=b"1" + str(TS).encode()), envelope.body)


@pytest.mark.parametrize(
    "ts", [b"1795451467", b"-795451467029", b"17954514670290", b"1" * 20, b"1795451467.29", b"\xd9\xa1" * 6]
)
def test_API_16_a_time_that_is_not_13_ascii_digits_is_refused(ts: bytes) -> None:
    envelope = sealed()
    assert not opens(headers_of(envelope, ts=ts), envelope.body)


def test_a_header_that_came_twice_reads_as_missing() -> None:
    raw = [(name.encode(), value.encode()) for name, value in sealed().headers.items()]
    for name, value in raw:
        assert not opens(read_headers([*raw, (name, value)]), sealed().body)
        assert not opens(read_headers([row for row in raw if row[0] != name]), sealed().body)


def test_a_broker_that_is_not_plain_ascii_is_refused_even_with_a_right_hash() -> None:
    for broker in ("merchant a", "händler", "x" * 65, "a\tb"):
        key = envelope_key().public_key
        envelope = seal_envelope(key, broker, BODY, ts_ms=TS, nonce="123456", secret=SECRET)
        assert not opens(headers_of(envelope, broker=broker.encode()), envelope.body)


def mutate(rng: random.Random, row: Recorded) -> tuple[Headers, bytes]:
    """Change one part of a genuine envelope: a bit, a byte, a cut, a repeat, another row's part."""
    parts = {"broker": row.headers.broker, "ts": row.headers.ts, "nonce": row.headers.nonce}
    parts |= {"secret": row.headers.secret, "sign": row.headers.sign, "body": row.body}
    name = rng.choice(["body", "body", "secret", "secret", "sign", "ts", "nonce", "broker"])
    old = parts[name]
    at = rng.randrange(len(old))
    match rng.randrange(6):
        case 0:
            new = old[:at] + bytes((old[at] ^ (1 << rng.randrange(8)),)) + old[at + 1 :]
        case 1:
            new = old[:at] + rng.randbytes(1) + old[at + 1 :]
        case 2:
            new = old[:at] + old[at + rng.randrange(1, 40) :]
        case 3:
            new = old[: at + 1] + old[at:]
        case 4:
            new = rng.randbytes(rng.randrange(400))
        case _:
            other = rng.choice(encrypted())
            new = getattr(other.headers, name) if name != "body" else other.body
    parts[name] = new
    body = parts.pop("body")
    return Headers(**parts), body


def same_meaning(row: Recorded, headers: Headers, body: bytes) -> bool:
    """Say whether every part still decodes to what was sent (base64 has spare bits at its end)."""
    spare = replace(headers, secret=b"") == replace(row.headers, secret=b"")
    try:
        decoded = base64.b64decode(body, validate=True) == base64.b64decode(row.body)
        secret = base64.b64decode(headers.secret, validate=True) == base64.b64decode(row.headers.secret)
    except ValueError:
        return False
    return spare and decoded and secret


@pytest.mark.parametrize("lane", range(4))
def test_API_10_to_14_mutated_envelopes_by_the_ten_thousand(lane: int) -> None:
    """Each mutant is refused by the one value, or is a genuine success whose parts decode to the original."""
    rng = random.Random(31_000 + lane)
    rows = encrypted()
    refused = genuine = 0
    for _ in range(2_500):
        row = rng.choice(rows)
        headers, body = mutate(rng, row)
        answer = open_envelope(envelope_key(), headers, body)
        if isinstance(answer, Opened):
            assert same_meaning(row, headers, body)
            assert answer.plaintext == row.plaintext
            genuine += 1
        else:
            assert answer is REFUSED
            refused += 1
    assert refused > 2_000
    assert refused + genuine == 2_500


@given(parts=st.tuples(*(st.binary(max_size=size) for size in (80, 20, 10, 400, 70))), body=st.binary(max_size=400))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_at_all_make_the_codec_raise(parts: tuple[bytes, bytes, bytes, bytes, bytes], body: bytes) -> None:
    broker, ts, nonce, secret, sign = parts
    headers = Headers(broker=broker, ts=ts, nonce=nonce, secret=secret, sign=sign)
    assert open_envelope(envelope_key(), headers, body) is REFUSED


def test_keys_that_cannot_carry_the_scheme_are_refused_at_load() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(WeakEnvelopeKey):
        EnvelopeKey(weak)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    pem = elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(WeakEnvelopeKey):
        EnvelopeKey.load(pem)
    public = elliptic.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="RSA"):
        load_public_key(public)


def test_a_larger_key_serves_too() -> None:
    key = EnvelopeKey(rsa.generate_private_key(public_exponent=65537, key_size=3072))
    envelope = seal_envelope(key.public_key, "merchant-a", BODY, ts_ms=TS, nonce="000000", secret=SECRET)
    assert isinstance(open_envelope(key, headers_of(envelope), envelope.body), Opened)


def test_the_public_key_file_reads_back() -> None:
    pem = envelope_key().public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert load_public_key(pem).public_numbers() == envelope_key().public_key.public_numbers()
