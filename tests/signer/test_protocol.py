"""The framing of the signer's socket, alone and under fuzz on a live server."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.signer import protocol, service
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing, PoolAddress
from bitlinkpay.signer.keys import derive_keyring
from bitlinkpay.signer.protocol import ExtendSolana, FrameError, GetKeyRing, Refusal, Status
from bitlinkpay.signer.sealing import Unlock
from bitlinkpay.signer.server import Signer, serve

RING = derive_keyring(bytes(64))
REQUESTS = [Status(), GetKeyRing(), ExtendSolana(0, 1), ExtendSolana(2**31, 1000), ExtendSolana(-5, -5)]
REPLIES = [
    protocol.StatusReply("f" * 32, "2026-11-23T00:00:00+00:00", 42),
    protocol.KeyRingReply(RING),
    protocol.PoolReply((PoolAddress(1, "x"), PoolAddress(2, "y"))),
    Refusal("no"),
]


async def read(raw: bytes) -> bytes | None:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    return await protocol.read_frame(reader)


@pytest.mark.parametrize("request_", REQUESTS)
async def test_requests_survive_the_wire(request_: protocol.Request) -> None:
    body = await read(protocol.encode_frame(request_))
    assert body is not None
    assert protocol.decode_request(body) == request_


@pytest.mark.parametrize("reply", REPLIES)
async def test_replies_survive_the_wire(reply: protocol.Reply) -> None:
    body = await read(protocol.encode_frame(reply))
    assert body is not None
    assert protocol.decode_reply(body) == reply


async def test_the_end_between_frames_is_no_error() -> None:
    assert await read(b"") is None


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_cut_head_is_an_error(length: int) -> None:
    with pytest.raises(FrameError, match="cut short"):
        await read(bytes(length))


@pytest.mark.parametrize("kept", [4, 5, 8])
async def test_a_cut_body_is_an_error(kept: int) -> None:
    with pytest.raises(FrameError, match="cut short"):
        await read(protocol.encode_frame(Status())[:kept])


@pytest.mark.parametrize("length", [(1 << 20) + 1, 2**31, 2**32 - 1])
async def test_a_frame_has_a_limit_and_is_not_waited_for(length: int) -> None:
    with pytest.raises(FrameError, match="too long"):
        await read(length.to_bytes(4, "big") + b"x")


async def test_frames_that_arrive_byte_by_byte_are_put_together() -> None:
    reader = asyncio.StreamReader()
    reading = asyncio.create_task(protocol.read_frame(reader))
    for byte in protocol.encode_frame(GetKeyRing()):
        reader.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    body = await reading
    assert body is not None
    assert protocol.decode_request(body) == GetKeyRing()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_frame_error(body: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_reply):
        try:
            decode(body)
        except FrameError:
            continue


@pytest.mark.parametrize(
    "body", [b'{"x":' + b"[" * 100_000, b"[" * 100_000, b'{"type":"sign","plan":' + b'{"a":' * 50_000]
)
def test_nesting_has_an_end(body: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_reply):
        with pytest.raises(FrameError):
            decode(body)


@given(st.sampled_from(REQUESTS), st.data())
def test_a_damaged_request_never_becomes_an_unknown_kind(request_: protocol.Request, data: st.DataObject) -> None:
    body = bytearray(protocol.encode_frame(request_)[4:])
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    try:
        found = protocol.decode_request(bytes(body))
    except FrameError:
        return
    assert isinstance(found, Status | GetKeyRing | ExtendSolana)


@pytest.fixture
async def live(folder: Path, ring: KeyRing, unlock: Unlock) -> AsyncIterator[Path]:
    """The server's own code on a real socket, in this process."""
    stop, listening = asyncio.Event(), asyncio.Event()
    signer = Signer.open(folder, unlock)
    task = asyncio.create_task(serve(folder, signer, ready=listening.set, stop=stop))
    await listening.wait()
    yield folder
    stop.set()
    await task
    assert not (folder / protocol.SOCKET).exists()


async def test_a_thousand_hostile_frames_leave_it_working(live: Path, ring: KeyRing) -> None:
    chance = random.Random(20261123)
    good = [protocol.encode_frame(request) for request in REQUESTS]
    for _ in range(40):
        reader, writer = await asyncio.open_unix_connection(str(live / protocol.SOCKET))
        for _ in range(25):
            frame = bytearray(chance.choice(good))
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            writer.write(bytes(frame))
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        rest = answer
        while rest:
            length = int.from_bytes(rest[:4], "big")
            assert isinstance(protocol.decode_reply(rest[4 : 4 + length]), protocol.Reply)
            rest = rest[4 + length :]
    assert await SignerClient(live).keyring() == ring


async def test_fifty_clients_at_once_get_their_own_answers(live: Path) -> None:
    client = SignerClient(live)
    gate = asyncio.Semaphore(20)

    async def ask(first: int) -> tuple[PoolAddress, ...]:
        async with gate:
            return await client.extend_solana(first, 3)

    answers = await asyncio.gather(*(ask(first) for first in range(0, 150, 3)))
    assert [pooled.index for answer in answers for pooled in answer] == list(range(150))
    assert len({pooled.address for answer in answers for pooled in answer}) == 150


async def test_who_says_nothing_holds_nobody_up(live: Path) -> None:
    silent = [await asyncio.open_unix_connection(str(live / protocol.SOCKET)) for _ in range(20)]
    assert (await SignerClient(live).status()).fingerprint == service.status(live).fingerprint
    for _, writer in silent:
        writer.close()


async def test_stopping_ends_open_connections(folder: Path, ring: KeyRing, unlock: Unlock) -> None:
    stop, listening = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(folder, Signer.open(folder, unlock), ready=listening.set, stop=stop))
    await listening.wait()
    reader, writer = await asyncio.open_unix_connection(str(folder / protocol.SOCKET))
    writer.write(protocol.encode_frame(Status()))
    assert await reader.readexactly(4)
    stop.set()
    async with asyncio.timeout(60):
        await task
        await reader.read()
    writer.close()


def test_short_paths_are_used_as_they_are(tmp_path: Path) -> None:
    short = Path("/tmp") / "s"
    with protocol.socket_name(short) as name:
        assert name == "/tmp/s/signer.sock"


def test_long_paths_are_reached_through_a_descriptor_that_is_closed_again(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep-folder-name"] * 8)
    deep.mkdir(parents=True)
    with protocol.socket_name(deep) as name:
        assert len(name) < 100
        assert Path(name).parent.resolve() == deep.resolve()
    assert not Path(name).parent.exists()
