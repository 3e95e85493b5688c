"""Install what tests run on loopback (a real EVM node) and, on request, compile the test contracts.

python tools/setup_nodes.py             install once; a second run sees that nothing changed and returns
python tools/setup_nodes.py --compile   write tests/nodes/contracts.json again from the Solidity sources
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

NODES = Path(__file__).resolve().parent.parent / "tests" / "nodes"
MARK = NODES / "node_modules" / ".installed-for"
ARTEFACTS = NODES / "contracts.json"


def main() -> int:
    """Install, then compile if asked to."""
    if not install():
        return 1
    if "--compile" in sys.argv[1:]:
        ARTEFACTS.write_text(compile_contracts())
        print(f"test nodes: wrote {ARTEFACTS.name}", flush=True)
    return 0


def install() -> bool:
    """Run npm unless the lock file is the one that was installed last."""
    wanted = hashlib.sha256((NODES / "package-lock.json").read_bytes()).hexdigest()
    if MARK.exists() and MARK.read_text() == wanted:
        print("test nodes: up to date", flush=True)
        return True
    npm = shutil.which("npm")
    if npm is None:
        print("test nodes: npm is missing; install Node.js 20 or later with npm and try again", file=sys.stderr)
        return False
    print("test nodes: installing anvil and solc (npm, about 20 MB) ...", flush=True)
    command = [npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]
    done = subprocess.run(command, cwd=NODES, check=False)
    if done.returncode:
        print("test nodes: npm failed, see above", file=sys.stderr)
        return False
    MARK.write_text(wanted)
    print("test nodes: ready", flush=True)
    return True


def compile_contracts() -> str:
    """Return, as JSON, the creation code of every contract and its constructor's and functions' selectors."""
    sources = {path.name: {"content": path.read_text()} for path in sorted((NODES / "contracts").glob("*.sol"))}
    request = {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "optimizer": {"enabled": True, "runs": 200},
            "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
            "outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.methodIdentifiers"]}},
        },
    }
    node = shutil.which("node") or "node"
    done = subprocess.run(
        [node, "node_modules/solc/solc.js", "--standard-json"],
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
    compiled = {
        name: {"code": "0x" + out["evm"]["bytecode"]["object"], "selectors": out["evm"]["methodIdentifiers"]}
        for unit in answer["contracts"].values()
        for name, out in unit.items()
        if out["evm"]["bytecode"]["object"]
    }
    return json.dumps(dict(sorted(compiled.items())), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
