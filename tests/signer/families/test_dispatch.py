"""Every family through the desk of a live signer: real transactions under the same rules, and which versions exclude each other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from coincurve import PublicKey
from eth_account import Account
from tests.signer.asking import NOW, RING, Asking, hot, stranger

from bitlinkpay.chains.bitcoin.plan import BitcoinPlan
from bitlinkpay.chains.codec import solana as solana_codec
from bitlinkpay.chains.codec import tron as tron_codec
from bitlinkpay.chains.evm.plan import EvmPlan, Shape
from bitlinkpay.chains.outgoing import Intent, Signed, Unspent, Wallet
from bitlinkpay.chains.simulated_plan import SimulatedPlan
from bitlinkpay.chains.solana.plan import SolanaPlan
from bitlinkpay.chains.ton.plan import TonPlan
from bitlinkpay.chains.tron.plan import TronPlan
from bitlinkpay.signer.audit.events import Issued
from bitlinkpay.signer.problems import ApprovalNeeded, CapReached, PlanMismatch, SignerRefused

POLICY = """
mode = "live"
purposes = ["payout"]
[caps]
eth-ethereum = { payment = "1", hour = "8", day = "9" }
trx-tron = { payment = "1000", hour = "8000", day = "9000" }
btc-bitcoin = { payment = "0.1", hour = "0.8", day = "0.9" }
ton-ton = { payment = "100", hour = "800", day = "900" }
sol-solana = { payment = "1", hour = "8", day = "9" }
[fees]
ethereum = { most = "0.01", day = "1" }
tron = { most = "50", day = "500" }
bitcoin = { most = "0.001", day = "0.01" }
ton = { most = "1", day = "10" }
solana = { most = "0.001", day = "0.1" }
"""
MILLISECONDS = int(NOW.timestamp()) * 1000
COIN = Unspent("ab" * 32, 1, 30_000_000, hot("bitcoin"))


def evm_payer(signed: Signed) -> str:
    return str(Account.recover_transaction(signed.raw))


def tron_payer(signed: Signed) -> str:
    public = PublicKey.from_signature_and_message(signed.raw[-65:], bytes.fromhex(signed.txid), hasher=None)
    return tron_codec.from_public_key(public.format())


@dataclass(frozen=True)
class Way:
    """One family: a plan, another that excludes it on the chain, one that does not, and who signed."""

    network: str
    asset: str
    cap: int
    fee: int
    plan: object
    excluding: tuple[object, ...]
    independent: tuple[object, ...]
    payer: Callable[[Signed], str] | None = None

    def intent(self, asking: Asking, units: int, **more: object) -> Intent:
        payer = hot(self.network)
        payment = asking.payment(units, to=stranger(0, self.network), source=payer, asset=self.asset)
        fields: dict[str, object] = {"network": self.network, "payer": payer, "fee_max_units": self.fee}
        return asking.intent(payment, **(fields | more))


EVM = EvmPlan(Shape.NATIVE, 1, nonce=5, gas_limit=21_000, max_fee=10**9, priority_fee=1)
TRON = TronPlan(7, (7).to_bytes(8, "big") + bytes(24), MILLISECONDS, MILLISECONDS + 60_000, 0, 345_000)
BITCOIN = BitcoinPlan((COIN,), hot("bitcoin"), (20_000_000 - 2_000,), 2_000, 0, 800_000, 800_000)
TON = TonPlan(3, MILLISECONDS // 1000, False, (False,), 0, 10**7)
SOLANA = SolanaPlan(solana_codec.base58(bytes(range(32))), 100, 250, 1_000, 0, False, (False,), (False,), 0)

WAYS = [
    Way(
        "ethereum",
        "eth-ethereum",
        10**18,
        10**16,
        EVM,
        excluding=(replace(EVM, max_fee=2 * 10**9), replace(EVM, gas_limit=22_000)),
        independent=(replace(EVM, nonce=6), replace(EVM, nonce=4)),
        payer=evm_payer,
    ),
    Way(
        "solana",
        "sol-solana",
        10**9,
        10**6,
        SOLANA,
        excluding=(),
        independent=(
            replace(SOLANA, blockhash=solana_codec.base58(bytes(range(1, 33)))),
            replace(SOLANA, compute_units=1_001),
        ),
    ),
    Way(
        "tron",
        "trx-tron",
        10**9,
        50 * 10**6,
        TRON,
        excluding=(),
        independent=(
            replace(TRON, timestamp_ms=MILLISECONDS + 1),
            replace(TRON, expiration_ms=MILLISECONDS + 61_000),
            replace(TRON, ref_height=8, ref_id=(8).to_bytes(8, "big") + bytes(24)),
        ),
        payer=tron_payer,
    ),
    Way(
        "bitcoin",
        "btc-bitcoin",
        10**7,
        100_000,
        BITCOIN,
        excluding=(replace(BITCOIN, change=(20_000_000 - 4_000,), fee_units=4_000),),
        independent=(
            replace(BITCOIN, inputs=(replace(COIN, vout=2),)),
            replace(BITCOIN, inputs=(replace(COIN, txid="cd" * 32),)),
        ),
    ),
    Way(
        "ton",
        "ton-ton",
        10**11,
        10**9,
        TON,
        excluding=(replace(TON, is_deploying=True), replace(TON, fee_units=2 * 10**7)),
        independent=(replace(TON, created_at=TON.created_at + 60), replace(TON, number=4)),
    ),
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.network)


@pytest.fixture
def live(tmp_path: Path) -> Asking:
    return Asking.start(tmp_path / "live", POLICY)


@ways
def test_a_live_signer_signs_for_every_family(live: Asking, way: Way) -> None:
    intent = way.intent(live, way.cap)
    signed = live.sign_by(way.plan, intent)
    assert way.payer is None or way.payer(signed) == hot(way.network).address
    issued = live.audit()[-1]
    assert isinstance(issued, Issued)
    assert (issued.txid, issued.raw) == (signed.txid, sha256(signed.raw).hexdigest())
    assert live.sign_by(way.plan, intent) == signed


@ways
def test_PAY_36_every_family_stands_under_the_same_caps(live: Asking, way: Way) -> None:
    with pytest.raises(ApprovalNeeded):
        live.sign_by(way.plan, way.intent(live, way.cap + 1))
    for _ in range(8):
        live.sign_by(way.plan, way.intent(live, way.cap))
    with pytest.raises(CapReached):
        live.sign_by(way.plan, way.intent(live, 1000))
    with pytest.raises(SignerRefused, match=r"a fee on .* is at most"):
        live.sign_by(way.plan, way.intent(live, 1000, fee_max_units=2 * way.fee))


@ways
def test_PAY_15_every_family_holds_the_plan_to_the_intent_s_fee(live: Asking, way: Way) -> None:
    with pytest.raises(PlanMismatch):
        live.sign_by(way.plan, way.intent(live, way.cap, fee_max_units=1))
    assert live.room.history.windows.keys() == []


@ways
def test_versions_that_exclude_each_other_are_free_of_the_caps(live: Asking, way: Way) -> None:
    intent = way.intent(live, way.cap)
    txids = {live.sign_by(plan, intent).txid for plan in (way.plan, *way.excluding)}
    kinds = [event.kind for event in live.audit() if isinstance(event, Issued)]
    assert kinds == ["first", *["bump"] * len(way.excluding)]
    assert len(txids) >= 1


@ways
def test_versions_that_might_both_take_effect_need_the_first_dead_and_count_again(live: Asking, way: Way) -> None:
    for plan in way.independent:
        intent = way.intent(live, way.cap)
        first = live.sign_by(way.plan, intent)
        with pytest.raises(SignerRefused, match="prove it dead first"):
            live.sign_by(plan, intent)
        live.sign_by(plan, intent, dead=[first.txid])
        issued = live.audit()[-1]
        assert isinstance(issued, Issued)
        assert (issued.kind, issued.dead) == ("again", (first.txid,))
        assert (way.asset, way.cap) in issued.takes


@ways
def test_a_live_signer_signs_no_simulated_plan_and_a_sandbox_no_real_one(
    live: Asking, asking: Asking, way: Way
) -> None:
    with pytest.raises(PlanMismatch, match=f"not a plan for {way.network}"):
        live.sign_by(SimulatedPlan(1, 0), way.intent(live, 1000))
    with pytest.raises(PlanMismatch, match=f"not a plan for {way.network}"):
        asking.sign_by(way.plan, way.intent(asking, 1000))


@pytest.mark.parametrize("network", ["ethereum", "tron", "bitcoin", "ton", "solana"])
def test_the_plan_of_another_family_is_refused(live: Asking, network: str) -> None:
    asked = next(way for way in WAYS if way.network == network)
    for way in WAYS:
        if way is not asked:
            with pytest.raises(PlanMismatch):
                live.sign_by(way.plan, asked.intent(live, 1000))


def test_PAY_35_a_contract_is_taken_from_the_signer_s_registry(live: Asking) -> None:
    """Whoever writes another contract into the plan, or another chain, gets nothing: plans have no contracts."""
    live.configure(POLICY.replace("[fees]", 'usdt-ethereum = { payment = "1", hour = "1", day = "1" }\n[fees]'))
    live.restart()
    payer = hot("ethereum")
    payment = live.payment(10**6, to=stranger(0, "ethereum"), source=payer, asset="usdt-ethereum")
    intent = live.intent(payment, network="ethereum", payer=payer, fee_max_units=10**16)
    signed = live.sign_by(replace(EVM, shape=Shape.TOKEN, gas_limit=90_000), intent)
    contract = live.room.registry.assets["usdt-ethereum"].contract
    assert bytes.fromhex(contract[2:]) in signed.raw
    with pytest.raises(PlanMismatch, match="another chain id"):
        live.sign_by(replace(EVM, shape=Shape.TOKEN, chain_id=56, gas_limit=91_000), intent)


def test_foreign_coins_and_change_are_refused_on_bitcoin(live: Asking) -> None:
    way = next(way for way in WAYS if way.network == "bitcoin")
    thief = Wallet(COIN.owner.role, COIN.owner.index, stranger(0, "bitcoin"))
    for plan in (replace(BITCOIN, payer=thief), replace(BITCOIN, inputs=(replace(COIN, owner=thief),))):
        with pytest.raises(SignerRefused):
            live.sign_by(plan, way.intent(live, way.cap))
    assert RING.hot_wallet(live.room.registry.networks["bitcoin"]) == COIN.owner
