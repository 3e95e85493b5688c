"""An authority for tests: an RSA key takes a tenth of a second of a core, and hundreds of tests want a merchant each."""

import itertools
from datetime import datetime
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bitlinkpay.merchants import certificates
from bitlinkpay.merchants.authority import Authority
from bitlinkpay.merchants.certificates import ClientPair

_KEYS: Final = 16
"""More than the certificates that any one test asks for."""
_turns = itertools.count()


class ThriftyAuthority(Authority):
    """Issues certificates as any does, but for keys that take turns: those of one test differ from each other."""

    def issue_client(self, broker: str, *, now: datetime) -> ClientPair:
        """Make a client certificate for the next of this process's keys."""
        return certificates.certify_client(self._issuer, _key(next(_turns) % _KEYS), broker, now)


@cache
def _key(number: int) -> RSAPrivateKey:
    del number  # one for each
    return certificates.new_rsa_key()


@cache
def envelope_pem() -> bytes:
    """Return one key for the envelopes of all deployments of this process."""
    return certificates.private_pem(certificates.new_rsa_key())
