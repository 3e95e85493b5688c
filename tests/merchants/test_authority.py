"""Certificates that the SDKs load and TLS accepts, and those that it must refuse."""

import base64
import contextlib
import ssl
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.merchants.conftest import HOSTS, NOW

from bitlinkpay.core.errors import Invalid
from bitlinkpay.merchants import certificates
from bitlinkpay.merchants.authority import Authority, BadAuthority
from bitlinkpay.merchants.certificates import (
    PUBLISHED,
    Issuer,
    make_ca,
    make_client,
    make_server,
    new_ec_key,
    private_pem,
    served_names,
    spki_of,
)
from bitlinkpay.merchants.model import PublishedKey
from bitlinkpay.signer.problems import LooseFile
from bitlinkpay.web.tls import certificate_spki


def shown(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.crt").read_bytes())


def names_of(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]


def test_keys_are_private_and_what_is_public_is_readable(authority: Authority, authority_folder: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority_folder.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {"ca.key", "server.key", "envelope.key", ".lock"}
    assert stat.S_IMODE(authority_folder.stat().st_mode) == 0o700


def test_opening_again_changes_nothing(authority: Authority, authority_folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in authority_folder.iterdir()}
    again = Authority.open(authority_folder, HOSTS, now=NOW)
    assert {path.name: path.read_bytes() for path in authority_folder.iterdir()} == before
    assert (again.ca_pem, again.public_key_pem) == (authority.ca_pem, authority.public_key_pem)


def test_many_processes_may_open_a_new_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: Authority.open(tmp_path / "keys", [], now=NOW), range(4)))
    assert len({(one.ca_pem, one.public_key_pem) for one in opened}) == 1


def test_the_server_certificate_names_what_the_sdks_check(authority: Authority, authority_folder: Path) -> None:
    assert names_of(shown(authority_folder)) == ["pay.example", "10.1.2.3", "localhost", "127.0.0.1", "::1"]
    usage = shown(authority_folder).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_hosts_are_written_as_certificates_want_them() -> None:
    found = served_names(["Pay.Example.", "支付.example", "[2001:db8::1]", "localhost"])
    assert [str(name.value) for name in found] == [
        "pay.example",
        "xn--bnq875c.example",
        "2001:db8::1",
        "localhost",
        "127.0.0.1",
        "::1",
    ]


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "\u200b", "https://x" + "y" * 64])
def test_hosts_that_are_none_are_refused(host: str) -> None:
    with pytest.raises(Invalid, match="neither a host name"):
        served_names([host])


