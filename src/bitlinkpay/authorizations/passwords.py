"""Payment passwords: Argon2id (RFC 9106) in the usual text form, which carries its salt and cost."""

import os
import unicodedata
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bitlinkpay.authorizations.model import WeakPassword

SHORTEST: Final = 10
LONGEST: Final = 200
_LENGTH: Final = 32
_SALT: Final = 16
_PASSES: Final = 3  # RFC 9106, section 4: the second recommended option, 64 MiB and 3 passes, on one lane
_KIBIBYTES: Final = 1 << 16
_LANES: Final = 1


def stretch(password: str) -> str:
    """Return the hash to store; takes about 0.1 s of CPU and 64 MiB, so call it in a thread.

    Raises:
        WeakPassword: not 10 to 200 characters, or the same one over and over.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"the payment password needs {SHORTEST} to {LONGEST} characters", param="password")
    if len(set(password)) < SHORTEST // 2:
        raise WeakPassword("the payment password needs more different characters", param="password")
    kdf = Argon2id(salt=os.urandom(_SALT), length=_LENGTH, iterations=_PASSES, lanes=_LANES, memory_cost=_KIBIBYTES)
    return kdf.derive_phc_encoded(_bytes(password))


def is_right(password: str, stretched: str) -> bool:
    """Say whether a password has this hash; as slow as `stretch` whatever is given."""
    try:
        Argon2id.verify_phc_encoded(_bytes(password[: LONGEST + 1]), stretched)
    except InvalidKey:
        return False
    return True


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
