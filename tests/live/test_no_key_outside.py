"""PAY-40 on a running deployment that has taken orders and paid out: no key but in the signer.

Looked at: memory, open files, environment and loaded libraries of supervisor, API, worker and database; the database's
dump, all of its files and its log; every file of the data folder but the sealed seed and its key; all logs.
"""

import asyncio
import base64
import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import base58
import pytest
from tests.support.live import Live, Receiver, children, eventually
from tests.support.server import free_port

from bitlinkpay.chains.outgoing import KeyRole
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.core.assets import Family
from bitlinkpay.db.binaries import find_binaries
from bitlinkpay.signer import service
from bitlinkpay.signer.audit.events import Issued
from bitlinkpay.signer.audit.files import read_all
from bitlinkpay.signer.hd import secp256k1_master
from bitlinkpay.signer.keys import SECP256K1_PATHS, SolanaBranch, account_path, recover_private_key
from bitlinkpay.signer.sealing import from_key_file
from bitlinkpay.wm.bodies import CreateOrder, Withdraw

REGISTRY = load_registry()
PAYEE = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"
BLANK = bytes(4096)
PASSWORDLESS = {"PATH": os.environ["PATH"], "LANG": "C"}


@asynccontextmanager
async def sandbox(folder: Path) -> AsyncIterator[Live]:
    """A whole deployment on simulated networks."""
    receiver = Receiver()
    await receiver.start()
    (folder / "bitlinkpay.toml").write_text('mode = "sandbox"\n[sandbox]\nblock_s = 1\n')
    live = Live(folder, (free_port(), free_port()), receiver, None)  # type: ignore[arg-type]
    words = ["serve", "--wm-port", str(live.ports[0]), "--web-port", str(live.ports[1]), "--data-dir", str(folder)]
    live.server = subprocess.Popen(
        [sys.executable, "-m", "bitlinkpay.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=(folder / "serve.log").open("a"),
        text=True,
    )
    try:
        assert await asyncio.to_thread(lambda: any(line.strip() == "ready" for line in live.server.stdout))
        url = f"http://127.0.0.1:{receiver.port}/callback"
        live.merchant = await live.command(
            "merchant", "create", "Shop", "--out", str(folder / "shop"), "--callback-url", url
        )
        receiver.secret = live.merchant["webhook_secret"]
        yield live
    finally:
        live.server.terminate()
        await asyncio.to_thread(live.server.communicate, timeout=60)
        await receiver.stop()


async def do_business(live: Live) -> None:
    """Take an order on each family, be paid on one, pay out on it: every key has had its chance to leak."""
    for asset in ("usdt-ethereum", "usdt-tron", "btc-bitcoin", "usdt-solana", "usdt-ton"):
        await ask(live, f"order {asset}", asset)
    await ask(live, "paid", "usdt-tron")
    await live.command("sandbox", "pay", "paid")
    await live.until("paid", state="paid")
    for asset, amount in (("usdt-tron", "1000"), ("trx-tron", "1000")):
        await live.command("sandbox", "fund", asset, amount)
    for money in await eventually(lambda: live.command("treasury", "unclaimed"), lambda found: len(found) == 2):
        await live.command("treasury", "claim", money["id"])
    tron = REGISTRY.networks["tron"].wm_chain_id
    async with live.client() as client:
        await client.withdraw(Withdraw("out", tron, REGISTRY.assets["usdt-tron"].wm_coin_id, PAYEE, Decimal(10)))

    async def signed() -> bool:
        return any(isinstance(r.event, Issued) for r in read_all(live.folder / "signer" / "audit"))

    assert await eventually(signed, bool)


async def ask(live: Live, source_id: str, asset_id: str) -> None:
    asset = REGISTRY.assets[asset_id]
    chain_id = REGISTRY.networks[asset.network].wm_chain_id
    async with live.client() as client:
        await client.create_order(
            CreateOrder(source_id, chain_id, asset.wm_coin_id, Decimal(720), f"{asset.symbol}/CNY")
        )


def secrets_of(folder: Path) -> Mapping[str, bytes]:
    """Every secret of the signer, by name, as raw bytes."""
    unlock = from_key_file(folder / "signer.key")
    seed = service.open_seed(folder / "signer", unlock).seed
    master, branch = secp256k1_master(seed), SolanaBranch.of(seed)
    found = {
        "seed, first half": seed[:32],
        "seed, second half": seed[32:],
        "master": master.get_privkey_from_path("m"),
        "solana branch": branch.key,
        "signer.key": bytes.fromhex((folder / "signer.key").read_text().strip()),
    }
    for (family, testnet), coin in SECP256K1_PATHS.items():
        for role in KeyRole:
            found[f"{family} {testnet} {role} account"] = master.get_privkey_from_path(account_path(coin, role))
    for family in Family:
        for role in KeyRole:
            for index in (0, 1):
                found[f"{family} {role} {index}"] = recover_private_key(seed, family, index, role=role)
    return found


@functools.cache
def spellings(secret: bytes) -> tuple[bytes, ...]:
    """The usual forms of a key; its hex alone finds `0x…` too, and WIF is base58 of more than the key."""
    return (
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base58.b58encode(secret),
        base58.b58encode_check(b"\x80" + secret + b"\x01"),
        base64.b64encode(secret).rstrip(b"=")[:-1],  # the last character depends on what follows
        secret[::-1],
    )


def found_in(content: bytes, secrets: Mapping[str, bytes]) -> set[str]:
    return {name for name, secret in secrets.items() if any(form in content for form in spellings(secret))}


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything that a process can write to: heap, stacks, arenas, shared memory, data of libraries."""
    process = Path(f"/proc/{pid}")
    with (process / "maps").open() as maps, (process / "mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            first, last = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw"):
                continue
            memory.seek(first)
            try:
                yield without_blank_pages(memory.read(last - first))
            except OSError:  # a page that the kernel keeps to itself
                continue


def without_blank_pages(content: bytes) -> bytes:
    """Leave out pages that nobody ever wrote to, most of a database's shared memory."""
    pages = (content[at : at + len(BLANK)] for at in range(0, len(content), len(BLANK)))
    return b"".join(page for page in pages if page != BLANK)


def everybody(pid: int) -> list[int]:
    """A process and all that came from it."""
    return [pid, *(below for child in children(pid) for below in everybody(child))]


@pytest.mark.timeout(400)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of other processes")
async def test_PAY_40_no_key_in_memory_files_database_or_logs_of_anybody_but_the_signer(open_folder: Path) -> None:
    async with sandbox(open_folder) as live:
        await do_business(live)
        secrets, pids = secrets_of(live.folder), live.pids()
        others = [pid for pid in everybody(live.server.pid) if pid != pids["signer"]]
        assert {pids["supervisor"], pids["worker"], pids["api"], pids["postgres"]} <= set(others)

        # The search finds what is there: the signer's own memory holds its branches, the worker's the public address.
        assert "solana branch" in {name for part in memory_of(pids["signer"]) for name in found_in(part, secrets)}
        hot = await live.command("treasury", "status")
        assert any(PAYEE.encode() in part for part in memory_of(pids["worker"])), hot

        searched: set[bytes] = set()  # PostgreSQL's processes share most of what they can write to
        for pid in others:
            fresh = {hashlib.sha256(part).digest(): part for part in memory_of(pid)}
            leaked = {name for key in fresh.keys() - searched for name in found_in(fresh[key], secrets)}
            searched |= fresh.keys()
            assert not leaked, f"{Path(f'/proc/{pid}/cmdline').read_bytes()!r} holds {leaked}"
            check_open_files_and_libraries(pid, live.folder)
        check_files(live.folder, secrets)
        check_dump(live.folder, secrets)


def check_open_files_and_libraries(pid: int, folder: Path) -> None:
    links = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    assert not {link for link in links if link.startswith((str(folder / "signer/"), str(folder / "signer.key")))}
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert not {name for name in ("_sodium", "/nacl/", "/eth_keys/", "/ckzg") if name in maps}
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PASSPHRASE" not in environment


def check_files(folder: Path, secrets: Mapping[str, bytes]) -> None:
    """Read the whole data folder, the cluster's tables, log and WAL included."""
    postgres = folder / "postgres"
    elsewhere = postgres / "elsewhere"
    roots = [folder, *([Path(elsewhere.read_text().strip())] if elsewhere.exists() else [])]
    holders = {folder / "signer.key"}
    seen = 0
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in holders:
                seen += 1
                leaked = found_in(path.read_bytes(), secrets)
                assert not leaked, f"{path} holds {leaked}"
    assert seen > 100


def check_dump(folder: Path, secrets: Mapping[str, bytes]) -> None:
    elsewhere = folder / "postgres" / "elsewhere"
    home = Path(elsewhere.read_text().strip()) if elsewhere.exists() else folder / "postgres"
    words = [
        str(find_binaries().program("pg_dump")),
        "-h",
        str(home / "socket"),
        "-U",
        "bitlinkpay_owner",
        "bitlinkpay",
    ]
    done = subprocess.run(words, capture_output=True, check=True, env=PASSWORDLESS)
    assert PAYEE.encode() in done.stdout
    assert not found_in(done.stdout, secrets)


@pytest.mark.parametrize("program", ["api", "worker", "migrate", "order", "payout"])
def test_PAY_40_no_program_but_the_signer_s_imports_what_makes_or_opens_keys(program: str) -> None:
    """What `bitlinkpay PROGRAM` has in memory once it runs, before it is given anything."""
    probe = f"import bitlinkpay.cli.{program}, bitlinkpay.app.api, bitlinkpay.app.worker, sys; print(*sys.modules)"
    if program in {"order", "migrate"}:
        probe = f"import bitlinkpay.cli.{program}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    keys = {"nacl", "slip10", "eth_account", "eth_keys"}
    ours = {f"bitlinkpay.signer.{name}" for name in ("keys", "vault", "sealing", "server", "service", "hd", "families")}
    assert not loaded & (keys | ours)


def test_the_search_finds_every_form_of_a_key() -> None:
    secret = bytes(range(1, 33))
    for form in (
        secret,
        b"0x" + secret.hex().encode(),
        secret.hex().upper().encode(),
        base58.b58encode(secret),
        base58.b58encode_check(b"\x80" + secret + b"\x01"),
        base64.b64encode(secret),
        base64.b64encode(secret + b"more"),
        secret[::-1],
    ):
        assert found_in(b"before " + form + b" after", {"key": secret}) == {"key"}
    assert not found_in(b"before " + secret[:31] + b"\x00 after", {"key": secret})
