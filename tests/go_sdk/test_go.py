"""Go programs against the running merchant API: one of our own on Go's crypto, and the public SDK where it can be had.

`WM_SDK_DIR` is the absolute path of a local copy of the SDK for machines whose module proxy does not serve it.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.web.wm.platform import MerchantApi

FOLDER = Path(__file__).parent
SDK = "github.com/wmwallet/wm-wallet-sdk"
NO_GO = "Go is not installed: its TLS and envelope were not tried against our server"

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason=NO_GO)


async def run(*command: str, folder: Path, environment: dict[str, str] | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "GOFLAGS": "-mod=mod", **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def build(name: str, folder: Path) -> Path:
    source = folder / name
    if not source.exists():
        shutil.copytree(FOLDER / name, source)
    code, out = await run("go", "build", "-o", "program", ".", folder=source)
    assert code == 0, out
    return source / "program"


async def environment_of(api: MerchantApi, folder: Path) -> dict[str, str]:
    mine, other = await api.merchant("Mine", rate_per_minute=1_000_000), await api.merchant("Other")
    wrong = folder / "wrong_public_key.pem"
    stranger = generate_private_key(public_exponent=65537, key_size=2048).public_key()
    wrong.write_bytes(stranger.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    found = {
        "WM_URL": api.url,
        "WM_PLAIN_URL": api.plain_url,
        "WM_BROKER": mine.broker,
        "WM_WRONG_PUBLIC_KEY": str(wrong),
        "WM_CALLBACK_URL": "https://merchant.example/callback",
    }
    for prefix, merchant in (("WM", mine), ("WM_OTHER", other)):
        files = merchant.files
        found |= {f"{prefix}_CA": str(files.ca), f"{prefix}_CERT": str(files.cert), f"{prefix}_KEY": str(files.key)}
        found[f"{prefix}_PUBLIC_KEY"] = str(files.public_key)
    return found


@needs_go
async def test_API_43_gos_own_tls_and_crypto_speak_the_protocol(api: MerchantApi, tmp_path: Path) -> None:
    program = await build("handmade", tmp_path)
    code, out = await run(str(program), folder=tmp_path, environment=await environment_of(api, tmp_path))
    sys.stdout.write(out)
    assert code == 0, out
    assert out.count("ok   ") >= 20
    assert "FAIL" not in out


async def fetch_sdk(folder: Path) -> str:
    """Make the SDK buildable in `folder`: a local copy, or what Go's own client fetches. Returns why not, or ""."""
    local = os.environ.get("WM_SDK_DIR")
    if local:
        await run("go", "mod", "edit", f"-replace={SDK}={local}", folder=folder)
    else:
        code, out = await run("go", "get", f"{SDK}@latest", folder=folder)
        if code != 0:
            return out.strip().splitlines()[-1]
    code, out = await run("go", "mod", "tidy", folder=folder)
    return "" if code == 0 else out.strip().splitlines()[-1]


@needs_go
async def test_API_43_the_public_go_sdk_unmodified(api: MerchantApi, tmp_path: Path) -> None:
    source = tmp_path / "sdk"
    shutil.copytree(FOLDER / "sdk", source)
    why_not = await fetch_sdk(source)
    if why_not:
        pytest.skip(f"{SDK} cannot be fetched with Go's own client: {why_not}")
    program = await build("sdk", tmp_path)
    code, out = await run(str(program), folder=tmp_path, environment=await environment_of(api, tmp_path))
    sys.stdout.write(out)
    assert code == 0, out
    assert out.count("ok   ") >= 30
    assert "FAIL" not in out
