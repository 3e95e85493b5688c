"""`make bench`: every benchmark, about seven minutes. `make bench ARGS="orders ledger"` runs some."""

import importlib
import subprocess
import sys

from bench.table import show

TABLES = ("orders", "deposits", "evm_scan", "evm_cost", "sweeps", "ton", "solana")
SCRIPTS = ("ledger", "callbacks", "tron_scan", "payouts", "envelope_oracle")

chosen = sys.argv[1:] or [*TABLES, *SCRIPTS[:4]]
for name in chosen:
    print(f"── {name}", flush=True)
    if name in TABLES:
        show(importlib.import_module(f"bench.{name}").main())
    else:
        subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)
