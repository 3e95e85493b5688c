"""Whose transfers of a token are tried, how much of them, how far back holders are looked for, and what its contract gives away."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from tests.deposits.test_assets import GOOD

from bitlinkpay.chains.base import Block, BlockRef, ChainError, Head, Transfer
from bitlinkpay.chains.findings import Findings
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.token import TokenFacts
from bitlinkpay.chains.trial import HOLDERS_MAX, LOOK_BACK_BLOCKS, Answered, Trial, try_transfers
from bitlinkpay.core.assets import Asset
from bitlinkpay.deposits.assets.examining import examine

USDT = load_registry().assets["usdt-ethereum"]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
COIN = 10**USDT.decimals
FINAL = 1_000
WORD = bytes(32)
ONE_OF_ONE = "1 of 1 transfers went through when tried"


@dataclass
class Token:
    """One token's chain: who moved it in which block, what they hold, what its contract answers to views and trials."""

    moved: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    views: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    fee: int = 0
    facts: TokenFacts = GOOD
    final: int = FINAL
    step: int = 100
    missing: range = range(0)
    scanned: list[tuple[int, int]] = field(default_factory=list)
    asked: list[tuple[list[str], int]] = field(default_factory=list)
    tried: list[tuple[str, int]] = field(default_factory=list)

    async def head(self) -> Head:
        final = BlockRef(self.final, "f", NOW)
        return Head(latest=BlockRef(self.final + 60, "l", NOW), final=final)

    async def scan(self, first: int, last: int) -> Sequence[Block]:
        """Return fewer blocks than asked for where `step` says so, as adapters may."""
        end = min(last, first + self.step - 1)
        self.scanned.append((first, last))
        heights = [n for n in range(first, end + 1) if n not in self.missing]
        return [Block(n, f"{n}", f"{n - 1}", NOW, self._transfers(n)) for n in heights]

    def _transfers(self, height: int) -> tuple[Transfer, ...]:
        pairs = self.moved.get(height, [])
        others = Transfer("eth-ethereum", "t", "value", "0xother", "0xstranger", "", 1)
        return (others, *(Transfer(USDT.id, "t", f"log:{n}", a, b, "", 1) for n, (a, b) in enumerate(pairs)))

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> Sequence[int]:
        assert asset.id == USDT.id
        self.asked.append((list(addresses), height))
        return [self.held.get(address, 0) for address in addresses]

    async def view(self, asset: Asset, function: str, arguments: bytes = b"") -> bytes:
        assert asset.id == USDT.id
        assert len(arguments) == (32 if "(address)" in function else 0)
        return self.views.get(function, b"")

    async def try_transfer(self, asset: Asset, holder: str, units: int) -> Trial:
        assert asset.id == USDT.id
        self.tried.append((holder, units))
        return Trial(units, self.failing.get(holder, ""), left=units, came=units - self.fee)

    async def probe(self, asset: Asset) -> TokenFacts:
        assert asset.id == USDT.id
        return self.facts


async def found(token: Token, holder: str = "") -> Findings:
    return await try_transfers(token, token, USDT, holder)  # type: ignore[arg-type]


# --- who is asked -------------------------------------------------------------------------------------------------------


async def test_the_richest_of_those_who_moved_it_try_at_most_a_thousand_coins() -> None:
    token = Token({FINAL: [("a", "b"), ("c", "d")], FINAL - 1: [("e", "a")]})
    token.held = {"a": 5, "b": 10**30, "c": 0, "d": 1_000 * COIN, "e": 1_000 * COIN - 1}
    assert (await found(token)).notes == ("3 of 3 transfers went through when tried",)
    assert token.tried == [("b", 1_000 * COIN), ("d", 1_000 * COIN), ("e", 1_000 * COIN - 1)]
    assert len(token.tried) == HOLDERS_MAX
    ((asked, height),) = token.asked
    assert sorted(asked) == ["a", "b", "c", "d", "e"], "each once, and nobody who moved something else"
    assert height == FINAL, "what they hold at the final block, not at the newest one"


async def test_a_named_holder_is_the_only_one_and_no_block_is_read() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50, "me": 7})
    assert await found(token, "me") == Findings(notes=(ONE_OF_ONE,))
    assert (token.tried, token.scanned, token.asked) == ([("me", 7)], [], [(["me"], FINAL)])


