"""How deep is final, how old is too old, and whose chain it is (BTC-14)."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.chains.bitcoin.conftest import PATIENT, coin, network
from tests.chains.bitcoin.network import BitcoinNetwork

from bitlinkpay.chains.base import ChainError, NotEnoughAnswers, WrongChain
from bitlinkpay.chains.bitcoin.chain import BitcoinChain, BitcoinOptions
from bitlinkpay.chains.bitcoin.freshness import StalledTip
from bitlinkpay.chains.bitcoin.proof import Unproven
from bitlinkpay.chains.transport import Endpoint


@pytest.mark.parametrize("confirmations", [1, 2, 3, 6])
async def test_final_is_as_deep_as_the_registry_says(kernel, chains, confirmations):
    chain = chains(kernel, network=network(confirmations=confirmations))
    head = await chain.head()
    assert head.latest.height - head.final.height == confirmations - 1
    assert head.final.hash == await kernel.ask("getblockhash", head.final.height)


async def test_DEP_02_final_never_goes_back_when_the_node_does(kernel, chains):
    chain = chains(kernel)
    before = await chain.head()
    kernel.edit = lambda method, params, result: (
        kernel.kernel.hashes[100] if method == "getbestblockhash" else 100 if method == "getblockcount" else result
    )
    after = await chain.head()
    assert after.final == before.final


async def test_BTC_14_another_chain_is_refused_at_connect(net, chains):
    chain = chains(net, network=network(genesis="00" * 31 + "01"))
    with pytest.raises(WrongChain, match="block 0"):
        await chain.head()
    with pytest.raises(ChainError):
        await chain.scan(1, 2)
    (status,) = await chain.endpoints()
    assert not status.is_healthy
    assert (await chains(net).head()).latest.height == 110


async def test_BTC_14_a_header_other_than_block_0_s_own_is_refused(kernel, chains):
    other = await kernel.ask("getblockheader", await kernel.ask("getblockhash", 1), False)
    kernel.edit = lambda method, params, result: other if params[:1] == [network().genesis] else result
    with pytest.raises(Unproven):
        await chains(kernel).head()


@pytest.mark.parametrize(
    ("age", "is_stalled"), [(timedelta(hours=2, minutes=59), False), (timedelta(hours=3, minutes=1), True)]
)
async def test_BTC_14_a_stalled_tip_stops_everything_and_is_said_aloud(kernel, chains, caplog, age, is_stalled):
    tip = (await chains(kernel).head()).latest.time
    chain = chains(kernel, options=replace(PATIENT, tip_age_max=BitcoinOptions().tip_age_max), now=lambda: tip + age)
    if is_stalled:
        with pytest.raises(StalledTip, match="cut off"):
            await chain.head()
        assert any(record.levelno == logging.CRITICAL for record in caplog.records)
    else:
        assert (await chain.head()).latest.time == tip


async def test_the_clock_is_the_wall_s_by_default(kernel, chains):
    chain = chains(kernel, options=replace(PATIENT, tip_age_max=timedelta(hours=3)))
    assert datetime.now(UTC) - (await chain.head()).latest.time < timedelta(hours=1)


async def test_disagreement_about_a_final_block_is_no_answer(kernel, chains):
    async with BitcoinNetwork.start("kernel", blocks=0) as forked:
        await forked.copy(kernel, last=50)
        await forked.mine(60)
        with pytest.raises(NotEnoughAnswers):
            await chains(kernel, forked, quorum=2).head()


async def test_credentials_with_any_letters_work_and_are_never_shown(net, chains, caplog):
    caplog.set_level(logging.DEBUG)
    assert "p%40ss%2Fw%C3%B6rd" in net.url
    chain = chains(net)
    await chain.head()
    (status,) = await chain.endpoints()
    assert status.is_healthy
    assert status.url == "http://" + net.url.partition("@")[2].rstrip("/")
    wrong = Endpoint(net.url.replace("w%C3%B6rd", "word"))
    other = BitcoinChain(network(), [coin()], [wrong], quorum=1, options=PATIENT)
    with pytest.raises(ChainError) as caught:
        await other.head()
    await other.aclose()
    assert "401" in str(caught.value)
    for shown in (repr(wrong), str(caught.value), caplog.text, repr(status)):
        assert "p%40ss" not in shown
        assert "p@ss" not in shown
