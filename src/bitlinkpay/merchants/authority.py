"""The platform's authority: its CA, its server certificate, and the key pair of the envelope, as files of one folder.

    ca.key ca.crt                 signs merchants' and our own certificates (P-256)
    server.key server.crt         what the merchant API shows (P-256); issued again for other hosts, and before it ends
    envelope.key public_key.pem   opens the SDK's envelopes (RSA-2048)

Keys are 0600 in a 0700 folder. Every API host of a deployment needs the same folder.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from bitlinkpay.core.errors import Invalid
from bitlinkpay.merchants import certificates
from bitlinkpay.merchants.certificates import PUBLISHED, ClientPair, Issuer, spki_of
from bitlinkpay.merchants.model import Fingerprint, PublishedKey
from bitlinkpay.signer.files import folder_turn, make_private_folder, read_private, replace, write_new
from bitlinkpay.wm.envelope import EnvelopeKey

_PUBLIC: Final = 0o644


class BadAuthority(Invalid):
    """A file of the authority's folder is not what it should be."""

    code = "authority.bad_file"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}; put the right file back from your backup")


class Authority:
    """The opened folder. Attributes are what the edges need; the CA's key stays inside."""

    def __init__(self, folder: Path, issuer: Issuer, envelope_key: RSAPrivateKey) -> None:
        self._issuer = issuer
        self.ca_path = folder / "ca.crt"
        self.server_certificate_path = folder / "server.crt"
        self.server_key_path = folder / "server.key"
        self.public_key_path = folder / "public_key.pem"
        self.ca_pem = issuer.certificate.public_bytes(Encoding.PEM)
        self.public_key_pem = certificates.public_pem(envelope_key)
        self.envelope = EnvelopeKey(envelope_key)
        self.fingerprint = Fingerprint(spki_of(issuer.key.public_key()), spki_of(envelope_key.public_key()))

    @staticmethod
    def is_made(folder: Path) -> bool:
        """Say whether the folder holds the two keys that merchants' files depend on."""
        return all((folder / name).exists() for name in ("ca.key", "envelope.key"))

    @classmethod
    def open(
        cls, folder: Path, hosts: Sequence[str], *, now: datetime, denied: frozenset[bytes] = PUBLISHED
    ) -> "Authority":
        """Open the folder; make what is missing; issue the server certificate again where it no longer fits.

        Several processes may open it at once.

        Args:
            folder: created 0700.
            hosts: public names and addresses of the merchant API, beside `localhost`, `127.0.0.1` and `::1`.
            now: the wall time.
            denied: SHA-256 of the SubjectPublicKeyInfo of key pairs that are refused (THREATS, rule 31).

        Raises:
            PublishedKey: one of our keys is a published one.
            BadAuthority: a file cannot be read, or CA certificate and key do not belong together.
            LooseFile: a key or the folder is open to other users.
            Invalid: a host is neither a name nor an IP address.
        """
        make_private_folder(folder)
        with folder_turn(folder):
            ca_key = _ec_key(folder / "ca.key")
            issuer = Issuer(_ca(folder / "ca.crt", ca_key, now), ca_key)
            envelope_key = _rsa_key(folder / "envelope.key")
            server_key = _ec_key(folder / "server.key")
            for name, key in (("ca.key", ca_key), ("envelope.key", envelope_key), ("server.key", server_key)):
                if spki_of(key.public_key()) in denied:
                    raise PublishedKey(str(folder / name))
            _keep_public_key(folder / "public_key.pem", envelope_key)
            _keep_server_certificate(folder / "server.crt", issuer, server_key, hosts, now)
        return cls(folder, issuer, envelope_key)

    def issue_client(self, broker: str, *, now: datetime) -> ClientPair:
        """Make a new RSA-2048 key and a client certificate for it; takes about 0.1 s of CPU. Nothing is stored."""
        return certificates.make_client(self._issuer, broker, now)


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_new(path, make())
    return read_private(path)


def _ec_key(path: Path) -> EllipticCurvePrivateKey:
    key = _load(path, _kept(path, lambda: certificates.private_pem(certificates.new_ec_key())))
    if not isinstance(key, EllipticCurvePrivateKey):
        raise BadAuthority(path, "not an elliptic-curve key")
    return key


def _rsa_key(path: Path) -> RSAPrivateKey:
    key = _load(path, _kept(path, lambda: certificates.private_pem(certificates.new_rsa_key())))
    if not isinstance(key, RSAPrivateKey):
        raise BadAuthority(path, "not an RSA key")
    return key


def _load(path: Path, pem: bytes) -> object:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise BadAuthority(path, "not an unencrypted PEM key") from None


def _ca(path: Path, key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    if not path.exists():
        write_new(path, certificates.make_ca(key, now).public_bytes(Encoding.PEM), mode=_PUBLIC)
    certificate = _certificate(path)
    if certificate is None:
        raise BadAuthority(path, "not a PEM certificate")
    if certificate.public_key() != key.public_key():
        raise BadAuthority(path, "not the certificate of ca.key")
    return certificate


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, FileNotFoundError):
        return None


def _keep_public_key(path: Path, key: RSAPrivateKey) -> None:
    pem = certificates.public_pem(key)
    if not path.exists() or path.read_bytes() != pem:
        replace(path, pem, mode=_PUBLIC)


def _keep_server_certificate(
    path: Path, issuer: Issuer, key: EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime
) -> None:
    there = _certificate(path)
    if there is None or not certificates.still_serves(there, issuer, key, hosts, now):
        fresh = certificates.make_server(issuer, key, hosts, now)
        replace(path, fresh.public_bytes(Encoding.PEM), mode=_PUBLIC)
