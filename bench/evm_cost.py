"""What payments and sweeps cost on chain, in gas per payment: batches against single transactions.

    python -m bench.evm_cost

The shipped signing on a real node: EDR where it is installed (Linux on x86-64), else anvil, which refunds too much for
authorizations of accounts that do not exist. The token is like the USDT of Ethereum, whose transfers cost a tenth more.
"""

import asyncio

from tests.chains.evm.gas import measure
from tests.nodes.anvil import Anvil
from tests.nodes.edr import Edr, is_installed

from bench.table import Row, show


async def rows() -> list[Row]:
    async with (Edr if is_installed() else Anvil).start() as node:
        name, gas = type(node).__name__, await measure(node)

    def row(title: str, what: str, against: str, target: float | None) -> Row:
        detail = f"{gas[what]:,.0f} gas against {gas[against]:,.0f} ({name})"
        return Row(title, gas[what] / gas[against], target, detail, at_least=False)

    return [
        row("USDT payout in a batch of 50, holders", "batch, existing", "single, existing", 0.30),
        row("USDT payout in a batch of 50, new", "batch, new", "single, new", None),
        row("first sweep of an address, batch of 50", "first sweep", "classic sweep", 0.60),
        row("repeated sweep of an address", "repeated sweep", "classic sweep", 0.25),
        row("setting a hot wallet up, once", "set-up", "single, new", None),
    ]


def main() -> list[Row]:
    return asyncio.run(rows())


if __name__ == "__main__":
    show(main())
