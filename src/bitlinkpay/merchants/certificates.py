"""X.509 of the platform: its CA, its server certificates, merchants' client certificates; pure but for randomness."""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bitlinkpay.core.errors import Invalid

CA_LIFE: Final = timedelta(days=30 * 365)
CLIENT_LIFE: Final = timedelta(days=5 * 365)
SERVER_LIFE: Final = timedelta(days=5 * 365)
RENEW_BEFORE: Final = timedelta(days=365)
ALWAYS_SERVED: Final = ("localhost", "127.0.0.1", "::1")

# Key pairs that the SDK repositories publish (PROTOCOL.md, weak spots): two client certificates, two CAs.
PUBLISHED: Final = frozenset(
    bytes.fromhex(digest)
    for digest in (
        "afd393b1f4dcdde90af43c75cd4f02648e6b9b8590c5956d11ef4195bb80ce54",
        "4ff84c70c6b7df4d6441f32a54175e5f05a556cebbafdbae341cf3487533c389",
        "f30a017b76f4be2aaa32328b430c61ede72cdf8de4feaf3b949727484cc7958f",
        "81e70137cc0811f3b2bf294d7adbc2ab0b8047f105dec6c8c63c852eb99e9021",
    )
)

_ORGANISATION = "BitLink Pay"
_BACKDATED = timedelta(days=1)  # clients with slow clocks
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class ClientPair:
    """A client certificate with its key, as the SDKs load them: X.509 v3 PEM and unencrypted PKCS#8 RSA PEM."""

    certificate: x509.Certificate
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

    @property
    def spki(self) -> bytes:
        """Return the identity that the key stands for."""
        return spki_of(self.certificate.public_key())


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA: its certificate and its key."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey = field(repr=False)


def spki_of(key: CertificatePublicKeyTypes) -> bytes:
    """Return SHA-256 of a public key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7)."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def new_ec_key() -> EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return generate_private_key(SECP256R1())


def new_rsa_key() -> RSAPrivateKey:
    """Return a new RSA-2048 key: what all three SDKs load and encrypt under."""
    return generate_rsa(65537, _RSA_BITS)


def private_pem(key: EllipticCurvePrivateKey | RSAPrivateKey) -> bytes:
    """Return unencrypted PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: RSAPrivateKey) -> bytes:
    """Return the public half as PKIX PEM (`BEGIN PUBLIC KEY`)."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def make_ca(key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """Return the self-signed certificate of the platform's CA, which may issue end certificates only."""
    name = _name("BitLink Pay platform CA")
    usage = _usage(is_ca=True, is_encrypting=False)
    builder = _start(name, name, key.public_key(), now, CA_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256())


def make_server(issuer: Issuer, key: EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime) -> x509.Certificate:
    """Return a server certificate for `hosts` (see `served_names`)."""
    builder = _start(issuer.certificate.subject, _name("BitLink Pay API"), key.public_key(), now, SERVER_LIFE)
    builder = _end(builder, issuer.certificate, ExtendedKeyUsageOID.SERVER_AUTH, is_encrypting=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(served_names(hosts)), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def make_client(issuer: Issuer, broker: str, now: datetime) -> ClientPair:
    """Return a new RSA key with a client certificate in a merchant's name."""
    return certify_client(issuer, new_rsa_key(), broker, now)


def certify_client(issuer: Issuer, key: RSAPrivateKey, broker: str, now: datetime) -> ClientPair:
    """Return a key with a client certificate for it in a merchant's name."""
    builder = _start(issuer.certificate.subject, _name(broker), key.public_key(), now, CLIENT_LIFE)
    builder = _end(builder, issuer.certificate, ExtendedKeyUsageOID.CLIENT_AUTH, is_encrypting=True)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return ClientPair(certificate, certificate.public_bytes(Encoding.PEM), private_pem(key))


def served_names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """Return the names for a server certificate: the given hosts, then `localhost`, `127.0.0.1` and `::1`.

    Raises:
        Invalid: a host is neither a name nor an IP address.
    """
    wanted = dict.fromkeys(host.strip().rstrip(".").lower() for host in (*hosts, *ALWAYS_SERVED))
    return [_general_name(host) for host in wanted]


def still_serves(
    certificate: x509.Certificate, issuer: Issuer, key: EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime
) -> bool:
    """Say whether a server certificate is this CA's, for this key and exactly these hosts, and good for a year more."""
    try:
        certificate.verify_directly_issued_by(issuer.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return (
        list(names) == served_names(hosts)
        and certificate.public_key() == key.public_key()
        and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
    )


def _start(
    issuer: x509.Name, subject: x509.Name, key: CertificatePublicKeyTypes, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    moment = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BACKDATED)
        .not_valid_after(moment + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _end(
    builder: x509.CertificateBuilder, ca: x509.Certificate, purpose: x509.ObjectIdentifier, *, is_encrypting: bool
) -> x509.CertificateBuilder:
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_ca=False, is_encrypting=is_encrypting), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(issuer, critical=False)
    )


def _usage(*, is_ca: bool, is_encrypting: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=is_encrypting,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode())
    except (UnicodeError, ValueError):
        raise Invalid(f"{host[:80]!r} is neither a host name nor an IP address", param="hosts") from None
