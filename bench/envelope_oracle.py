"""Whether the time of opening an envelope tells why it failed (THREATS API-11): samples per class, compared.

    python bench/envelope_oracle.py [samples per class, default 100000]

Classes are interleaved in random order so that drift of the machine hits all of them alike. Printed per class: the
median and the difference of medians from the class "a bad padding", in microseconds and as a share of the spread
(difference divided by the interquartile range), and Welch's t over the middle 90 percent. |t| above 4.5 at the full
number of samples is the usual bar of leakage tests (ISO/IEC 17825); look at the microseconds beside it.
"""

import base64
import hashlib
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from math import sqrt

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from bitlinkpay.wm.envelope import EnvelopeKey, Headers, open_envelope, seal_envelope

SECRET = b"0123456789abcdef"
BODY = b'{"source_id":"a-1","chain_id":1,"coin_id":1,"fiat_amount":"7.18","symbol":"USDT/CNY","amount":"0"}' * 2
VARIANTS = 200


@dataclass
class Class:
    """One way to fail, as many different envelopes of it, and the times that opening took."""

    name: str
    envelopes: list[tuple[Headers, bytes]]
    times: list[int] = field(default_factory=list)


def headers_of(key: EnvelopeKey) -> tuple[Headers, bytes]:
    sealed = seal_envelope(
        key.public_key, "merchant", BODY, ts_ms=1_795_451_467_029, nonce=f"{random.randrange(10**6):06d}", secret=SECRET
    )
    parts = {name.removeprefix("w-"): value.encode() for name, value in sealed.headers.items()}
    return Headers(**parts), sealed.body


def encode(data: bytes) -> bytes:
    return base64.b64encode(data)


def classes(key: EnvelopeKey) -> list[Class]:
    def many(change) -> list[tuple[Headers, bytes]]:
        return [change(*headers_of(key)) for _ in range(VARIANTS)]

    def secret(make):
        return many(lambda headers, body: (replace(headers, secret=make()), body))

    cipher = Cipher(AES(hashlib.sha256(SECRET).digest()), ECB())

    def padded_with(text: bytes) -> bytes:
        encryptor = cipher.encryptor()
        return encode(encryptor.update(text) + encryptor.finalize())

    whole = BODY + b" " * (-len(BODY) % 16)
    return [
        Class("a bad padding of the secret", secret(lambda: encode(b"\x00" + os.urandom(255)))),
        Class("another secret of 16 bytes", secret(lambda: encode(key.public_key.encrypt(os.urandom(16), PKCS1v15())))),
        Class("a secret of 40 bytes", secret(lambda: encode(key.public_key.encrypt(os.urandom(40), PKCS1v15())))),
        Class("a number above the modulus", secret(lambda: encode(b"\xff" * 256))),
        Class("a secret of 255 bytes on the wire", secret(lambda: encode(os.urandom(255)))),
        Class("not base64", secret(lambda: b"*" * 344)),
        Class("a bad padding of the body", many(lambda h, _: (h, padded_with(whole[:-1] + b"\xee")))),
        Class("another body", many(lambda h, _: (h, padded_with(b"[" + whole[1:-16] + bytes((16,)) * 16)))),
        Class("a wrong sign", many(lambda h, b: (replace(h, sign=b"0" * 32), b))),
    ]


def measure(key: EnvelopeKey, found: list[Class], samples: int) -> None:
    order = list(range(len(found)))
    for number in range(samples):
        random.shuffle(order)
        for at in order:
            headers, body = found[at].envelopes[number % VARIANTS]
            started = time.perf_counter_ns()
            open_envelope(key, headers, body)
            found[at].times.append(time.perf_counter_ns() - started)


def middle(times: list[int]) -> list[int]:
    kept = sorted(times)
    cut = len(kept) // 20
    return kept[cut : len(kept) - cut]


def welch(one: list[int], two: list[int]) -> float:
    spread = statistics.variance(one) / len(one) + statistics.variance(two) / len(two)
    return (statistics.fmean(one) - statistics.fmean(two)) / sqrt(spread)


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    key = EnvelopeKey(generate_private_key(public_exponent=65537, key_size=2048))
    found = classes(key)
    measure(key, found, max(50, samples // 100))
    for each in found:
        each.times.clear()
    measure(key, found, samples)
    base = middle(found[0].times)
    print(f"{'class':<36}{'median us':>10}{'diff us':>9}{'of IQR':>8}{'Welch t':>9}   ({samples} samples each)")
    for each in found:
        times = middle(each.times)
        quarter, median, three = statistics.quantiles(times, n=4)
        off = median - statistics.median(base)
        share = off / (three - quarter)
        print(f"{each.name:<36}{median / 1000:>10.1f}{off / 1000:>9.2f}{share:>8.3f}{welch(times, base):>9.1f}")


if __name__ == "__main__":
    main()
