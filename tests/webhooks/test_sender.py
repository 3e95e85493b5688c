"""The sender against hostile names and servers: loopback and fake name servers only."""

import asyncio
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.webhooks.corpus import ADDRESSES, HOSTS
from tests.webhooks.receiver import SUCCESS, Connects, open_raw, open_receiver, status

from bitlinkpay.webhooks.judge import judge
from bitlinkpay.webhooks.model import Answer, Outcome
from bitlinkpay.webhooks.policy import UrlPolicy, live_policy, sandbox_policy
from bitlinkpay.webhooks.sender import ANSWER_BYTES_MAX, ForbiddenTarget, Sender, _VettingResolver

SANDBOX = sandbox_policy()
ONLY_ONE = sandbox_policy(allowed_networks=["127.0.0.1/32"])


class Names:
    """A name server: each question takes the next answer, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answer


@asynccontextmanager
async def _sender(
    policy: UrlPolicy = SANDBOX, names: Names | None = None, tls: ssl.SSLContext | None = None, total_s: int = 15
) -> AsyncIterator[Sender]:
    sender = Sender(policy, lookup=names, tls=tls, total_s=total_s)
    try:
        yield sender
    finally:
        await sender.aclose()


async def _post(url: str, **made: object) -> Answer:
    async with _sender(**made) as sender:  # type: ignore[arg-type]
        return await sender.post(url, {"Content-Type": "application/json"}, b'{"a":1}')


def _outcome(answer: Answer) -> Outcome:
    return judge(answer, now=datetime.now(UTC)).outcome


async def test_posts_exact_bytes_and_reads_the_answer():
    body = '{"a" : "\\/ é",\n"b":  1 }'.encode()
    async with open_receiver() as receiver, _sender() as sender:
        answer = await sender.post(receiver.url, {"Content-Type": "application/json", "webhook-id": "evt_1"}, body)
        assert answer == Answer(200, answer.headers, SUCCESS)
        (hit,) = receiver.hits
        assert hit.body == body
        assert hit.headers["content-length"] == str(len(body))
        assert "cookie" not in hit.headers
        assert "authorization" not in hit.headers


async def test_WHK_01_no_form_of_a_forbidden_place_is_connected_to():
    names = Names(["127.0.0.1"])
    async with _sender(live_policy(ports=[80]), names) as sender:
        with Connects() as connects:
            for host in HOSTS:
                for scheme in ("https", "http"):
                    answer = await sender.post(f"{scheme}://{host}/", {}, b"{}")
                    assert answer.status is None
                    assert answer.error
    assert connects.addresses == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_WHK_01_the_socket_is_the_last_wall(family: socket.AddressFamily):
    """Whatever a URL parser, a resolver or a later release of the HTTP client lets through, no socket is made."""
    async with _sender(live_policy()) as sender:
        for address in ADDRESSES:
            with pytest.raises(ForbiddenTarget):
                sender._socket((family, socket.SOCK_STREAM, 6, "", (address, 443)))
        with pytest.raises(ForbiddenTarget):
            sender._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("198.41.0.4", 22)))
        sender._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("198.41.0.4", 443))).close()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"])
async def test_WHK_02_a_name_that_resolves_inside_is_not_connected_to(address: str):
    with Connects() as connects:
        answer = await _post("https://shop.example.com/", policy=live_policy(), names=Names([address]))
    assert connects.addresses == []
    assert answer.error == str(ForbiddenTarget())
    assert address not in answer.error


async def test_WHK_02_rebinding_between_two_sends_is_caught():
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with open_receiver() as allowed, open_receiver(host="127.0.0.2") as hidden:
        port = allowed.url.rpartition(":")[2]
        url = f"http://shop.example.com:{port}"
        assert (await _post(url, policy=ONLY_ONE, names=names)).status == 200
        with Connects() as connects:
            again = await _post(url, policy=ONLY_ONE, names=names)
        assert again.error == str(ForbiddenTarget())
        assert connects.addresses == []
        assert (len(allowed.hits), len(hidden.hits)) == (1, 0)


async def test_WHK_02_of_mixed_answers_only_the_vetted_address_is_used():
    names = Names(["10.0.0.1", "::1", "127.0.0.2", "127.0.0.1", "fd00::1"])
    async with open_receiver() as receiver:
        port = receiver.url.rpartition(":")[2]
        with Connects() as connects:
            answer = await _post(f"http://shop.example.com:{port}", policy=ONLY_ONE, names=names)
    assert answer.status == 200
    assert set(connects.addresses) == {"127.0.0.1"}
    assert receiver.hits[0].headers["host"] == f"shop.example.com:{port.partition('/')[0]}"


async def test_WHK_02_a_name_is_asked_once_per_connect():
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with open_receiver() as receiver, _sender(ONLY_ONE, names) as sender:
        url = f"http://shop.example.com:{receiver.url.rpartition(':')[2]}"
        for _ in range(3):
            assert (await sender.post(url, {}, b"{}")).status == 200
        assert names.asked == ["shop.example.com"]


async def test_a_name_without_an_address_fails_in_words():
    assert (await _post("https://shop.example.com/", policy=live_policy(), names=Names([]))).error == (
        "the host name does not resolve"
    )


async def test_the_system_resolver_is_vetted_too():
    with Connects() as connects:
        answer = await _post("http://localhost:9/", policy=sandbox_policy(allowed_networks=["127.0.0.9/32", "::1/128"]))
    assert answer.status is None
    assert "127.0.0.1" not in connects.addresses


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_WHK_03_redirects_are_never_followed(code: int):
    async with open_receiver() as inner:
        async with open_receiver(status(code, SUCCESS, Location=inner.url)) as outer:
            answer = await _post(outer.url)
        assert answer.status == code
        assert _outcome(answer) is Outcome.RETRY
        assert inner.hits == []


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch):
    async with open_receiver() as proxy, open_receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await _post(receiver.url)).status == 200
        assert proxy.hits == []


async def test_cookies_are_not_kept():
    async with open_receiver(status(200, SUCCESS, Set_Cookie="a=b")) as receiver, _sender() as sender:
        for _ in range(2):
            await sender.post(receiver.url, {}, b"{}")
        assert all("cookie" not in hit.headers for hit in receiver.hits)


# --- TLS


class Certificates:
    """A test CA and server contexts with certificates of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self.ca = self._build(self._name, self._key, self._name, self._key, is_ca=True)

    def _build(self, subject, key, issuer, issuer_key, *, is_ca=False, names=(), ended=False):
        now = datetime.now(UTC)
        end = now - timedelta(days=1) if ended else now + timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
            )
        return builder.sign(issuer_key, hashes.SHA256())

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca.public_bytes(serialization.Encoding.PEM).decode())

    def server(self, name: str, *, ended: bool = False, self_signed: bool = False) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, issuer_key = (subject, key) if self_signed else (self._name, self._key)
        certificate = self._build(subject, key, issuer, issuer_key, names=[name], ended=ended)
        path = self._folder / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def _over_tls(certificates: Certificates, server: ssl.SSLContext, client: ssl.SSLContext | None) -> Answer:
    async with open_receiver(tls=server) as receiver:
        port = receiver.url.split(":")[2]
        answer = await _post(f"https://shop.example.com:{port}", policy=SANDBOX, names=Names(["127.0.0.1"]), tls=client)
        if answer.status is None:
            assert receiver.hits == []
        return answer


