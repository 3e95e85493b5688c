"""The books of every height: what they say of a block that lies behind is what they said when it was the newest.

Blocks of random money are written one by one, and what every place holds after each of them is noted by adding up. In
the end the books stand after the last block, and are asked about all the others.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random

import pytest
from tests.reconciliation.test_store import COIN, HERE, HOT, OTHER, THERE, TOKEN, Written, paid

from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.core.assets import Asset
from bitlinkpay.db.pool import Database
from bitlinkpay.deposits.model import DepositState
from bitlinkpay.ledger import accounts
from bitlinkpay.reconciliation import store
from bitlinkpay.reconciliation.model import COLD, Place
from bitlinkpay.sending.model import TransactionState

FIRST, LAST = 100, 110
STORAGE = Place(COLD, ("Tcold-1", "Tcold-2"))
PLACES = (HERE, THERE, STORAGE)
WALLETS = {HERE.name: HOT, THERE.name: OTHER}
ACCOUNTS = {
    HERE.name: accounts.hot_custody(HERE.name),
    THERE.name: accounts.deposit_custody(THERE.name),
    COLD: accounts.COLD,
}
BETWEEN_OURS = [one for one in Purpose if one is not Purpose.PAYOUT]
UNDONE = (DepositState.DROPPED, DepositState.REVERSED)
STANDING = [one for one in DepositState if one not in UNDONE]
UNHEARD = (TransactionState.BROADCAST, TransactionState.UNCERTAIN, TransactionState.SIGNED, TransactionState.DEAD)


@dataclass
class History:
    """Blocks of random money; `after` is what each place held in each asset when a block was the newest."""

    written: Written
    dice: Random
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    after: dict[int, Counter[tuple[str, str]]] = field(default_factory=dict)

    async def begin(self) -> None:
        for name in ACCOUNTS:
            for asset in (TOKEN, COIN):
                await self._book(name, asset, 10**6)

    async def block(self, height: int) -> None:
        ways: Sequence[Callable[[int], Awaitable[None]]] = (
            self.arrive, self.arrive_and_go, self.pay_out, self.pay_an_order, self.move, self.go_cold, self.fail,
            self.say_nothing,
        )  # fmt: skip
        for way in self.dice.choices(ways, k=self.dice.randint(0, 3)):
            await way(height)
        self.after[height] = self.held.copy()

    async def arrive(self, height: int) -> None:
        name, asset, units = self._name(), self._asset(), self._units()
        state = self.dice.choice(STANDING)
        await self.written.arrive(units, height, state, target=name, asset=asset.id)
        await self._book(name, asset, units)

    async def arrive_and_go(self, height: int) -> None:
        """What a branch took away was booked and unbooked: it never was."""
        await self.written.arrive(self._units(), height, self.dice.choice(UNDONE), target=self._name())

    async def pay_out(self, height: int) -> None:
        name, asset, units = self._name(), self._asset(), self._units()
        await self._send(height, paid(units, source=WALLETS[name], asset=asset.id))
        await self._book(name, asset, -units)

    async def pay_an_order(self, height: int) -> None:
        """A payout to an address of ours comes there as anybody's deposit."""
        units = self._units()
        await self._send(height, paid(units, THERE.name))
        await self.written.arrive(units, height, target=THERE.name)
        await self._book(HERE.name, TOKEN, -units)
        await self._book(THERE.name, TOKEN, units)

    async def move(self, height: int) -> None:
        asset, units = self._asset(), self._units()
        source, target = self.dice.sample(list(WALLETS), 2)
        purpose = self.dice.choice(BETWEEN_OURS)
        await self._send(height, paid(units, target, source=WALLETS[source], asset=asset.id), purpose)
        await self._book(source, asset, -units)
        await self._book(target, asset, units)

    async def go_cold(self, height: int) -> None:
        units = self._units()
        await self._send(height, paid(units, self.dice.choice(STORAGE.addresses)), Purpose.COLD)
        await self._book(HERE.name, TOKEN, -units)
        await self._book(COLD, TOKEN, units)

    async def fail(self, height: int) -> None:
        """It stands in a block and moved nothing but its fee."""
        await self._send(height, paid(self._units()), state=TransactionState.REVERTED)

    async def say_nothing(self, height: int) -> None:
        """What has not ended, or came to nothing, is in no block."""
        await self.written.send(paid(self._units()), state=self.dice.choice(UNHEARD))

    async def _send(self, height: int, payment: object, purpose: Purpose = Purpose.PAYOUT, **more: object) -> None:
        payer, fee = self._name(), self._units()
        await self.written.send(payment, height=height, purpose=purpose, payer=WALLETS[payer], fee_units=fee, **more)
        await self._book(payer, COIN, -fee)

    async def _book(self, name: str, asset: Asset, units: int) -> None:
        account = ACCOUNTS[name]
        debit, credit = (account, accounts.EQUITY) if units > 0 else (accounts.EQUITY, account)
        await self.written.hold(debit, abs(units), asset.id, credit=credit)
        self.held[name, asset.id] += units

    def _name(self) -> str:
        return self.dice.choice(list(WALLETS))

    def _asset(self) -> Asset:
        return self.dice.choice((TOKEN, COIN))

    def _units(self) -> int:
        return self.dice.randint(1, 999)


@pytest.fixture(params=range(4))
async def history(request: pytest.FixtureRequest, database: Database) -> History:
    made = History(Written(database), Random(request.param))
    await made.begin()
    for height in range(FIRST, LAST + 1):
        await made.block(height)
    return made


async def test_the_books_of_any_block_are_those_of_when_it_was_the_newest(history: History) -> None:
    for height in range(FIRST, LAST + 1):
        for asset in (TOKEN, COIN):
            books = await history.written.books(*PLACES, coin=asset is COIN, height=height)
            told = {(name, asset.id): found.units for name, found in books.items()}
            assert told == {key: units for key, units in history.after[height].items() if key[1] == asset.id}, height


async def test_the_transfers_between_two_blocks_are_the_difference_of_their_books(history: History) -> None:
    async with history.written.database.reader() as tx:
        for place in PLACES:
            for below, height in combinations(range(FIRST, LAST + 1), 2):
                found = await store.list_booked(tx, TOKEN, place.addresses, first=below + 1, last=height, limit=1_000)
                moved = history.after[height][place.name, TOKEN.id] - history.after[below][place.name, TOKEN.id]
                assert sum(one.units for one in found) == moved, (place.name, below, height)
                assert [one.height for one in found] == sorted((one.height for one in found), reverse=True)
