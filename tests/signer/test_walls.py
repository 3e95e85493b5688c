"""Who may know what: no package can be added outside of the walls around private keys."""

import tomllib
from pathlib import Path

import bitlinkpay

ROOT = Path(bitlinkpay.__file__).parent
CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
HOLDERS = {"signer", "cli", "demo"}  # the signer itself; programs that start it, and the operator's own commands


def packages() -> set[str]:
    return {path.stem for path in ROOT.iterdir() if (path.is_dir() and path.name[0] != "_") or path.suffix == ".py"} - {
        "__init__"
    }


def test_PAY_40_every_package_but_the_signer_is_kept_from_private_keys() -> None:
    walled = {
        name.removeprefix("bitlinkpay.") for name in CONTRACTS["private keys live in the signer only"]["source_modules"]
    }
    assert walled == packages() - HOLDERS


def test_PAY_40_every_module_that_touches_private_keys_is_behind_the_wall() -> None:
    """A new module of the signer that imports a key library, or another such module, must be named in the contract."""
    forbidden = set(CONTRACTS["private keys live in the signer only"]["forbidden_modules"])
    libraries = {name for name in forbidden if not name.startswith("bitlinkpay.")}
    assert {"eth_account", "nacl", "slip10"} <= libraries
    for path in (ROOT / "signer").rglob("*.py"):
        module = "bitlinkpay." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        text = path.read_text()
        if any(f"\nfrom {library}" in text or f"\nimport {library}" in text for library in libraries):
            assert any(module == name or module.startswith(f"{name}.") for name in forbidden), module


def test_the_signer_is_kept_from_networks_and_databases() -> None:
    contract = CONTRACTS["the signer speaks to nobody but who asks it"]
    assert contract["source_modules"] == ["bitlinkpay.signer"]
    assert {"aiohttp", "asyncpg", "bitlinkpay.db", "bitlinkpay.chains.transport"} <= set(contract["forbidden_modules"])
    assert "allow_indirect_imports" not in contract
