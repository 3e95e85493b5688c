"""`bitlinkpay registry check` on Solana and TON, whose test networks execute the transfers: honest rows pass, liars don't."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytoniq_core import Address
from tests.chains.solana.ledger import FAUCET
from tests.chains.solana.network import SolanaNetwork
from tests.chains.solana.test_trial import held
from tests.chains.solana.wallets import person
from tests.chains.ton.network import GENESIS, Jetton, TonNetwork
from tests.chains.ton.test_trial import TAXED
from tests.cli.conftest import RING
from tests.cli.deployment import Deployment

from bitlinkpay.chains.registry import load_registry

NETWORK = """
[networks.{network}]
genesis = "{genesis}"
endpoints = ["{url}"]
quorum = 1
"""
TOKEN = """
[assets.{asset}]
symbol = "{symbol}"
onchain_symbol = "{symbol}"
network = "{network}"
standard = "{standard}"
contract = "{contract}"
wallet = "{wallet}"
decimals = 6
payable_decimals = 6
wm_coin_id = {coin}
minimum = "0.01"
sanity = "10000000"
"""
ISSUER = str(FAUCET.pubkey())
OURS = RING.hot_wallet(load_registry().networks["ton"]).address
DONE = "as the row says; {0} of {0} transfers went through when tried"


@dataclass
class World:
    """A live deployment with an honest USDT row on both networks, and what else is to be listed."""

    shop: Deployment
    solana: SolanaNetwork
    ton: TonNetwork
    holder: str  # of the honest jetton
    fee_mint: str
    taxed: Jetton
    victim: str  # holds the taxed one

    async def check(self, *words: str) -> dict[str, str]:
        """Return what the command says of each token."""
        rows = await asyncio.to_thread(self.shop.json, "registry", "check", *words)
        return {row["asset"]: row["chain"] for row in rows}

    async def refusal(self, *words: str) -> str:
        return await asyncio.to_thread(self.shop.refusal, "registry", "check", *words)

    def write(self, name: str, *rows: str) -> str:
        path: Path = self.shop.folder / name
        path.write_text("".join(rows))
        return str(path)


def token(asset: str, network: str, standard: str, contract: str, *, wallet: str = "", coin: int = 1) -> str:
    symbol = asset.partition("-")[0].upper()
    return TOKEN.format(
        asset=asset, symbol=symbol, network=network, standard=standard, contract=contract, wallet=wallet, coin=coin
    )


@pytest.fixture
async def world(live: Deployment) -> AsyncIterator[World]:
    async with SolanaNetwork.start() as solana, TonNetwork.start() as ton:
        mint = await solana.token()
        await solana.fund(str(person(3).pubkey()), mint, 5_000_000)
        fee_mint = await held(solana, "transfer fee")  # no coins are made of it within the blocks that are looked at
        await solana.fund(str(person(3).pubkey()), mint, 5_000_000)
        await solana.finalize()
        jetton, taxed = await ton.jetton(), await ton.rewritten(TAXED)
        people = [await ton.person(number) for number in (1, 2)]
        await ton.mint(jetton.master, people[0], 5_000_000)
        await ton.mint(taxed.master, people[1], 500_000, is_reference=True)
        await ton.mine()
        await ton.pay_jettons(jetton.master, OURS, 1_000, source=people[0])
        await ton.mine()
        made = World(live, solana, ton, people[0], fee_mint.contract, taxed, people[1])
        rows = [
            NETWORK.format(network="solana", genesis=solana.ledger.genesis_hash, url=solana.urls[0]),
            token("usdt-solana", "solana", "SPL", mint.contract),
            NETWORK.format(network="ton", genesis=GENESIS, url=ton.url),
            token("usdt-ton", "ton", "jetton", jetton.master, wallet=await jetton.wallet_of(OURS)),
        ]
        made.write("devnet.toml", *rows)
        toml = live.folder / "bitlinkpay.toml"
        toml.write_text('registry_files = ["devnet.toml"]\n' + toml.read_text())
        yield made


def liars(world: World, wallet: str) -> Sequence[str]:
    return (
        token("fee-solana", "solana", "Token-2022", world.fee_mint, coin=101),
        token("lie-ton", "ton", "jetton", world.taxed.master, wallet=wallet, coin=102),
    )


async def test_honest_rows_of_solana_and_ton_are_tried_and_liars_are_refused(world: World) -> None:
    said = await world.check()
    assert said["usdt-solana"] == DONE.format(2)
    assert said["usdt-ton"] == DONE.format(1)
    friendly = Address(world.holder).to_str(is_bounceable=False)
    for asset, holder in (("usdt-solana", ISSUER), ("usdt-ton", friendly), ("usdt-ton", world.holder)):
        assert (await world.check("--asset", asset, "--holder", holder))[asset] == DONE.format(1)
    more = world.write("more.toml", *liars(world, await world.taxed.wallet_of(OURS)))
    for asset, holder, brings in (
        ("fee-solana", ISSUER, "a transfer of 1000000000 units brings 990000000"),
        ("lie-ton", world.victim, "a transfer of 450000 units brings 405000"),
    ):
        refused = await world.refusal(more, "--asset", asset, "--holder", holder)
        assert f"{asset}: {brings}: it takes a fee, or moves nothing: no row fits that" in refused
    refused = await world.refusal(more)
    assert "fee-solana: transfer fee" in refused
    assert "usdt-" not in refused


async def test_a_holder_of_another_network_s_form_is_refused_and_one_who_cannot_try_is_told(world: World) -> None:
    assert "Solana address" in await world.refusal("--asset", "usdt-solana", "--holder", world.holder)
    assert "TON address" in await world.refusal("--asset", "usdt-ton", "--holder", ISSUER)
    said = (await world.check("--asset", "usdt-ton", "--holder", OURS))["usdt-ton"]
    assert "no transfer was tried" in said
    await world.ton.control("emulation", on=False)
    said = (await world.check("--asset", "usdt-ton"))["usdt-ton"]
    assert said.startswith("as the row says; no transfer was tried: ")
    assert "has no emulation API beside its API v3; " in said
    assert said.endswith("1 of its 1 newest transfers on the chain brought what they say")
    assert "usdt-solana" in json.dumps(await world.check("--asset", "usdt-solana"))
