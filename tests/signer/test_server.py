"""The signer as a process: what it answers, what it refuses, what others can see of it."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from tests.signer.conftest import NOW

import bitlinkpay
from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Wallet
from bitlinkpay.core.assets import Family
from bitlinkpay.notifier import Notifier
from bitlinkpay.signer import protocol, service
from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.keyring import KeyRing
from bitlinkpay.signer.keys import SolanaBranch, recover_private_key
from bitlinkpay.signer.problems import SignerBusy, SignerRefused, SignerUnreachable
from bitlinkpay.signer.sealing import PASSPHRASE_VARIABLE, Unlock, create_key_file, from_key_file, from_passphrase
from bitlinkpay.signer.server import run

SOURCE = Path(bitlinkpay.__file__).parents[1]
LIGHT = 90 << 20
"""Bytes of memory at rest, key libraries of all families included."""
Start = Callable[..., "subprocess.Popen[str]"]


def environment(**extra: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
    return {**kept, "PYTHONPATH": str(SOURCE), **extra}


def launch(folder: Path, *options: str, **extra: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bitlinkpay.signer.server", "--dir", str(folder), *options]
    return subprocess.Popen(
        command, env=environment(**extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def resident_bytes(process: "subprocess.Popen[str]") -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(folder: Path, *options: str, **extra: str) -> "subprocess.Popen[str]":
        process = launch(folder, *(options or ("--key-file", str(tmp_path / "signer.key"))), **extra)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def server(folder: Path, ring: KeyRing, start: Start) -> "subprocess.Popen[str]":
    return start(folder)


@dataclass(frozen=True)
class Standing:
    """A server that many tests talk to, none of which may leave anything behind in it: each start costs most of a second."""

    process: "subprocess.Popen[str]"
    folder: Path
    ring: KeyRing
    unlock: Unlock


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("standing")
    create_key_file(folder / "signer.key")
    unlock = from_key_file(folder / "signer.key")
    ring = service.init(folder / "signer", unlock, now=NOW)
    process = launch(folder / "signer", "--key-file", str(folder / "signer.key"))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield Standing(process, folder / "signer", ring, unlock)
    process.kill()
    process.communicate()


async def test_status_and_keyring(standing: Standing) -> None:
    client = SignerClient(standing.folder)
    shown = await client.status()
    assert (shown.fingerprint, shown.pid) == (standing.ring.fingerprint, standing.process.pid)
    assert await client.keyring() == standing.ring
    assert service.status(standing.folder).is_running


async def test_extend_solana(standing: Standing) -> None:
    client = SignerClient(standing.folder)
    expected = SolanaBranch.of(service.open_seed(standing.folder, standing.unlock).seed).pool(256, 100)
    assert await client.extend_solana(256, 100) == expected
    assert await client.extend_solana(256, 100) == expected
    assert len(await client.extend_solana(0, 1000)) == 1000


@pytest.mark.parametrize(
    ("first", "count"), [(0, 0), (0, -1), (0, 1001), (-1, 1), (2**31 - 1, 1), (2**31 - 5, 10), (2**40, 1)]
)
async def test_extend_solana_is_bounded(standing: Standing, first: int, count: int) -> None:
    with pytest.raises(SignerRefused, match="1 to 1000"):
        await SignerClient(standing.folder).extend_solana(first, count)


def test_socket_and_folder_are_for_the_owner_only(standing: Standing) -> None:
    folder = standing.folder
    mode = (folder / protocol.SOCKET).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(not path.stat().st_mode & 0o077 for path in folder.iterdir())


def talk(folder: Path, raw: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(folder / protocol.SOCKET))
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00" * 50,
        b"\xc1" * 1000,
        b"{}",
        b'{"type":"sign"}',
        b'{"type":"sign","hash":"' + b"00" * 32 + b'"}',
        b'{"type":"sign","intent":{},"plan":{}}',
        b'{"type":"sign","intent":"0x00","plan":"0x00"}',
        b'{"type":"sign_raw","hash":"' + b"00" * 32 + b'"}',
        b'{"type":"sign_message","message":"I own this"}',
        b'{"type":"sign_typed_data","domain":{},"primaryType":"Permit"}',
        b'{"type":"permit","spender":"x","value":1}',
        b'{"type":"set_approval","spender":"x"}',
        b'{"type":"permission_update","owner":"x"}',
        b'{"type":"get_seed"}',
        b'{"type":"private_key","wallet":{"role":"hot","index":0,"address":"x"}}',
        b'{"type":"extend_solana","first":"0","count":"1"}',
    ],
)
def test_PAY_37_there_is_no_other_method(standing: Standing, body: bytes) -> None:
    answer = protocol.decode_reply(talk(standing.folder, framed(body))[4:])
    assert answer == protocol.Refusal("no such request")


def test_the_list_of_requests_is_closed() -> None:
    assert set(protocol.Request.__args__) == {
        protocol.Status,
        protocol.GetKeyRing,
        protocol.ExtendSolana,
        protocol.Sign,
        protocol.Approve,
        protocol.GetWaiting,
        protocol.GetStanding,
    }


def test_PAY_37_a_request_to_sign_has_no_place_for_foreign_bytes() -> None:
    """Everything that is signed is built here from these; none of them is a hash, a message or a transaction."""
    assert [field.name for field in msgspec.structs.fields(protocol.Sign)] == ["intent", "plan", "ours", "dead"]
    numbers_and_texts = {int, str, datetime, UUID, KeyRole, Purpose}
    for kind in (Intent, Payment, Wallet):
        hints = typing.get_type_hints(kind)
        assert set(hints.values()) <= numbers_and_texts | {Wallet, tuple[Payment, ...]}, kind


@pytest.mark.parametrize(
    "raw", [b"\x00", b"\x00\x00\x00\x09abc", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xffxx", b"GET / HTTP/1.1\r\n\r\n"]
)
async def test_a_broken_frame_ends_the_connection_and_nothing_else(standing: Standing, raw: bytes) -> None:
    assert talk(standing.folder, raw) == b""
    assert (await SignerClient(standing.folder).status()).pid == standing.process.pid


def test_many_requests_on_one_connection(standing: Standing) -> None:
    answer = talk(standing.folder, protocol.encode_frame(protocol.Status()) * 3)
    assert answer[: len(answer) // 3] * 3 == answer


async def test_too_many_connections_are_closed_and_the_rest_served(
    server: "subprocess.Popen[str]", folder: Path
) -> None:
    idle = [await asyncio.open_unix_connection(str(folder / protocol.SOCKET)) for _ in range(32)]
    with pytest.raises(SignerUnreachable):
        await SignerClient(folder).status()
    for _, writer in idle:
        writer.close()
    for _ in range(100):
        with contextlib.suppress(SignerUnreachable):
            assert (await SignerClient(folder).status()).pid == server.pid
            return
        await asyncio.sleep(0.05)
    pytest.fail("it stayed deaf after the idle connections had gone")


def test_PAY_40_no_private_byte_leaves_the_process(start: Start, folder: Path, ring: KeyRing, unlock: Unlock) -> None:
    process = start(folder)
    heard = b"".join(
        talk(folder, protocol.encode_frame(request))
        for request in (protocol.Status(), protocol.GetKeyRing(), protocol.ExtendSolana(0, 100))
    )
    process.terminate()
    out, error = process.communicate(timeout=20)
    heard += (out + error).encode() + b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    seed = service.open_seed(folder, unlock).seed
    branch = SolanaBranch.of(seed)
    for secret in (seed, branch.key, branch.chain_code, *(recover_private_key(seed, family, 0) for family in Family)):
        assert secret not in heard
        assert secret.hex().encode() not in heard


def test_PAY_40_the_process_hardens_itself(tmp_path: Path) -> None:
    probe = (
        "import os, resource\n"
        "from bitlinkpay.signer import hardening\n"
        "assert hardening.is_dumpable()\n"
        "hardening.harden()\n"
        "assert not hardening.is_dumpable()\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\n"
        "assert os.umask(0) == 0o077\n"
        "print(open('/proc/self/status').read())\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True)
    assert "NoNewPrivs:\t1" in done.stdout


DROP_ROOT = """
import ctypes, os, sys, time
from bitlinkpay.signer import hardening
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
SIT = """
if sys.argv[1] == "hard":
    hardening.harden()
else:
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print("up", flush=True)
time.sleep(60)
"""
READ = """
try:
    open(f"/proc/{sys.argv[1]}/mem", "rb")
    print("open")
except PermissionError:
    print("closed")
"""


