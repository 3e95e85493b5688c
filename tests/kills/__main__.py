"""Kill real processes of real deployments, on real PostgreSQL and one test network of each family.

`python -m tests.kills N=50 SEED=0 evm tron`: N kills in all, dealt out over the families named, all five by default.
`ENDPOINTS=3` puts so many between the deployment and its nodes, all in bad weather: late, lost, refused, stale, empty.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.siege import besiege
from tests.kills.towns import TOWNS

_DEFAULTS = (("N", "50"), ("SEED", "0"), ("ENDPOINTS", "0"))


def main(words: list[str]) -> int:
    """Besiege one family after the other; 1 where any of them lost or doubled anything."""
    options = dict(word.split("=", 1) for word in words if "=" in word)
    families = [word for word in words if "=" not in word] or list(TOWNS)
    kills, seed, endpoints = (int(options.get(name, default)) for name, default in _DEFAULTS)
    shares = [kills // len(families) + (place < kills % len(families)) for place in range(len(families))]
    failed = False
    for family, share in zip(families, shares, strict=True):
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bitlinkpay-kills-", ignore_cleanup_errors=True) as name:
            Path(name).chmod(0o711)
            try:
                toll = asyncio.run(besiege(family, share, seed, Path(name) / "data", endpoints))
            except AssertionError as error:
                failed = True
                sys.stdout.write(f"{family:8} FAILED: {error}\n")
                log = Path(name) / "data" / "serve.log"
                sys.stdout.write(log.read_text()[-3000:] if log.exists() else "")
            else:
                sys.stdout.write(f"{toll}; {time.monotonic() - started:.0f} s\n")
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