async def test_WHK_04_a_valid_certificate_of_a_trusted_ca_works(certificates: Certificates):
    answer = await _over_tls(certificates, certificates.server("shop.example.com"), certificates.trusting())
    assert answer.status == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda c: (c.server("shop.example.com", self_signed=True), c.trusting()),
        lambda c: (c.server("shop.example.com", ended=True), c.trusting()),
        lambda c: (c.server("other.example.com"), c.trusting()),
        lambda c: (c.server("shop.example.com"), None),
    ],
    ids=["self-signed", "expired", "another name", "unknown CA"],
)
async def test_WHK_04_an_invalid_certificate_is_a_failure(certificates: Certificates, make: Callable):
    server, client = make(certificates)
    answer = await _over_tls(certificates, server, client)
    assert answer.status is None
    assert "certificate" in answer.error
    assert _outcome(answer) is Outcome.RETRY


async def test_WHK_04_no_downgrade_to_plain_http(certificates: Certificates):
    async with open_receiver() as plain:
        port = plain.url.split(":")[2]
        answer = await _post(
            f"https://shop.example.com:{port}", names=Names(["127.0.0.1"]), tls=certificates.trusting()
        )
        assert answer.status is None
        assert "TLS" in answer.error
        assert plain.hits == []


# --- caps