@pytest.mark.parametrize(("kind", "expected"), [("soft", "open"), ("hard", "closed")])
def test_PAY_40_another_process_of_the_same_user_cannot_read_it(kind: str, expected: str) -> None:
    """Sitter and reader are one unprivileged user: root is allowed everything."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if kind == "soft" and scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("this kernel closes every process by itself")
    command = [sys.executable, "-c", DROP_ROOT + SIT, kind]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reader = [sys.executable, "-c", DROP_ROOT + READ, str(process.pid)]
        found = subprocess.run(reader, env=environment(), capture_output=True, text=True, check=True).stdout.strip()
        process.kill()
    assert found == expected


def test_the_server_is_light(server: "subprocess.Popen[str]") -> None:
    assert resident_bytes(server) <= LIGHT


def test_the_server_imports_only_what_it_needs() -> None:
    probe = "import bitlinkpay.signer.server, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True)
    assert not {"asyncpg", "aiohttp", "litestar", "uvicorn", "jinja2", "pytoniq_core"} & set(done.stdout.split())


def test_sigterm_ends_it_cleanly(server: "subprocess.Popen[str]", folder: Path) -> None:
    server.terminate()
    _, error = server.communicate(timeout=20)
    assert (server.returncode, error) == (0, "")
    assert not (folder / protocol.SOCKET).exists()
    assert not service.status(folder).is_running


async def test_after_a_kill_it_starts_again(server: "subprocess.Popen[str]", folder: Path, start: Start) -> None:
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert (folder / protocol.SOCKET).exists()
    with pytest.raises(SignerUnreachable):
        await SignerClient(folder).status()
    again = start(folder)
    assert (await SignerClient(folder).status()).pid == again.pid


async def test_it_tells_its_supervisor_that_it_runs_from_the_one_thread_that_answers(standing: Standing) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    command = [sys.executable, "-m", "bitlinkpay.signer.server", "--dir", str(standing.folder.with_name("heard"))]
    service.init(standing.folder.with_name("heard"), standing.unlock, now=NOW)
    told = environment(BITLINKPAY_NOTIFY_FD=str(theirs.fileno()), WATCHDOG_USEC="40000")
    key = ("--key-file", str(standing.folder.with_name("signer.key")))
    with ours, theirs:
        ours.settimeout(60)
        process = subprocess.Popen([*command, *key], env=told, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE)
        words = [ours.recv(100) for _ in range(4)]
        threads = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
        process.terminate()
        assert process.communicate()[0] == b""
    assert sorted(words) == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert threads == 1


def test_a_second_server_on_one_folder_is_refused(
    server: "subprocess.Popen[str]", folder: Path, unlock: Unlock
) -> None:
    with pytest.raises(SignerBusy):
        run(folder, unlock, Notifier())
    assert service.status(folder).is_running


async def test_a_folder_deeper_than_a_socket_path_may_be(tmp_path: Path, unlock: Unlock, start: Start) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-folder-name"] * 5, "signer")
    ring = service.init(deep, unlock, now=NOW)
    start(deep)
    assert len(str(deep)) > 107
    assert (await SignerClient(deep).status()).fingerprint == ring.fingerprint
    assert service.status(deep).is_running


async def test_it_opens_under_a_passphrase_and_forgets_the_variable(tmp_path: Path, start: Start) -> None:
    ring = service.init(tmp_path / "s", from_passphrase("a long enough phrase"), now=NOW)
    process = start(tmp_path / "s", "--die-with-parent", **{PASSPHRASE_VARIABLE: "a long enough phrase"})
    assert (await SignerClient(tmp_path / "s").status()).fingerprint == ring.fingerprint
    assert resident_bytes(process) <= LIGHT


@pytest.mark.parametrize("problem", ["wrong key", "no key", "loose folder", "damaged", "nothing there"])
def test_PAY_41_it_does_not_start_on_wrong_keys(folder: Path, ring: KeyRing, tmp_path: Path, problem: str) -> None:
    create_key_file(tmp_path / "wrong.key")
    options, target, expected = ["--key-file", str(tmp_path / "signer.key")], folder, ""
    match problem:
        case "wrong key":
            options, expected = ["--key-file", str(tmp_path / "wrong.key")], "does not open"
        case "no key":
            options, expected = [], "name a key file"
        case "loose folder":
            folder.chmod(0o755)
            expected = "chmod"
        case "damaged":
            raw = (folder / service.SEED_FILE).read_bytes()
            (folder / service.SEED_FILE).write_bytes(raw.replace(b'"evm"', b"").replace(b'"salt":"', b'"salt":"AAAA'))
            expected = "damaged"
        case _:
            target, expected = tmp_path / "absent", "signer init"
    process = launch(target, *options)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    assert expected in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


async def test_nobody_answers_where_nothing_runs(folder: Path, ring: KeyRing) -> None:
    with pytest.raises(SignerUnreachable, match=r"signer\.sock"):
        await SignerClient(folder).keyring()


async def test_a_silent_server_times_out(folder: Path, ring: KeyRing) -> None:
    async def say_nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with await asyncio.start_unix_server(say_nothing, folder / protocol.SOCKET):
        with pytest.raises(SignerUnreachable, match="no answer in 1 s"):
            await SignerClient(folder, timeout_s=1).status()


@pytest.mark.parametrize("reply", [b"", framed(b"junk"), framed(b"\x81\xa4type\xa4seed"), b"\x00\x00"])
async def test_a_confused_server_is_an_error(folder: Path, ring: KeyRing, reply: bytes) -> None:
    async def confuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        writer.close()

    async with await asyncio.start_unix_server(confuse, folder / protocol.SOCKET):
        with pytest.raises(SignerUnreachable):
            await SignerClient(folder).status()


async def test_an_answer_to_another_question_is_an_error(folder: Path, ring: KeyRing) -> None:
    async def mix_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.encode_frame(protocol.PoolReply(())))
        writer.close()

    async with await asyncio.start_unix_server(mix_up, folder / protocol.SOCKET):
        with pytest.raises(SignerUnreachable, match="PoolReply"):
            await SignerClient(folder).keyring()


def test_a_key_file_of_another_folder_is_no_way_in(folder: Path, ring: KeyRing, tmp_path: Path) -> None:
    create_key_file(tmp_path / "other.key")
    service.init(tmp_path / "other", from_key_file(tmp_path / "other.key"), now=NOW)
    process = launch(folder, "--key-file", str(tmp_path / "other.key"))
    assert process.wait(timeout=30) == 1
    process.communicate()
