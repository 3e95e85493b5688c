"""Mutual TLS: the server's context, and the one reading of who the peer is."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate

# TLS 1.2 for Java 8 and old curl: forward secrecy and AEAD only. TLS 1.3 has its own, all of that kind.
_CIPHERS_TLS12: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

NOBODY: Final = b""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the merchant API: its own certificate and key, and the CA that issues merchants' certificates."""

    certificate: Path
    key: Path
    client_ca: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the merchant API's port: TLS 1.2 or later, a client certificate of our own CA required.

    OpenSSL checks chain, dates and purpose (a certificate whose extended key usage lacks `clientAuth` is refused);
    sessions may be resumed by ticket and then still carry the certificate, so that identity is asked per request.

    Raises:
        OSError, ssl.SSLError: a file is missing or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS_TLS12)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(cafile=str(files.client_ca))
    return context


def peer_spki(ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> bytes:
    """Return SHA-256 of the SubjectPublicKeyInfo of the peer's certificate, or `NOBODY` where there is none.

    Only what TLS itself proved counts; no header is ever asked (THREATS API-06).
    """
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if der is None:
        return NOBODY
    return certificate_spki(der)


def certificate_spki(der: bytes) -> bytes:
    """Return SHA-256 of a DER certificate's SubjectPublicKeyInfo, or `NOBODY` where it cannot be read."""
    try:
        key = load_der_x509_certificate(der).public_key()
    except (ValueError, TypeError):
        return NOBODY
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
