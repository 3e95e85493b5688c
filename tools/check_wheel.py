"""Build the wheel, install it into an empty environment, and let it run the demo there.

Usage: check_wheel.py [--keep FOLDER]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="copy the wheel here")
    keep = parser.parse_args().keep
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bitlinkpay-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(wheel, keep)
        program = install(folder, wheel)
        run([str(program), "demo", "--exit", "--data-dir", str(folder / "data")], cwd=folder)
    print(f"the wheel ran `bitlinkpay demo --exit` in an empty environment ({time.monotonic() - started:.0f} s)")


def build(folder: Path) -> Path:
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
            str(ROOT),
        ]
    )
    return next(folder.glob("bitlinkpay-*.whl"))


def install(folder: Path, wheel: Path) -> Path:
    env = folder / "env"
    venv.create(env, with_pip=False)
    # By the pip that we have, and compiled when it is first imported: most of what the packages bring never is.
    pip = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "install", "--no-compile", "--quiet"]
    run([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.txt")])
    run([*pip, "--disable-pip-version-check", "--no-deps", str(wheel)])
    return env / "bin" / "bitlinkpay"


def run(words: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(words, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
