"""Random batches against the plain Python books: every result, every balance, every invariant."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.makers import AT, broken
from tests.ledger.plain_books import Outcome, PlainBooks

from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.core.money import MAX_UNITS
from bitlinkpay.db.pool import Database
from bitlinkpay.ledger.chart import split_credit
from bitlinkpay.ledger.model import AccountRefusal, ExistsDifferent, Move, Posted, Posting, Replayed, Result
from bitlinkpay.ledger.service import balance, post

_A, _B, _ITEM = UUID(int=0xA), UUID(int=0xB), UUID(int=0xC)
_NAMES = [
    *[f"merchant:{who.hex}:{room}" for who in (_A, _B) for room in ("available", "debt", f"reserved:{_ITEM.hex}")],
    "custody:deposits:TXYZ", "custody:deposits:0:abc", "custody:cold", "equity", "fees:payin", "expense:gas",
    "custody", "fees:", "merchant:x:available", f"merchant:{_A.hex}:pending", "custody:deposits:", "exchange:long",
]  # fmt: skip
_moves = st.tuples(
    st.sampled_from(_NAMES),
    st.sampled_from(_NAMES),
    st.one_of(st.integers(1, 20), st.sampled_from([10**38, 10**60, MAX_UNITS - 5, MAX_UNITS])),
).filter(lambda move: move[0] != move[1])


@st.composite
def postings(draw: st.DrawFn) -> Posting:
    return Posting(
        key=f"k{draw(st.integers(0, 12))}",
        event=draw(st.sampled_from(["one", "two"])),
        asset=draw(st.sampled_from(["usdt-tron", "eth-ethereum"])),
        moves=tuple(Move(*move) for move in draw(st.lists(_moves, min_size=1, max_size=3))),
        merchant_id=draw(st.sampled_from([None, _A, _A, _B])),
        happened_at=AT + timedelta(seconds=draw(st.integers(0, 3))),
    )


def _outcome(result: Result) -> Outcome:
    match result:
        case ExistsDifferent(field):
            return "ExistsDifferent", field
        case AccountRefusal(account):
            return type(result).__name__, account
        case _:
            return type(result).__name__, None


def _elsewhere(posting: Posting, example: str) -> Posting:
    """The same posting among accounts, keys and assets of its own, so that examples share one database."""
    return Posting(
        key=f"{example}:{posting.key}",
        event=posting.event,
        asset=f"{posting.asset}-{example}",
        moves=posting.moves,
        merchant_id=posting.merchant_id,
        happened_at=posting.happened_at,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(postings(), min_size=1, max_size=12), min_size=1, max_size=5))
async def test_batches_end_as_one_posting_after_the_other_would(
    database: Database, batches: Sequence[Sequence[Posting]]
) -> None:
    example, plain = new_uuid7().hex, PlainBooks()
    for batch in batches:
        mine = [_elsewhere(posting, example) for posting in batch]
        expected = [plain.post(posting) for posting in mine]
        async with database.transaction() as tx:
            results = await post(tx, mine)
        assert [_outcome(result) for result in results] == expected
        firsts: dict[str, Posted | Replayed] = {}
        for posting, result in zip(mine, results, strict=True):
            if isinstance(result, Posted | Replayed):
                first = firsts.setdefault(posting.key, result)
                assert (result.posting_id, result.recorded_at) == (first.posting_id, first.recorded_at)
    async with database.reader() as tx:
        for (account, asset), units in plain.balances.items():
            assert await balance(tx, account, asset) == units


async def test_invariants_hold_after_random_batches(database: Database) -> None:
    @settings(max_examples=40, deadline=None)
    @given(batch=st.lists(postings(), min_size=1, max_size=30))
    def collect(batch: list[Posting]) -> None:
        batches.append(batch)

    batches: list[list[Posting]] = []
    collect()
    for number, batch in enumerate(batches):
        async with database.transaction() as tx:
            await post(tx, [_elsewhere(posting, f"{number // 8}") for posting in batch])
    assert await broken(database) == set()


_amounts = st.one_of(st.integers(0, 1000), st.integers(0, MAX_UNITS))


@given(units=_amounts, fee_units=_amounts, debt_units=_amounts)
def test_LED_13_shares_of_a_credit_add_up_and_are_never_negative(units: int, fee_units: int, debt_units: int) -> None:
    split = split_credit(units, fee_units=fee_units, debt_units=debt_units)
    assert split.net_units + split.fee_units + split.debt_units == units
    assert min(split.net_units, split.fee_units, split.debt_units) >= 0
    assert split.fee_units == min(fee_units, units), "a fee above the amount takes the amount and no more"
    assert split.net_units == 0 or split.debt_units == debt_units, "nothing reaches the merchant before the debt"
