"""The world outside: blocks, forks, mempools that forget, time, a signer that is away."""

from collections.abc import Mapping
from datetime import timedelta

from tests.crashes.flow import Act, Loop
from tests.crashes.stage import CALM, Process, Stage

from bitlinkpay.chains.outgoing import Signed
from bitlinkpay.sandbox.mempool.store import fail_waiting
from bitlinkpay.sandbox.model import Fork
from bitlinkpay.sandbox.store import drop_waiting
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

_WAITS = (1, 25, 200, 400, 4_000)  # seconds: nothing, a lease or a resend, an outbidding, a loss, an expired intent

# The lane's numbers in order, each with the id that holds it and whether a node knows that one, and in which block.
_SLOTS = """
    select s.number, s.txid, t.txid is not null as is_known, t.height from sim_slots s
    left join lateral (select * from sim_transfers where network = s.network and txid = s.txid limit 1) t on true
    where s.network = $1 and s.payer = $2 and s.number >= $3 order by s.number
"""

# The versions of our oldest transaction that waits.
_VERSIONS = """
    select a.txid, a.raw from transaction_attempts a where a.txid <> '' and a.transaction_id = (
        select t.transaction_id from transactions t where t.network = $1 and t.state = 'broadcast' order by t.number limit 1)
    order by a.number
"""


class Chains:
    """`Flow` of what nobody of us decides."""

    WEIGHTS: Mapping[str, int] = {
        "mine": 3,
        "fork": 4,
        "forget": 3,
        "revert": 3,
        "remember": 2,
        "wait": 3,
        "signer": 1,
        "lists": 1,
    }

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    async def mine(self, act: Act) -> str:
        blocks = act.dice().randint(1, 4)
        await self.stage.world.mine(self.stage.network, blocks)
        return str(blocks)

    async def fork(self, act: Act) -> str:
        """Replace blocks that are not final, often one that a worker has just seen; what was built on them is gone."""
        dice, stage = act.dice(), self.stage
        if dice.randrange(3):
            await self._waiting()
            await stage.world.mine(stage.network, 1)
            await stage.work(0, "pay", CALM)
        depth = dice.randint(1, stage.world.registry.networks[stage.network].sandbox_lag)
        fork = dice.choice(list(Fork))
        await stage.world.reorg(stage.network, depth, fork)
        return f"{depth} {fork}, {await self._forget_successors()} gone"

    async def forget(self, act: Act) -> str:
        """Let every node forget one of our waiting transactions, and those behind it."""
        waiting = await self._waiting()
        if not waiting:
            return "nothing waits"
        async with self.stage.world.database.transaction() as tx:
            await drop_waiting(tx, self.stage.network, act.dice().choice(waiting))
        return f"{1 + await self._forget_successors()} gone"

    async def revert(self, act: Act) -> str:
        """Let one of our waiting transactions do nothing but cost."""
        waiting = await self._waiting()
        if not waiting:
            return "nothing waits"
        async with self.stage.world.database.transaction() as tx:
            await fail_waiting(tx, self.stage.network, act.dice().choice(waiting))
        return "one"

    async def remember(self, act: Act) -> str:
        """Let a worker outbid a transaction, and the nodes forget the new version and come back with the first."""
        stage = self.stage
        await self._waiting()
        await stage.cashier.pass_time(timedelta(seconds=200))
        await stage.work(0, "pay", CALM)
        versions = await stage.world.rows(_VERSIONS, stage.network)
        if len(versions) < 2:
            return "nothing was outbid"
        network = stage.world.registry.networks[stage.network]
        async with stage.world.database.transaction() as tx:
            await stage.world.sandbox.forget(tx, network.id, str(versions[-1][0]))
        await self._forget_successors()
        await stage.cashier.sender(network.id).broadcast(Signed(*versions[0]))  # type: ignore[arg-type]
        return f"{len(versions)} versions, {await stage.work(1, 'pay', act)}"

    async def wait(self, act: Act) -> str:
        """Let time pass, often over a transaction that waits, and a worker look at it."""
        dice = act.dice()
        seconds, is_watched = dice.choice(_WAITS), dice.randrange(3)
        if is_watched:
            await self._waiting()
        await self.stage.cashier.pass_time(timedelta(seconds=seconds))
        return f"{seconds} s, {await self.stage.work(0, 'pay', act) if is_watched else 'nobody looks'}"

    async def signer(self, act: Act) -> str:
        keeper = self.stage.keeper
        match act.dice().randrange(3):
            case 0:
                keeper.is_away = not keeper.is_away
            case 1:
                keeper.refusal = "" if keeper.refusal else "not now"
            case _:
                keeper.die()
        return f"away {keeper.is_away}, refuses {bool(keeper.refusal)}"

    async def lists(self, act: Act) -> str:
        del act
        lists = self.stage.world.lists
        lists.is_down = not lists.is_down
        return f"down {lists.is_down}"

    async def settle(self) -> None:
        """Nothing is undecided out there."""

    async def account(self) -> int:
        """Numbers without a gap: each one of the lane is held by exactly one transaction in a block."""
        slots = await self._slots()
        assert [number for number, *_ in slots] == list(range(self.stage.first, self.stage.first + len(slots))), "a gap"
        assert all(height is not None for *_, height in slots), "a number that no block holds"
        return 0

    async def _slots(self) -> list[tuple[int, bytes, bool, int | None]]:
        stage = self.stage
        payer = stage.cashier.hot(stage.network).address
        return await stage.world.rows(_SLOTS, stage.network, payer, self.stage.first)  # type: ignore[return-value]

    async def _waiting(self) -> list[bytes]:
        """Return the ids of ours that wait for a block; where none does, a worker may send one first."""
        for _ in range(2):
            waiting = [txid for _, txid, is_known, height in await self._slots() if is_known and height is None]
            if waiting:
                return waiting
            await self.stage.work(0, "pay", CALM)
        return []

    async def _forget_successors(self) -> int:
        gone, is_broken = 0, False
        for _, txid, is_known, height in await self._slots():
            is_broken = is_broken or not is_known
            if is_broken and is_known:
                assert height is None, "a block without the one before"
                async with self.stage.world.database.transaction() as tx:
                    await drop_waiting(tx, self.stage.network, txid)
                gone += 1
        return gone
