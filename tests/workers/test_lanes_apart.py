"""One lane that cannot work stops none of the others of its network, and goes on when it can."""

import logging
from dataclasses import dataclass, field, replace

import pytest
from tests.sending.test_looking import parts_of
from tests.sending.test_queue import HOT, sending
from tests.sending.test_stores import queue

from bitlinkpay.chains.base import ChainError
from bitlinkpay.chains.outgoing import KeyRole, Lane, Wallet
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.simulated_sender import SimulatedSender
from bitlinkpay.core.errors import Unavailable
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.parts import LaneParts
from bitlinkpay.workers import payer as payer_module
from bitlinkpay.workers.payer import Payer

SECOND = Wallet(KeyRole.HOT, 1, "hot-1")
POOR = "the wallet holds too little of the asset, or of the network's coin"


@dataclass
class Opening:
    """What a network says of wallets: nothing about some, and that the others stand at number 4."""

    silent: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def sender(self, parts: LaneParts[SimulatedPlan]) -> "Partly":
        made = Partly.__new__(Partly)
        made.__dict__.update(parts.sender.__dict__, opening=self)
        return made


class Partly(SimulatedSender):
    """A network that answers about some wallets only."""

    opening: Opening

    async def lane(self, payer: Wallet) -> Lane:
        self.opening.asked.append(payer.address)
        if payer.address in self.opening.silent:
            raise self.opening.silent[payer.address]
        return Lane(final_number=4, next_number=4, is_ready=True)


def payer_on(database: Database, opening: Opening) -> Payer[SimulatedPlan]:
    parts = parts_of(database)
    return Payer(replace(parts, sender=opening.sender(parts)))


async def lanes_of(database: Database) -> list[tuple[str, int]]:
    async with database.reader() as tx:
        rows = await tx.fetch("select payer, next_number from lanes order by payer")
    return [tuple(row) for row in rows]


async def reasons(database: Database) -> dict[str, str]:
    async with database.reader() as tx:
        return {row["payer"]: row["reason"] for row in await tx.fetch("select payer, reason from sendings")}


@pytest.mark.parametrize("failure", [ChainError("no answer"), Unavailable("the database is away")])
async def test_the_others_go_on_and_the_failed_one_is_told(
    database: Database, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await queue(database, sending(1), replace(sending(2), payer=SECOND))
    opening = Opening({HOT.address: failure})
    payer = payer_on(database, opening)
    with caplog.at_level(logging.WARNING, payer_module.__name__):
        assert not await payer.step()
    assert await lanes_of(database) == [(SECOND.address, 4)]
    assert await reasons(database) == {HOT.address: "", SECOND.address: POOR}
    (record,) = [record for record in caplog.records if record.name == payer_module.__name__]
    assert record.getMessage() == f"ethereum: lane of {HOT.address}: {failure}"
    opening.silent.clear()
    await payer.step()
    assert await lanes_of(database) == [(HOT.address, 4), (SECOND.address, 4)]
    assert await reasons(database) == {HOT.address: POOR, SECOND.address: POOR}


async def test_what_nobody_foresaw_is_not_swallowed(database: Database) -> None:
    await queue(database, sending(1))
    with pytest.raises(RuntimeError, match="a broken belief"):
        await payer_on(database, Opening({HOT.address: RuntimeError("a broken belief")})).step()


async def test_where_nothing_is_queued_nobody_is_asked(database: Database) -> None:
    opening = Opening()
    assert not await payer_on(database, opening).step()
    assert (opening.asked, await lanes_of(database)) == ([], [])


async def test_of_two_payers_one_has_the_lane_and_the_other_leaves_it_alone(database: Database) -> None:
    await queue(database, sending(1))
    first, second = Opening(), Opening()
    await payer_on(database, first).step()
    assert await reasons(database) == {HOT.address: POOR}
    await queue(database, sending(3))
    assert not await payer_on(database, second).step()
    assert second.asked == [], "it sees that another one holds the lane before it asks the network"