async def test_a_named_holder_of_nothing_is_told_and_nobody_stands_in_for_him() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50})
    assert (await found(token, "me")).notes == (
        "me holds nothing: no transfer was tried; name somebody who holds it with --holder",
    )
    assert token.tried == []


async def test_a_token_that_nobody_moved_is_untried_and_balances_are_not_asked_for_nobody() -> None:
    token = Token({FINAL - LOOK_BACK_BLOCKS: [("a", "b")], FINAL + 1: [("c", "d")]}, {"a": 5, "c": 5})
    assert await found(token) == Findings(
        notes=("nobody moved it within 48 blocks: no transfer was tried; name somebody who holds it with --holder",)
    )
    assert token.asked == []


async def test_who_moved_it_and_kept_nothing_is_no_holder() -> None:
    token = Token({FINAL: [("a", "b")]})
    assert "no transfer was tried" in (await found(token)).notes[0]
    assert token.tried == []


# --- how far back -------------------------------------------------------------------------------------------------------


async def test_blocks_are_read_backwards_in_pieces_to_the_oldest_one_that_counts() -> None:
    token = Token({FINAL - LOOK_BACK_BLOCKS + 1: [("a", "b")]}, {"a": 5})
    await found(token)
    assert token.scanned == [(985, 1000), (969, 984), (953, 968)]
    assert token.tried == [("a", 5)]


@pytest.mark.parametrize("step", [1, 5, 15, 16])
async def test_an_adapter_that_returns_fewer_blocks_than_asked_is_asked_on_without_a_gap(step: int) -> None:
    token = Token({FINAL - n: [(f"s{n}", "b")] for n in range(0, LOOK_BACK_BLOCKS, 3)}, {"s45": 5}, step=step)
    await found(token)
    assert token.tried == [("s45", 5)]
    read = [n for first, last in token.scanned for n in range(first, min(last, first + step - 1) + 1)]
    assert sorted(read) == list(range(953, 1001))


@pytest.mark.parametrize("missing", [range(953, 969), range(960, 990), range(999, 1001), range(990, 991)])
async def test_heights_where_no_block_stands_are_passed_over(missing: range) -> None:
    token = Token({FINAL - 11: [("", "b")], FINAL - 47: [("a", "b")]}, {"a": 5, "b": 4}, missing=missing)
    await found(token)
    assert {last for _, last in token.scanned} == {1000, 984, 968}
    assert token.asked[0][0] == (["b"] if 953 in missing else ["b", "a"]), "and nobody is no holder"


async def test_enough_met_ends_the_search_with_the_newest_ones() -> None:
    token = Token({FINAL: [(f"s{n}", f"t{n}") for n in range(15)], FINAL - 20: [("old", "older")]}, {"s14": 9, "s0": 5})
    await found(token)
    assert token.scanned == [(985, 1000)]
    ((asked, _),) = token.asked
    assert len(asked) == 24
    assert asked[:4] == ["t0", "s0", "t1", "s1"]
    assert token.tried == [("s0", 5)], "who came after the limit is not asked"


@pytest.mark.parametrize(("final", "read"), [(0, []), (1, [(1, 1)]), (20, [(5, 20), (1, 4)])])
async def test_a_young_chain_is_read_to_its_beginning(final: int, read: list[tuple[int, int]]) -> None:
    token = Token(final=final)
    await found(token)
    assert token.scanned == read


async def test_a_chain_that_cannot_be_read_is_no_verdict() -> None:
    class Silent(Token):
        async def scan(self, first: int, last: int) -> Sequence[Block]:
            raise ChainError(f"no answer for {first} to {last}")

    with pytest.raises(ChainError, match="no answer for 985 to 1000"):
        await found(Silent())


# --- what the contract gives away ---------------------------------------------------------------------------------------

TAKES_FEE = "it takes a fee of every transfer (basisPointsRate)"
REBASES = "it keeps shares in place of balances, which then change without a transfer (rebasing)"
BLOCKS = "its issuer can block addresses"


