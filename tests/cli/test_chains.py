"""`bitlinkpay chains status`: what amounts ask for, and what is said of a network without running one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from tests.flows.scripted import ScriptedChain

from bitlinkpay.chains.base import NotEnoughAnswers
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.chains.registry_rows import Endpoints
from bitlinkpay.cli.chains import _head, _quorum, _short, rules_of

REGISTRY = load_registry()
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asset", "rules"),
    [
        ("usdt-tron", ["usdt-tron from 10000: 2 endpoints"]),
        ("eth-ethereum", ["eth-ethereum from 0.5: finalized", "eth-ethereum from 5: 2 endpoints"]),
        ("btc-bitcoin", ["btc-bitcoin from 0.2: 2 endpoints", "btc-bitcoin from 1: 6 confirmations"]),
    ],
)
def test_what_large_amounts_ask_for_is_told_in_words(asset: str, rules: list[str]) -> None:
    assert rules_of(REGISTRY.assets[asset]) == rules


@pytest.mark.parametrize(
    ("urls", "quorum", "text"),
    [
        (("https://one.example/KEY",), 1, "1 of 1: large amounts wait for 2"),
        (("https://one.example/KEY", "https://one.example/OTHER"), 1, "1 of 1: large amounts wait for 2"),
        (("https://one.example/KEY", "https://two.example"), 1, "1 of 2"),
        (("https://one.example", "https://two.example", "https://three.example"), 2, "2 of 3"),
    ],
)
def test_operators_are_counted_and_too_few_for_large_amounts_are_told(urls: tuple[str, ...], quorum: int, text: str):
    registry = replace(REGISTRY, endpoints=MappingProxyType({"tron": Endpoints(urls, quorum)}))
    assert _quorum(registry, REGISTRY.networks["tron"], "") == text
    assert _quorum(registry, REGISTRY.networks["ton"], "") == ""


def test_two_ways_of_an_operator_are_told_and_not_counted_as_two() -> None:
    registry = replace(REGISTRY, endpoints=MappingProxyType({"tron": Endpoints(("https://one.example/KEY",), 1)}))
    told = _quorum(registry, REGISTRY.networks["tron"], "http://elsewhere.example:3128")
    assert told == "1 of 1, each by two ways: large amounts wait for 2"


async def test_EVM_20_a_stalled_finality_is_an_error_and_no_answer_is_one() -> None:
    network = replace(REGISTRY.networks["ethereum"], final_after=timedelta(seconds=1), block_time=timedelta(seconds=1))
    chain = ScriptedChain(network, NOW)
    chain.grow(300)
    assert (await _head(chain))[1] == ""
    chain.final = 5
    head, error = await _head(chain)
    assert head is not None
    assert error == "finality has stalled: no block after 5 of 2026-03-01 00:00:05+00:00 is final"

    async def nothing() -> None:
        raise NotEnoughAnswers("1 of 2 endpoints agree")

    chain.head = nothing  # type: ignore[method-assign, assignment]
    assert await _head(chain) == (None, "1 of 2 endpoints agree")


def test_a_line_counts_what_json_lists() -> None:
    row = {"network": "tron", "large": ["x"], "endpoints": [{"ok": True}, {"ok": False}], "error": ""}
    assert _short(row) == {"network": "tron", "endpoints": "1 of 2 healthy", "error": ""}
