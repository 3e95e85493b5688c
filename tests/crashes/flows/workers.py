"""Two workers: who pays, who watches, who tells, each with whatever strikes it."""

from collections.abc import Mapping

from tests.crashes.flow import Act, Loop
from tests.crashes.stage import Process, Stage

from bitlinkpay.sending.model import OwnerKind
from bitlinkpay.sending.service import Owner
from bitlinkpay.sending.setup import SetupOwner


class Workers:
    """`Flow` of the loops that every deployment runs."""

    WEIGHTS: Mapping[str, int] = {"pay": 9, "watch": 2, "tell": 1}

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def owners(self) -> Mapping[OwnerKind, Owner]:
        return {OwnerKind.SETUP: SetupOwner()}

    def loops(self, process: Process) -> Mapping[str, Loop]:
        del process
        return {}

    async def pay(self, act: Act) -> str:
        return await self.stage.work(act.dice().randrange(2), "pay", act)

    async def watch(self, act: Act) -> str:
        return await self.stage.work(act.dice().randrange(2), "watch", act)

    async def tell(self, act: Act) -> str:
        return await self.stage.work(act.dice().randrange(2), "tell", act)

    async def settle(self) -> None:
        """Nothing is undecided here."""

    async def account(self) -> int:
        """The loops leave nothing of their own behind."""
        return 0
