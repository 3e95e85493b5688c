"""What one turn wrote leaves together, and nothing overtakes or gets lost."""

import asyncio
import ssl
from pathlib import Path

from tests.web.wm.certificates import issue
from tests.web.wm.test_tls import REQUEST, Port

from bitlinkpay.web.wm.cork import Corked

_RECORD_HEAD = 5


class Wire(asyncio.Transport):
    """Notes what would travel."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.end = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "aborted"

    def is_closing(self) -> bool:
        return self.end != ""


def corked() -> tuple[Wire, Corked]:
    wire = Wire()
    return wire, Corked(wire, asyncio.get_running_loop())


async def test_one_turn_is_one_write_and_the_next_turn_another() -> None:
    wire, cork = corked()
    cork.write(b"head ")
    cork.write(memoryview(b"body"))
    assert wire.sent == []
    await asyncio.sleep(0)
    cork.write(b"more")
    await asyncio.sleep(0)
    assert wire.sent == [b"head body", b"more"]


async def test_closing_sends_what_is_held_first() -> None:
    wire, cork = corked()
    cork.write(b"last words")
    cork.close()
    assert (wire.sent, wire.end, cork.is_closing()) == ([b"last words"], "closed", True)
    await asyncio.sleep(0)
    assert wire.sent == [b"last words"]


async def test_aborting_sends_nothing_and_neither_does_a_closed_connection() -> None:
    wire, cork = corked()
    cork.write(b"never")
    cork.abort()
    await asyncio.sleep(0)
    cork.write(b"too late")
    await asyncio.sleep(0)
    assert (wire.sent, wire.end) == ([], "aborted")


class Client:
    """TLS by hand over a plain stream, to see the records that come."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.received, self.sending = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.received, self.sending, server_hostname="localhost")
        self.raw = b""

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.exchange()
            else:
                break

    async def exchange(self) -> None:
        self.writer.write(self.sending.read())
        self.raw = await self.reader.read(65536)
        self.received.write(self.raw)

    async def ask(self, request: bytes) -> bytes:
        self.tls.write(request)
        while True:
            await self.exchange()
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                continue


def records(raw: bytes) -> int:
    count = 0
    while raw:
        raw = raw[_RECORD_HEAD + int.from_bytes(raw[3:5], "big") :]
        count += 1
    return count


async def test_an_answer_is_one_tls_record_in_one_segment(tmp_path: Path) -> None:
    async with Port(tmp_path) as port:
        context = port.client(issue("merchant a", issuer=port.ca), version=ssl.TLSVersion.TLSv1_2)
        client = Client(context)
        await client.connect(port.port)
        for _ in range(3):
            answer = await client.ask(REQUEST)
            assert answer.endswith(b'"size": 2}')
            assert records(client.raw) == 1
        client.writer.close()
