"""The mutual TLS port on loopback: who gets in, who does not, and what slow or broken clients cost."""

import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.web.wm.certificates import SERVER_AUTH, Issued, issue, platform_ca, rsa_key, server_certificate

from bitlinkpay.web.tls import NOBODY, TlsFiles, certificate_spki, server_context
from bitlinkpay.web.wm.asgi import SPKI, HttpScope, Receive, Send
from bitlinkpay.web.wm.listener import Listener, Sharing
from bitlinkpay.web.wm.protocol import ConnectionLimits

PATIENCE_S = 60
HASTY_HEADS = ConnectionLimits(head_s=1, handshake_s=PATIENCE_S)
HASTY_IDLERS = ConnectionLimits(idle_s=1, head_s=PATIENCE_S, handshake_s=PATIENCE_S)
HASTY_HANDSHAKES = ConnectionLimits(handshake_s=1)
SMALL_HEADS = ConnectionLimits(head_bytes=8192)


@dataclass
class Echo:
    """Answers with what the TLS layer proved and what the request line said."""

    seen: list[HttpScope] = field(default_factory=list)

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        spki = scope["state"].get(SPKI)
        answer = json.dumps({"spki": spki.hex() if isinstance(spki, bytes) else None, "size": len(body)}).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Port:
    """A listening port with its CA, for one test."""

    def __init__(self, folder: Path, *, limits: ConnectionLimits | None = None) -> None:
        self.folder = folder
        self.ca = platform_ca()
        certificate, key = server_certificate(self.ca).write(folder, "server")
        self.ca_file, _ = self.ca.write(folder, "ca")
        self.app = Echo()
        files = TlsFiles(certificate=certificate, key=key, client_ca=self.ca_file)
        self.listener = Listener(self.app, host="127.0.0.1", port=0, tls=server_context(files), limits=limits)
        self.port = 0

    async def __aenter__(self) -> Self:
        self.port = await self.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop(grace_s=1)

    def client(self, issued: Issued | None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if issued is not None:
            certificate, key = issued.write(self.folder, "client")
            context.load_cert_chain(certificate, key)
        return context

    async def connect(self, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = "localhost" if context else None
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with Port(tmp_path) as found:
        yield found


@pytest.fixture
async def hasty(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Port]:
    """A port with the one limit that the test is about: a stall must not run out another."""
    async with Port(tmp_path, limits=request.param) as found:
        yield found


def limited(limits: ConnectionLimits) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("hasty", [limits], indirect=True)


REQUEST = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi"


async def answer_of(reader: asyncio.StreamReader) -> dict[str, object]:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    size = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
    found = json.loads(await reader.readexactly(size))
    assert isinstance(found, dict)
    return found


async def ask(port: Port, context: ssl.SSLContext | None, request: bytes = REQUEST) -> bytes:
    """Send bytes, return all that comes back until the server hangs up; b"" when refused."""
    try:
        reader, writer = await port.connect(context)
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except (ssl.SSLError, ConnectionError):
        return b""


def spki_of(issued: Issued) -> str:
    public = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()


async def test_a_good_certificate_is_named_by_its_public_key(port: Port) -> None:
    merchant = issue("merchant a", issuer=port.ca)
    reader, writer = await port.connect(port.client(merchant))
    for _ in range(2):
        writer.write(REQUEST)
        assert await answer_of(reader) == {"spki": spki_of(merchant), "size": 2}
    writer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_API_01_no_client_certificate_gets_no_http_answer(port: Port, version: ssl.TLSVersion) -> None:
    assert await ask(port, port.client(None, version=version)) == b""
    assert port.app.seen == []


def expired(ca: Issued) -> Issued:
    return issue("expired", issuer=ca, starts=timedelta(days=-9), ends=timedelta(days=-1))


def not_yet_valid(ca: Issued) -> Issued:
    return issue("early", issuer=ca, starts=timedelta(days=1), ends=timedelta(days=9))


def wrong_usage(ca: Issued) -> Issued:
    return issue("server only", issuer=ca, usage=SERVER_AUTH)


def self_signed(_ca: Issued) -> Issued:
    return issue("self-signed", issuer=None)


def self_signed_under_the_ca_name(ca: Issued) -> Issued:
    return issue("platform ca", issuer=None, key=rsa_key("not the ca"))


def wrong_ca(_ca: Issued) -> Issued:
    return issue("merchant a", issuer=platform_ca("another ca"))


def wrong_ca_of_the_same_name(_ca: Issued) -> Issued:
    other = issue("platform ca", issuer=None, usage=None, is_ca=True, key=rsa_key("impostor"))
    return issue("merchant a", issuer=other)


def issued_by_a_merchant(ca: Issued) -> Issued:
    return issue("merchant b", issuer=issue("merchant a", issuer=ca))


@pytest.mark.parametrize(
    "make",
    [
        expired,
        not_yet_valid,
        wrong_usage,
        self_signed,
        self_signed_under_the_ca_name,
        wrong_ca,
        wrong_ca_of_the_same_name,
        issued_by_a_merchant,
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_API_04_bad_certificates_are_refused_in_the_handshake(port: Port, make, version) -> None:
    assert await ask(port, port.client(make(port.ca), version=version)) == b""
    assert port.app.seen == []


async def test_API_04_an_intermediate_sent_along_does_not_make_a_merchant_an_issuer(port: Port, tmp_path: Path) -> None:
    middle = issue("merchant a", issuer=port.ca)
    leaf = issue("merchant b", issuer=middle)
    certificate, key = leaf.write(tmp_path, "chain")
    certificate.write_bytes(certificate.read_bytes() + middle.certificate.public_bytes(Encoding.PEM))
    context = port.client(None)
    context.load_cert_chain(certificate, key)
    assert await ask(port, context) == b""
    assert port.app.seen == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_API_05_a_resumed_session_still_carries_the_identity(port: Port, version: ssl.TLSVersion) -> None:
    """Identity is asked per request, so a resumed session of a revoked certificate is refused like any other."""
    merchant = issue("merchant a", issuer=port.ca)
    context = port.client(merchant, version=version)
    session, was_reused = await asyncio.to_thread(one_request, context, port.port, None)
    assert not was_reused
    _, was_reused = await asyncio.to_thread(one_request, context, port.port, session)
    assert was_reused
    assert [scope["state"][SPKI] for scope in port.app.seen] == [bytes.fromhex(spki_of(merchant))] * 2


def one_request(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
    ):
        secure.sendall(REQUEST)
        assert secure.recv(4096).startswith(b"HTTP/1.1 200 OK")
        return secure.session, bool(secure.session_reused)


async def test_API_06_identity_and_address_never_come_from_headers(port: Port) -> None:
    merchant, other = issue("merchant a", issuer=port.ca), issue("merchant b", issuer=port.ca)
    forged = other.certificate.public_bytes(Encoding.PEM).replace(b"\n", b"%0A")
    lines = [
        b"X-Forwarded-For: 10.1.2.3",
        b"Forwarded: for=10.1.2.3",
        b"X-Real-IP: 10.1.2.3",
        b"X-Forwarded-Proto: http",
        b"X-SSL-Client-Verify: SUCCESS",
        b"X-SSL-Client-Cert: " + forged,
        b"X-SSL-Client-S-DN: CN=merchant b",
    ]
    request = REQUEST.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n", 1)
    reader, writer = await port.connect(port.client(merchant))
    writer.write(request)
    assert (await answer_of(reader))["spki"] == spki_of(merchant)
    client = port.app.seen[0]["client"]
    assert client is not None
    assert client[0] == "127.0.0.1"
    writer.close()


async def test_API_07_plain_http_gets_no_answer_and_no_redirect(port: Port) -> None:
    assert await ask(port, None) == b""
    assert port.app.seen == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_tls_is_refused(port: Port) -> None:
    context = port.client(issue("merchant a", issuer=port.ca))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert await ask(port, context) == b""


async def test_no_http2_is_offered(port: Port) -> None:
    context = port.client(issue("merchant a", issuer=port.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await port.connect(context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()


@limited(HASTY_HEADS)
async def test_API_39_a_head_that_never_ends_is_cut_off(hasty: Port) -> None:
    context = hasty.client(issue("merchant a", issuer=hasty.ca))
    reader, writer = await hasty.connect(context)
    writer.write(b"POST /x HTTP/1.1\r\nhost: ")
    drops = 0
    with _ended():
        async with asyncio.timeout(PATIENCE_S):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
                drops += 1
                if reader.at_eof():
                    raise ConnectionResetError
    assert drops < 80  # a second is asked for, ten are usual
    assert hasty.app.seen == []


def _ended():
    return pytest.raises((ConnectionError, ssl.SSLError))


async def answered_once(hasty: Port) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection on which one request was answered; one that was too slow even for that does not count."""
    context = hasty.client(issue("merchant a", issuer=hasty.ca))
    while True:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            reader, writer = await hasty.connect(context)
            writer.write(REQUEST)
            await answer_of(reader)
            return reader, writer


@limited(HASTY_HEADS)
async def test_API_39_stray_line_ends_do_not_keep_a_connection_open(hasty: Port) -> None:
    reader, writer = await answered_once(hasty)
    with _ended():
        async with asyncio.timeout(PATIENCE_S):
            while not reader.at_eof():
                writer.write(b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
            raise ConnectionResetError


@limited(HASTY_HEADS)
async def test_API_39_a_connection_that_says_nothing_is_closed(hasty: Port) -> None:
    reader, writer = await hasty.connect(hasty.client(issue("merchant a", issuer=hasty.ca)))
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read() == b""
    writer.close()


@limited(HASTY_IDLERS)
async def test_API_39_an_idle_keep_alive_connection_is_closed(hasty: Port) -> None:
    reader, writer = await hasty.connect(hasty.client(issue("merchant a", issuer=hasty.ca)))
    writer.write(REQUEST)
    await answer_of(reader)
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read() == b""
    writer.close()


@limited(HASTY_HANDSHAKES)
async def test_API_39_a_handshake_that_never_comes_is_dropped(hasty: Port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read() == b""
    writer.close()


@limited(SMALL_HEADS)
async def test_API_39_headers_too_large_are_answered_in_the_protocol_and_closed(hasty: Port) -> None:
    reader, writer = await hasty.connect(hasty.client(issue("merchant a", issuer=hasty.ca)))
    writer.write(b"POST /x HTTP/1.1\r\nhost: localhost\r\nx-padding: " + b"x" * 9000)
    answer = await answer_of(reader)
    assert answer["code"] != 0
    assert await reader.read() == b""
    assert hasty.app.seen == []
    writer.close()


async def test_API_39_beyond_the_limit_the_longest_idle_connection_makes_room(tmp_path: Path) -> None:
    async with Port(tmp_path, limits=ConnectionLimits(connections=5)) as port:
        context = port.client(issue("merchant a", issuer=port.ca))
        held = [await port.connect(context) for _ in range(12)]
        async with asyncio.timeout(PATIENCE_S):
            while port.listener.open_connections > 6:
                await asyncio.sleep(0.01)
        reader, writer = held[-1]
        writer.write(REQUEST)
        assert (await answer_of(reader))["size"] == 2
        assert await held[0][0].read() == b""
        for _, other in held:
            other.close()


async def test_API_39_silent_handshakes_do_not_keep_honest_clients_out(tmp_path: Path) -> None:
    async with Port(tmp_path, limits=ConnectionLimits(handshakes=8, handshake_s=300)) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port.port) for _ in range(40)]
        reader, writer = await port.connect(port.client(issue("merchant a", issuer=port.ca)))
        writer.write(REQUEST)
        assert (await answer_of(reader))["size"] == 2
        async with asyncio.timeout(PATIENCE_S):
            assert await silent[0][0].read() == b""  # long before its own 300 s
        for _, other in [*silent, (reader, writer)]:
            other.close()


HEAD = b"POST /x HTTP/1.1\r\nhost: localhost\r\n"
SMUGGLED = [
    ("both lengths", HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /y HTTP/1.1\r\n\r\n"),
    ("two lengths", HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"),
    ("two equal lengths", HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi"),
    ("a list of lengths", HEAD + b"content-length: 2, 3\r\n\r\nhi!"),
    ("a signed length", HEAD + b"content-length: +2\r\n\r\nhi"),
    ("a negative length", HEAD + b"content-length: -2\r\n\r\nhi"),
    ("a hex length", HEAD + b"content-length: 0x2\r\n\r\nhi"),
    ("a bad chunk size", HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n"),
    ("a chunk without its end", HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhiX\r\n0\r\n\r\n"),
    ("chunked not last", HEAD + b"transfer-encoding: chunked, identity\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ("chunked twice", HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
    ("a space before the colon", HEAD + b"content-length : 2\r\n\r\nhi"),
    ("a folded header", HEAD + b"content-length: 2\r\n x: y\r\n\r\nhi"),
    ("a bare line feed", b"POST /x HTTP/1.1\nhost: localhost\ncontent-length: 2\n\nhi"),
    ("a NUL in a header", HEAD + b"x: a\x00b\r\ncontent-length: 2\r\n\r\nhi"),
    ("no HTTP at all", b"\x16\x03\x01 hello\r\n\r\n"),
    ("another protocol", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a path beyond ASCII", b"POST /\xff HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"),
]


@pytest.mark.parametrize(("name", "request_bytes"), SMUGGLED, ids=[name for name, _ in SMUGGLED])
async def test_API_40_ambiguous_framing_is_refused_and_closed(port: Port, name: str, request_bytes: bytes) -> None:
    """One answer of the protocol at HTTP 200, then the connection ends: nothing after it is ever read as a request."""
    got = await ask(port, port.client(issue("merchant a", issuer=port.ca)), request_bytes + REQUEST)
    assert got.count(b"HTTP/1.1") <= 1
    assert b" 500 " not in got
    assert b" 400 " not in got
    if got:
        assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] != 0
    assert all(scope["raw_path"] == b"/x" for scope in port.app.seen)


async def test_API_40_a_body_that_breaks_off_wrongly_is_answered_once_and_closed(port: Port) -> None:
    broken = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"
    got = await ask(port, port.client(issue("merchant a", issuer=port.ca)), broken + b"zz\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 1
    assert json.loads(got.partition(b"\r\n\r\n")[2])["code"] != 0


async def test_API_40_garbage_behind_an_unanswered_request_gets_no_answer_before_it(port: Port) -> None:
    """Answers never change places: the second one is not written while the first is owed."""
    got = await ask(port, port.client(issue("merchant a", issuer=port.ca)), REQUEST + b"\x00garbage\r\n\r\n")
    assert b'"code"' not in got.partition(b'"size"')[0]


async def test_pipelined_requests_are_answered_in_order(port: Port) -> None:
    reader, writer = await port.connect(port.client(issue("merchant a", issuer=port.ca)))
    sizes = [2, 5, 1]
    for size in sizes:
        writer.write(HEAD + f"content-length: {size}\r\n\r\n".encode() + b"x" * size)
    assert [(await answer_of(reader))["size"] for _ in sizes] == sizes
    writer.close()


async def test_an_upgrade_is_not_followed(port: Port) -> None:
    request = (
        HEAD + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\ncontent-length: 2\r\n\r\nhi"
    )
    got = await ask_once(port, request)
    assert b" 101 " not in got


async def ask_once(port: Port, request: bytes) -> bytes:
    reader, writer = await port.connect(port.client(issue("merchant a", issuer=port.ca)))
    writer.write(request)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    finally:
        writer.close()


async def test_stopping_lets_a_running_request_end(tmp_path: Path) -> None:
    async with Port(tmp_path) as port:
        reader, writer = await port.connect(port.client(issue("merchant a", issuer=port.ca)))
        writer.write(REQUEST[:-1])
        while not port.app.seen:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(port.listener.stop(grace_s=PATIENCE_S))
        await asyncio.sleep(0.05)
        writer.write(REQUEST[-1:])
        assert (await answer_of(reader))["size"] == 2
        await stopping
        writer.close()
    with pytest.raises(ConnectionError):
        await port.connect(None)


async def test_a_port_is_shared_only_where_both_say_so() -> None:
    first = Listener(Echo(), host="127.0.0.1", port=0, tls=None, sharing=Sharing.SIBLINGS)
    port = await first.start()
    second = Listener(Echo(), host="127.0.0.1", port=port, tls=None, sharing=Sharing.SIBLINGS)
    assert await second.start() == port
    with pytest.raises(OSError, match="in use"):
        await Listener(Echo(), host="127.0.0.1", port=port, tls=None).start()
    await first.stop()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    assert (await answer_of(reader))["size"] == 2
    writer.close()
    await second.stop()


async def test_a_listener_serves_ipv6_too() -> None:
    listener = Listener(Echo(), host="::1", port=0, tls=None)
    reader, writer = await asyncio.open_connection("::1", await listener.start())
    writer.write(REQUEST)
    assert (await answer_of(reader))["size"] == 2
    writer.close()
    await listener.stop()


def test_what_is_no_certificate_names_nobody() -> None:
    assert certificate_spki(b"") == NOBODY
    assert certificate_spki(b"garbage") == NOBODY