async def test_WHK_05_one_byte_a_second_is_cut_off():
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with open_raw(drip) as url:
        answer = await _post(url, total_s=1)
    assert answer.error == "no complete answer within 1 s"


async def test_WHK_05_silence_is_cut_off():
    async def wait(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with open_raw(wait) as url:
        assert (await _post(url, total_s=1)).error == "no complete answer within 1 s"


@pytest.mark.parametrize("head", [b"Content-Length: 10000000000\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_WHK_05_a_huge_body_is_cut_at_64_kb(head: bytes):
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        block = b" " * 8192
        chunk = b"2000\r\n" + block + b"\r\n" if b"chunked" in head else block
        while True:
            writer.write(chunk)
            await writer.drain()
            sent += len(block)

    async with open_raw(pour) as url:
        answer = await _post(url, total_s=5)
    assert answer.error == "the answer is longer than 64 kB"
    assert answer.body == b""
    assert sent < 20 * 1024 * 1024


async def test_WHK_05_exactly_64_kb_is_read():
    body = SUCCESS + b" " * (ANSWER_BYTES_MAX - len(SUCCESS))
    async with open_receiver(status(200, body)) as receiver:
        answer = await _post(receiver.url)
    assert answer.body == body
    assert _outcome(answer) is Outcome.DELIVERED


async def test_WHK_05_a_gzip_bomb_is_not_unpacked():
    bomb = gzip.compress(SUCCESS + b" " * 30_000_000)
    assert len(bomb) < ANSWER_BYTES_MAX
    async with open_receiver(status(200, bomb, Content_Encoding="gzip")) as receiver:
        answer = await _post(receiver.url)
    assert answer.body == bomb
    assert _outcome(answer) is Outcome.RETRY


@pytest.mark.parametrize(
    "lines",
    [b"X-A: " + b"a" * 20_000 + b"\r\n", b"".join(b"X-%d: 1\r\n" % number for number in range(300))],
    ids=["long", "many"],
)
async def test_WHK_05_large_headers_are_refused(lines: bytes):
    async def answer_with(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    async with open_raw(answer_with) as url:
        answer = await _post(url, total_s=5)
    assert answer.status is None
    assert answer.error == "the answer is not valid HTTP"


async def test_WHK_05_endless_headers_are_cut_off():
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: b\r\n" * 1000)
            await writer.drain()
            sent += 8000

    async with open_raw(pour) as url:
        answer = await _post(url, total_s=3)
    assert answer.status is None
    assert answer.error
    assert sent < 30 * 1024 * 1024


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
    ],
)
async def test_nonsense_is_an_answer_with_an_error(lines: bytes):
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines)
        await writer.drain()

    async with open_raw(say) as url:
        answer = await _post(url, total_s=2)
    assert answer.error
    assert _outcome(answer) is Outcome.RETRY


async def test_undecodable_headers_do_no_harm():
    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: \xff\xfe\r\nContent-Length: 29\r\n\r\n" + SUCCESS)
        await writer.drain()

    async with open_raw(say) as url:
        answer = await _post(url)
    assert _outcome(answer) is Outcome.DELIVERED


async def test_a_refused_connection_fails_in_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = await _post(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert answer == Answer(None, {}, b"", "the connection was refused or never made")


async def test_connections_are_reused():
    ports: set[object] = set()

    async def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return web.Response(body=SUCCESS)

    runner = web.ServerRunner(web.Server(note))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with _sender() as sender:
        for number in range(20):
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/{number}"
            assert (await sender.post(url, {}, json.dumps(number).encode())).status == 200
    await runner.cleanup()
    assert len(ports) == 1


async def test_WHK_02_the_resolver_hands_out_vetted_addresses_only():
    """The first of two walls, asked alone: the socket would refuse what it lets through."""
    resolver = _VettingResolver(ONLY_ONE, Names(["10.0.0.1", "127.0.0.1", "::ffff:127.0.0.1", "fd00::1"]))
    assert [found["host"] for found in await resolver.resolve("shop.example.com", 443)] == [
        "127.0.0.1",
        "::ffff:127.0.0.1",
    ]
    with pytest.raises(ForbiddenTarget):
        await _VettingResolver(live_policy(), Names(["127.0.0.1"])).resolve("shop.example.com", 443)
