"""Odd money that goes back: asked for by its merchant or by our people, confirmed, called back, failed and asked for again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from tests.crashes.faults import Fuse
from tests.crashes.flow import Act, Loop
from tests.crashes.flows.orders import Orders
from tests.crashes.flows.payouts import ENDS, payouts_on
from tests.crashes.stage import CALM, Process, Stage, text_of
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.address import show_address
from bitlinkpay.chains.simulated_format import address_from, read_txid
from bitlinkpay.core.errors import Problem, Unavailable
from bitlinkpay.db.driver import Tx
from bitlinkpay.deposits.model import Deposit
from bitlinkpay.ledger import accounts
from bitlinkpay.payouts import store
from bitlinkpay.payouts.model import Payout, PayoutKind, PayoutState
from bitlinkpay.payouts.service import Payouts as Service
from bitlinkpay.sandbox.mempool.store import fail_waiting
from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner

ASKED, CAME = "3", "0.9"
MAKER, OTHER = "operator", "another"


@dataclass
class Claim:
    """A request for a refund as whoever made it knows it: without an answer it is made again, in the same words."""

    target: str
    maker: str
    payout: Payout | None = None
    refusal: str = ""

    @property
    def is_answered(self) -> bool:
        return self.payout is not None or bool(self.refusal)


@dataclass
class Odd:
    """Money that was too little for its order, and everybody who wanted it back."""

    deposit: Deposit
    claims: list[Claim] = field(default_factory=list)


class Refunds:
    """`Flow` of refunds."""

    WEIGHTS: Mapping[str, int] = {"refund": 2, "confirm": 2, "revoke": 2, "bounce": 1}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.odd: list[Odd] = []

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    # --- what people do ----------------------------------------------------------------------------------------------

    async def refund(self, act: Act) -> str:
        """Odd money comes and is wanted back, or what came before is wanted once more: as before, or somewhere else."""
        dice = act.dice()
        if self.odd and dice.randrange(2):
            odd = self.odd[-1]
            claim = odd.claims[-1] if dice.randrange(2) else self._claim(odd, "")
            return await self._serve(act, lambda fuse: self._ask(odd, claim, fuse))
        order = await self.stage.flow(Orders).earn(ASKED, CAME)
        found = [one for one in await self.stage.world.deposits(order) if one.state == "unassigned"]
        if not found:
            return "it is not screened yet"
        self.odd.append(Odd(found[0]))
        claim = self._claim(self.odd[-1], dice.choice(("", MAKER)))
        return await self._serve(act, lambda fuse: self._ask(self.odd[-1], claim, fuse))

    async def confirm(self, act: Act) -> str:
        """The merchant says where the oldest refund goes that waits for its word; sometimes it names another address."""
        dice = act.dice()
        if not self.odd:
            await self.refund(replace(act, place=0))
        waiting = await self._waiting()
        if not waiting:
            return "nothing waits"
        address = waiting[0].target if dice.randrange(4) else self._address("elsewhere")
        is_told = bool(dice.randrange(2))  # by the merchant to one of our people

        async def answer(fuse: Fuse) -> str:
            return await self._confirm(waiting[0], address, OTHER if is_told else "", fuse)

        return await self._serve(act, answer)

    async def revoke(self, act: Act) -> str:
        """The merchant calls the newest refund back, or a person rejects it, often when a worker was just about to send it."""
        dice = act.dice()
        if not self.odd:
            await self.refund(replace(act, place=0))
        payouts = await self._payouts()
        if not payouts:
            return "nothing was asked"
        if dice.randrange(2):
            await self.stage.work(1, "pay", act)
        rejects = bool(dice.randrange(2))

        async def answer(fuse: Fuse) -> str:
            return await self._revoke(payouts[-1], fuse, rejects=rejects)

        return await self._serve(act, answer)

    async def bounce(self, act: Act) -> str:
        """The newest refund's transaction takes no effect, a worker sees it, and the money is wanted once more."""
        stage, calm = self.stage, replace(act, place=0)
        if not self.odd:
            await self.refund(calm)
        await self.settle()
        await stage.work(0, "pay", CALM)
        sent = [payout.txid for payout in await self._payouts() if payout.txid and not payout.has_ended]
        if not sent:
            return "nothing is on its way"
        digest = read_txid(REGISTRY.networks[stage.network].family, sent[-1])
        assert digest is not None
        async with stage.world.database.transaction() as tx:
            await fail_waiting(tx, stage.network, digest)
        await stage.world.mine(stage.network, REGISTRY.networks[stage.network].sandbox_lag + 1)
        told, odd = await stage.work(0, "pay", act), self.odd[-1]
        return f"{told}; {await self._serve(calm, lambda fuse: self._ask(odd, odd.claims[-1], fuse))}"

    # --- how it ends -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Everybody gets an answer, and every address its confirmation."""
        for odd in self.odd:
            for claim in odd.claims:
                if not claim.is_answered:
                    await self._ask(odd, claim, Fuse())
                    assert claim.is_answered, "a merchant who gets no answer"
        for payout in await self._waiting():
            await self._confirm(payout, payout.target, "", Fuse())

    async def account(self) -> int:
        """What came goes back once, all of it and no more, or is odd money again; none of it touches the balance."""
        for odd in self.odd:
            await self._account_for(odd, await self._payouts(odd))
        return 0

    async def _account_for(self, odd: Odd, payouts: list[Payout]) -> None:
        world, asset = self.stage.world, self.stage.asset
        deposit, known = odd.deposit, {payout.payout_id for payout in payouts}
        assert all(claim.payout.payout_id in known for claim in odd.claims if claim.payout), "asked for, and not there"
        assert {payout.target for payout in payouts} <= {claim.target for claim in odd.claims}, "nobody asked for it"
        for payout in payouts:
            assert payout.has_ended, payout.state
            assert payout.reserved_units == deposit.units, "more than came, or less"
            assert payout.checker or not (payout.maker and payout.txid), "sent, and its merchant was not asked"
            told = [body["status"] for body in self.stage.inbox.about_id(payout.payout_id.hex)]
            assert told == [ENDS[payout.state.value]], (payout.state, told)
        done = [(payout.target, payout.units) for payout in payouts if payout.state is PayoutState.COMPLETED]
        assert len(done) <= 1, "refunded twice"
        targets = [claim.target for claim in odd.claims]
        paid = [
            (target, int(str(units))) for target, units in await world.rows(_PAID, self.stage.network, asset, targets)
        ]
        assert paid == done, f"{done}, and on the chain {paid}"
        ((state,),) = await world.rows("select state from deposits where deposit_id = $1", deposit.deposit_id)
        assert state == ("refunded" if done else "unassigned"), f"{state} money, and {len(done)} refunds"
        left = await world.account(accounts.unassigned(world.merchant.merchant_id, deposit.deposit_id), asset)
        assert left == (0 if done else deposit.units), f"{left} of {deposit.units} odd, and {len(done)} refunds"

    # --- parts -------------------------------------------------------------------------------------------------------

    def _claim(self, odd: Odd, maker: str) -> Claim:
        odd.claims.append(Claim(self._address(str(sum(len(one.claims) for one in self.odd))), maker))
        return odd.claims[-1]

    def _address(self, name: str) -> str:
        seed = f"{self.stage.seed}:back:{name}".encode()
        return address_from(REGISTRY.networks[self.stage.network], sha256(seed).digest())

    def _shown(self, target: str) -> str:
        return show_address(REGISTRY.networks[self.stage.network], target)

    async def _serve(self, act: Act, answer: Callable[[Fuse], Awaitable[str]]) -> str:
        found, outcome = await self.stage.serve(act, answer)
        return found or outcome

    async def _ask(self, odd: Odd, claim: Claim, fuse: Fuse) -> str:
        service, database = payouts_on(self.stage, fuse)
        refunds, deposit, merchant = service.refunds, odd.deposit, self.stage.world.merchant
        draft = await refunds.prepare(merchant, deposit, target=self._shown(claim.target), maker=claim.maker)
        try:
            payout = await database.unit(lambda tx: refunds.request(tx, draft, deposit.deposit_id))
        except Unavailable:
            raise
        except Problem as problem:
            claim.refusal = text_of(problem)
            return claim.refusal
        before = claim.payout
        assert before is None or before.payout_id == payout.payout_id or await self._has_failed(before), "asked twice"
        claim.payout, claim.refusal = payout, ""
        return payout.state.value

    async def _has_failed(self, before: Payout) -> bool:
        (now,) = [payout for payout in await self._payouts() if payout.payout_id == before.payout_id]
        return now.has_ended and now.state is not PayoutState.COMPLETED

    async def _confirm(self, payout: Payout, target: str, by: str, fuse: Fuse) -> str:
        """Confirm by the merchant's own word, or by that of one of our people."""

        def confirm(service: Service, tx: Tx) -> Awaitable[Payout]:
            merchant, address = self.stage.world.merchant, self._shown(target)
            if by:
                return service.confirm(tx, payout.payout_id, address, by=by)
            return service.confirm_own(tx, merchant, payout.payout_id, address)

        told = await self._decide(confirm, fuse)
        assert told != PayoutState.APPROVED or target == payout.target, "confirmed for another address"
        return told

    async def _revoke(self, payout: Payout, fuse: Fuse, *, rejects: bool) -> str:
        def revoke(service: Service, tx: Tx) -> Awaitable[Payout]:
            if rejects:
                return service.reject(tx, payout.payout_id, reason="no", by=OTHER)
            return service.cancel(tx, payout.merchant_id, PayoutKind.REFUND, payout.source_id)

        return await self._decide(revoke, fuse)

    async def _decide(self, decide: Callable[[Service, Tx], Awaitable[Payout]], fuse: Fuse) -> str:
        service, database = payouts_on(self.stage, fuse)
        try:
            return (await database.unit(lambda tx: decide(service, tx))).state.value
        except Unavailable:
            raise
        except Problem as problem:
            return text_of(problem)

    async def _payouts(self, *wanted: Odd) -> list[Payout]:
        """Return the refunds of odd money, by default all, the oldest first."""
        merchant_id = self.stage.world.merchant.merchant_id
        async with self.stage.world.database.reader() as tx:
            found = [await store.list_refunds(tx, merchant_id, one.deposit.deposit_id) for one in wanted or self.odd]
        return [payout for some in found for payout in some]

    async def _waiting(self) -> list[Payout]:
        """Return the refunds that wait for their merchant's word."""
        return [one for one in await self._payouts() if one.state is PayoutState.IN_REVIEW and one.awaits_merchant]


_PAID = """
    select target, units from sim_transfers
    where network = $1 and asset = $2 and target = any($3::text[]) and not has_failed
"""
