"""A relay in a process of its own, to be killed: `python -m tests.webhooks.worker_process DSN SECRET`."""

import asyncio
import sys
from collections.abc import Mapping, Sequence

from bitlinkpay.core.clock import SystemClock
from bitlinkpay.core.ids import MerchantId
from bitlinkpay.db.pool import Database, Tx
from bitlinkpay.webhooks.policy import sandbox_policy
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.sender import Sender


async def main(dsn: str, secret: str) -> None:
    async def secrets_of(tx: Tx, merchants: Sequence[MerchantId]) -> Mapping[MerchantId, Sequence[str]]:
        del tx
        return dict.fromkeys(merchants, (secret,))

    database = await Database.connect(dsn)
    await Relay(database, Sender(sandbox_policy()), secrets_of, clock=SystemClock()).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
