"""The policy file that a new signer gets: a sandbox's works at once, a live one allows nothing until it is edited."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bitlinkpay.core.mode import Mode
from bitlinkpay.signer.files import write_new
from bitlinkpay.signer.policy.file import POLICY_FILE

_SANDBOX: Final = """\
# What this signer may sign. It is read at the signer's start; see docs/operations.md, "The signer's policy".
mode = "sandbox"                # simulated networks only; what is not named here has a sandbox's defaults
registry_files = {files}
"""

_LIVE: Final = """\
# What this signer may sign. It is read at the signer's start; see docs/operations.md, "The signer's policy".
# What is not named here is refused. Amounts are in whole coins.
mode = "live"
registry_files = {files}             # your own networks and tokens, as in bitlinkpay.toml
purposes = []                   # of "payout", "sweep", "gas", "cold", "consolidation", "setup", "cancel",
                                # and for TRON "lend", "recall"

[caps]                          # what leaves without a person's approval: in one payment, in an hour, in a day
# usdt-ethereum = {{ payment = "1000", hour = "5000", day = "20000" }}

[fees]                          # what a network may take: for one transaction, in a day, in its own coin
# ethereum = {{ most = "0.02", day = "1" }}

[operators]                     # who may approve more: keys as `bitlinkpay approve keygen` prints them
# alice = "64 hex digits"

[cold]                          # once set, a change needs two operators and 48 hours
serial = 1
[cold.addresses]
# usdt-ethereum = "0x…"
[cold.signatures]
# alice = "128 hex digits, as `bitlinkpay approve cold` prints them"
"""


def write_template(folder: Path, mode: Mode, registry_files: Sequence[Path] = ()) -> bool:
    """Write the policy of a new signer, mode 0600; return False where there is one already."""
    path = folder / POLICY_FILE
    if path.exists():
        return False
    files = json.dumps([str(file.absolute()) for file in registry_files])
    template = _SANDBOX if mode is Mode.SANDBOX else _LIVE
    write_new(path, template.format(files=files).encode())
    return True