@pytest.mark.parametrize(
    ("views", "faults", "notes"),
    [
        ({}, (), ()),
        ({"basisPointsRate()": WORD}, (), ()),  # the switch is there and off, as in the USDT of Ethereum
        ({"basisPointsRate()": bytes(31) + b"\x01"}, (TAKES_FEE,), ()),
        ({"basisPointsRate()": b"\x80" + bytes(31)}, (TAKES_FEE,), ()),
        ({"sharesOf(address)": WORD}, (REBASES,), ()),
        ({"scaledBalanceOf(address)": WORD}, (REBASES,), ()),
        ({"creditsBalanceOf(address)": WORD + WORD}, (REBASES,), ()),
        ({"sharesOf(address)": bytes(31)}, (), ()),
        ({"isBlackListed(address)": WORD}, (), (BLOCKS,)),
        ({"isBlacklisted(address)": WORD}, (), (BLOCKS,)),
        ({"isBlocked(address)": WORD}, (), (BLOCKS,)),
        ({"isFrozen(address)": WORD}, (), (BLOCKS,)),
        ({"isFrozen(address)": WORD + WORD}, (), ()),
        ({"isFrozen(address)": WORD, "isBlocked(address)": WORD}, (), (BLOCKS,)),
        (
            {"basisPointsRate()": b"\xff" * 32, "sharesOf(address)": WORD, "isBlocked(address)": WORD},
            (TAKES_FEE, REBASES),
            (BLOCKS,),
        ),
    ],
)
async def test_what_views_say_of_a_token_is_told_though_its_transfers_are_fine(
    views: dict[str, bytes], faults: tuple[str, ...], notes: tuple[str, ...]
) -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 5}, views)
    assert await found(token) == Findings(faults, (*notes, ONE_OF_ONE))
    untried = await found(Token(views=views))
    assert untried.faults == faults, "also where nobody holds it"
    assert untried.notes[:-1] == notes


async def test_faults_of_views_come_before_those_of_trials() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50, "b": 40}, {"sharesOf(address)": WORD}, {"a": "paused"}, fee=1)
    assert await found(token) == Findings(
        (REBASES, "a transfer of 40 units brings 39: it takes a fee, or moves nothing"),
        ("1 of 2 transfers went through when tried",),
    )


async def test_a_token_that_lets_nobody_pay_is_told_with_the_first_reason() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50, "b": 40}, failing={"a": "paused", "b": "blocked"})
    assert await found(token) == Findings(("its transfers fail: paused",))


def test_answers_are_spelled_as_people_read_them() -> None:
    assert list(Answered) == ["true", "nothing", "false", "something else"]


# --- for a person with a row --------------------------------------------------------------------------------------------


async def test_a_row_is_told_of_decimals_symbol_and_transfers_in_this_order_with_what_to_change() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50}, {"isBlocked(address)": WORD}, fee=50)
    token.facts = replace(GOOD, decimals=18, symbol="USDX")
    said = await examine(token, token, USDT, None)  # type: ignore[arg-type]
    decimals, symbol, transfers = said.faults
    assert decimals == (
        "usdt-ethereum: the contract says 18 decimals, the registry 6: write `decimals = 18` into the row, "
        "if this is the contract"
    )
    assert symbol == (
        "usdt-ethereum: the contract calls itself 'USDX', the row 'USDT': write `onchain_symbol = 'USDX'` into the row, "
        "if this is the contract"
    )
    assert transfers == (
        "usdt-ethereum: a transfer of 50 units brings 0: it takes a fee, or moves nothing: no row fits that, "
        "take it out of the file"
    )
    assert said.notes == (BLOCKS, ONE_OF_ONE)
    assert said.facts == token.facts


async def test_a_fee_cannot_be_confirmed_away_as_a_symbol_can() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50}, fee=1, facts=replace(GOOD, symbol="USDX"))
    said = await examine(token, token, replace(USDT, onchain_symbol="USDX"), None)  # type: ignore[arg-type]
    assert [fault.rpartition(": ")[2] for fault in said.faults] == ["no row fits that, take it out of the file"]


async def test_where_there_is_no_contract_no_transfer_is_tried() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50}, facts=replace(GOOD, code_hash=""))
    said = await examine(token, token, USDT, None)  # type: ignore[arg-type]
    assert (token.scanned, token.tried, said.notes) == ([], [], ())
    assert len(said.faults) == 1


async def test_a_named_holder_of_a_row_is_the_one_who_tries() -> None:
    token = Token({FINAL: [("a", "b")]}, {"a": 50, "me": 3})
    said = await examine(token, token, USDT, None, "me")  # type: ignore[arg-type]
    assert (said.faults, said.notes, token.tried) == ((), (ONE_OF_ONE,), [("me", 3)])