@pytest.mark.parametrize("reason", ["hosts", "end", "foreign", "key", "damaged", "gone"])
def test_the_server_certificate_is_issued_again_when_it_no_longer_fits(tmp_path: Path, reason: str) -> None:
    folder = tmp_path / "keys"
    Authority.open(folder, ["a.example"], now=NOW)
    before, ca = shown(folder), (folder / "ca.crt").read_bytes()
    hosts, now = ["a.example"], NOW
    match reason:
        case "hosts":
            hosts = ["a.example", "b.example"]
        case "end":
            now = before.not_valid_after_utc - timedelta(days=364)
        case "foreign":
            (folder / "ca.crt").unlink()
            (folder / "ca.key").unlink()
        case "key":
            (folder / "server.key").unlink()
        case "damaged":
            (folder / "server.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        case _:
            (folder / "server.crt").unlink()
    Authority.open(folder, hosts, now=now)
    assert shown(folder).serial_number != before.serial_number
    assert ((folder / "ca.crt").read_bytes() == ca) == (reason != "foreign")
    Authority.open(folder, hosts, now=now)


def test_a_loose_key_stops_the_start(tmp_path: Path) -> None:
    Authority.open(tmp_path / "keys", [], now=NOW)
    (tmp_path / "keys" / "ca.key").chmod(0o640)
    with pytest.raises(LooseFile, match=r"ca\.key"):
        Authority.open(tmp_path / "keys", [], now=NOW)


@pytest.mark.parametrize(
    ("name", "content"), [("ca.key", b"junk"), ("ca.crt", b"junk"), ("envelope.key", b"junk"), ("server.key", b"")]
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    Authority.open(tmp_path / "keys", [], now=NOW)
    (tmp_path / "keys" / name).write_bytes(content)
    with pytest.raises(BadAuthority, match=name):
        Authority.open(tmp_path / "keys", [], now=NOW)


def test_keys_of_the_wrong_kind_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    Authority.open(folder, [], now=NOW)
    ec, rsa = (folder / "ca.key").read_bytes(), (folder / "envelope.key").read_bytes()
    (folder / "envelope.key").write_bytes(ec)
    with pytest.raises(BadAuthority, match="not an RSA key"):
        Authority.open(folder, [], now=NOW)
    (folder / "envelope.key").write_bytes(rsa)
    (folder / "ca.key").write_bytes(rsa)
    with pytest.raises(BadAuthority, match="not an elliptic-curve key"):
        Authority.open(folder, [], now=NOW)
    (folder / "ca.key").write_bytes((folder / "server.key").read_bytes())
    with pytest.raises(BadAuthority, match=r"not the certificate of ca\.key"):
        Authority.open(folder, [], now=NOW)


def test_API_03_the_list_of_published_keys_is_that_of_the_protocol() -> None:
    assert {digest.hex()[:8] for digest in PUBLISHED} == {"afd393b1", "4ff84c70", "f30a017b", "81e70137"}
    assert all(len(digest) == 32 for digest in PUBLISHED)


@pytest.mark.parametrize("name", ["ca.key", "server.key", "envelope.key"])
def test_API_03_a_published_key_of_ours_stops_the_start(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "keys"
    Authority.open(folder, [], now=NOW)
    key = load_pem_private_key((folder / name).read_bytes(), password=None)
    with pytest.raises(PublishedKey, match=name):
        Authority.open(folder, [], now=NOW, denied=frozenset({spki_of(key.public_key())}))


def test_the_envelope_key_is_pkix_rsa_2048(authority: Authority) -> None:
    assert authority.public_key_pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    public = load_pem_public_key(authority.public_key_pem)
    assert isinstance(public, RSAPublicKey)
    assert public.key_size == 2048
    assert public.public_numbers() == authority.envelope.public_key.public_numbers()
    assert authority.public_key_path.read_bytes() == authority.public_key_pem


def test_client_files_are_what_the_sdks_load(authority: Authority) -> None:
    pair = authority.issue_client("tea", now=NOW)
    assert pair.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert pair.certificate_pem.startswith(b"-----BEGIN CERTIFICATE-----\n")
    key, certificate = (
        load_pem_private_key(pair.key_pem, password=None),
        x509.load_pem_x509_certificate(pair.certificate_pem),
    )
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 2048
    assert certificate.version is x509.Version.v3
    assert certificate.public_key() == key.public_key()
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert certificate.not_valid_after_utc - NOW == certificates.CLIENT_LIFE
    assert pair.spki == spki_of(key.public_key()) == certificate_spki(certificate.public_bytes(Encoding.DER))
    assert "PRIVATE" not in repr(pair)


def test_certificates_chain_to_the_ca(authority: Authority, authority_folder: Path) -> None:
    ca = x509.load_pem_x509_certificate(authority.ca_pem)
    for certificate in (shown(authority_folder), authority.issue_client("tea", now=NOW).certificate):
        certificate.verify_directly_issued_by(ca)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_two_clients_share_no_key(tmp_path: Path) -> None:
    opened = Authority.open(tmp_path / "keys", HOSTS, now=NOW)
    assert opened.issue_client("tea", now=NOW).spki != opened.issue_client("tea", now=NOW).spki


def test_an_envelope_for_the_handed_out_key_opens(authority: Authority) -> None:
    public = load_pem_public_key(authority.public_key_pem)
    assert isinstance(public, RSAPublicKey)
    assert (
        authority.envelope.secret(base64.b64encode(public.encrypt(b"0123456789abcdef", PKCS1v15())))
        == b"0123456789abcdef"
    )


@dataclass(frozen=True)
class Client:
    certificate_pem: bytes
    key_pem: bytes


def greet(authority: Authority, client: Client | None, tmp_path: Path, *, host: str = "localhost") -> bytes:
    """Shake hands over mutual TLS, both sides as strict as OpenSSL can be; return who the server took the client for.

    Both sides stand in this process, so that what each one objects to comes out as its own exception.
    """
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.verify_flags |= ssl.VERIFY_X509_STRICT
    server_side.load_cert_chain(authority.server_certificate_path, authority.server_key_path)
    server_side.load_verify_locations(authority.ca_path)
    client_side = ssl.create_default_context(cadata=authority.ca_pem.decode())
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    if client is not None:
        (tmp_path / "client.pem").write_bytes(client.certificate_pem + client.key_pem)
        client_side.load_cert_chain(tmp_path / "client.pem")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client_side.wrap_bio(to_client, to_server, server_hostname=host),
        server_side.wrap_bio(to_server, to_client, server_side=True),
    ]
    for side in sides * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return certificate_spki(sides[1].getpeercert(binary_form=True) or b"")


def test_mutual_tls_with_what_was_issued(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue_client("tea", now=NOW)
    for host in ("localhost", "127.0.0.1", "::1", "pay.example", "10.1.2.3"):
        assert greet(authority, Client(pair.certificate_pem, pair.key_pem), tmp_path, host=host) == pair.spki


def test_another_host_name_is_refused_by_the_client(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greet(authority, None, tmp_path, host="other.example")


def by_us(authority_folder: Path) -> Issuer:
    key = load_pem_private_key((authority_folder / "ca.key").read_bytes(), password=None)
    return Issuer(x509.load_pem_x509_certificate((authority_folder / "ca.crt").read_bytes()), key)


def by_a_stranger() -> Issuer:
    key = new_ec_key()
    return Issuer(make_ca(key, NOW), key)


def refused_expired(folder: Path) -> Client:
    pair = make_client(by_us(folder), "tea", NOW - certificates.CLIENT_LIFE - timedelta(seconds=5))
    return Client(pair.certificate_pem, pair.key_pem)


def refused_early(folder: Path) -> Client:
    pair = make_client(by_us(folder), "tea", NOW + timedelta(days=2))
    return Client(pair.certificate_pem, pair.key_pem)


def refused_purpose(folder: Path) -> Client:
    key = new_ec_key()
    return Client(make_server(by_us(folder), key, [], NOW).public_bytes(Encoding.PEM), private_pem(key))


def refused_self_signed(folder: Path) -> Client:
    key = new_ec_key()
    return Client(make_ca(key, NOW).public_bytes(Encoding.PEM), private_pem(key))


def refused_stranger(folder: Path) -> Client:
    pair = make_client(by_a_stranger(), "tea", NOW)
    return Client(pair.certificate_pem, pair.key_pem)


def refused_issued_by_a_client(folder: Path) -> Client:
    """A merchant plays CA with its own certificate."""
    key = new_ec_key()
    between = make_server(by_us(folder), key, [], NOW)
    pair = make_client(Issuer(between, key), "tea", NOW)
    return Client(pair.certificate_pem + between.public_bytes(Encoding.PEM), pair.key_pem)


@pytest.mark.parametrize(
    ("make", "objection"),
    [
        (refused_expired, "certificate has expired"),
        (refused_early, "certificate is not yet valid"),
        (refused_purpose, "uns[a-z]+ certificate purpose"),
        (refused_self_signed, "self-signed certificate"),
        (refused_stranger, "unable to get local issuer certificate"),
        (refused_issued_by_a_client, "invalid CA certificate"),
    ],
)
def test_API_04_a_certificate_that_is_not_in_order_is_refused(
    authority: Authority, authority_folder: Path, tmp_path: Path, make: Callable[[Path], Client], objection: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=objection):
        greet(authority, make(authority_folder), tmp_path)


def test_API_01_no_certificate_no_handshake(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        greet(authority, None, tmp_path)


def test_dates_leave_room_for_slow_clocks() -> None:
    ca = make_ca(new_ec_key(), datetime(2026, 11, 23, tzinfo=UTC))
    assert ca.not_valid_before_utc == datetime(2026, 11, 22, tzinfo=UTC)
    assert ca.not_valid_after_utc > datetime(2056, 1, 1, tzinfo=UTC)
