"""Install what tests run on loopback (EVM nodes, the TON virtual machine) and, on request, compile all contracts.

python tools/setup_nodes.py             install once; a second run sees that nothing changed and returns
python tools/setup_nodes.py --compile   write contracts.json and the shipped wallets.json again from their sources
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODES = ROOT / "tests" / "nodes"
EDR = NODES / "edr"
ARTEFACTS = NODES / "contracts.json"
BTCD = NODES / "bin" / "btcd"
BTCD_VERSION = "v0.26.2"
WALLETS = ROOT / "src" / "bitlinkpay" / "chains" / "evm" / "contracts" / "wallets.json"


def main() -> int:
    """Install, then compile if asked to."""
    if not install():
        return 1
    build_btcd()
    if "--compile" in sys.argv[1:]:
        ARTEFACTS.write_text(compile_contracts())
        WALLETS.write_text(compile_wallets())
        print(f"test nodes: wrote {ARTEFACTS.name} and {WALLETS.name}", flush=True)
    return 0


def install() -> bool:
    """Run npm where the lock file is not the one that was installed last; only EDR may be missing afterwards."""
    wanted = {
        folder: hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest() for folder in (NODES, EDR)
    }
    if all(_mark(folder).exists() and _mark(folder).read_text() == digest for folder, digest in wanted.items()):
        print("test nodes: up to date", flush=True)
        return True
    npm = shutil.which("npm")
    if npm is None:
        print("test nodes: npm is missing; install Node.js 20 or later with npm and try again", file=sys.stderr)
        return False
    print("test nodes: installing anvil, EDR, solc and the TON sandbox (npm, about 90 MB) ...", flush=True)
    command = [npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]
    if subprocess.run(command, cwd=NODES, check=False).returncode:
        print("test nodes: npm failed, see above", file=sys.stderr)
        return False
    if subprocess.run(command, cwd=EDR, check=False, stderr=subprocess.DEVNULL).returncode:
        print("test nodes: EDR is for Linux on x86-64 only, gas is measured on anvil alone", file=sys.stderr)
        (EDR / "node_modules").mkdir(exist_ok=True)
    for folder, digest in wanted.items():
        _mark(folder).write_text(digest)
    print("test nodes: ready", flush=True)
    return True


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()


def _mark(folder: Path) -> Path:
    return folder / "node_modules" / ".installed-for"


def build_btcd() -> None:
    """Build btcd unless this version was built before; its checksums are verified by the Go toolchain."""
    mark = BTCD.with_name(".built")
    if mark.exists() and mark.read_text() == BTCD_VERSION:
        return
    go = shutil.which("go")
    if go is None:
        print("test nodes: no Go toolchain, tests on btcd will be skipped", file=sys.stderr)
        return
    print("test nodes: building btcd (Go, about a minute) ...", flush=True)
    BTCD.parent.mkdir(exist_ok=True)
    target = f"github.com/btcsuite/btcd@{BTCD_VERSION}"
    environment = {**os.environ, "GOBIN": str(BTCD.parent)}
    done = subprocess.run([go, "install", target], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"test nodes: btcd could not be built, tests on it will be skipped\n{done.stderr[-500:]}", flush=True)
        return
    mark.write_text(BTCD_VERSION)


def compile_contracts() -> str:
    """Return, as JSON, the creation code of every test contract and its functions' selectors."""
    settings = {"optimizer": {"enabled": True, "runs": 200}}
    compiled = {
        name: {"code": "0x" + out["evm"]["bytecode"]["object"], "selectors": out["evm"]["methodIdentifiers"]}
        for name, out in _compile(NODES / "contracts", settings, ["evm.bytecode.object", "evm.methodIdentifiers"])
        if out["evm"]["bytecode"]["object"]
    }
    return json.dumps(dict(sorted(compiled.items())), indent=1, sort_keys=True) + "\n"


def compile_wallets() -> str:
    """Return, as JSON, both codes of the contracts that are shipped, and where their immutable values stand."""
    settings = {"optimizer": {"enabled": True, "runs": 200}, "viaIR": True, "evmVersion": "prague"}
    outputs = ["evm.bytecode.object", "evm.deployedBytecode", "evm.methodIdentifiers"]
    compiled = {
        name: {
            "creation": out["evm"]["bytecode"]["object"],
            "runtime": out["evm"]["deployedBytecode"]["object"],
            "immutables": [
                place["start"]
                for places in out["evm"]["deployedBytecode"].get("immutableReferences", {}).values()
                for place in places
            ],
            "selectors": out["evm"]["methodIdentifiers"],
        }
        for name, out in _compile(WALLETS.parent, settings, outputs)
        if out["evm"]["methodIdentifiers"]
    }
    return json.dumps(dict(sorted(compiled.items())), indent=1, sort_keys=True) + "\n"


def _compile(folder: Path, settings: dict[str, object], outputs: list[str]) -> list[tuple[str, dict]]:
    """Compile every source of a folder with the pinned compiler; return name and output of each contract."""
    request = {
        "language": "Solidity",
        "sources": {path.name: {"content": path.read_text()} for path in sorted(folder.glob("*.sol"))},
        "settings": {
            **settings,
            "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
            "outputSelection": {"*": {"*": outputs}},
        },
    }
    done = subprocess.run(
        [shutil.which("node") or "node", "node_modules/solc/solc.js", "--standard-json"],
        cwd=NODES,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    errors = [e["formattedMessage"] for e in answer.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise SystemExit("\n".join(errors))
    return [contract for unit in answer["contracts"].values() for contract in unit.items()]


if __name__ == "__main__":
    sys.exit(main())
