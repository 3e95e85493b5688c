"""EVM signing, read back by other decoders: exactly the intent's transaction, or nothing."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_keys.backends import CoinCurveECCBackend, get_backend
from eth_keys.datatypes import PrivateKey, Signature
from eth_utils import keccak
from hexbytes import HexBytes
from rlp import decode as rlp_decode
from rlp import encode as rlp_encode
from tests.chains.evm.ours import HOT, OTHER_HOT, deposit, intent, keys, payout, sweep
from tests.chains.evm.rows import coin, token

from bitlinkpay.chains.evm.delegates import FACTORY, delegates_of, deployment
from bitlinkpay.chains.evm.plan import Authorization, EvmPlan, Shape
from bitlinkpay.chains.outgoing import Purpose, Wallet
from bitlinkpay.signer.families.evm import sign
from bitlinkpay.signer.problems import ForeignAsset, ForeignWallet, PlanMismatch

ETH, USDT = coin(), token("0x" + "da" * 20)
A, B = deposit(1).address, deposit(2).address
CURVE_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TOKEN = EvmPlan(Shape.TOKEN, 31337, nonce=7, gas_limit=90_000, max_fee=10**10, priority_fee=10**9)
NATIVE = replace(TOKEN, shape=Shape.NATIVE)
RESIDENT_MAX = 90 << 20


def read(raw: bytes) -> dict[str, object]:
    return TypedTransaction.from_bytes(HexBytes(raw)).as_dict()


def authorities(raw: bytes) -> list[tuple[int, str, int, str]]:
    """Return chain id, delegate, nonce and who signed it of each authorization, recovered by EIP-7702's own rule."""
    found = []
    for chain_id, delegate, nonce, parity, r, s in rlp_decode(raw[1:])[9]:
        message = keccak(b"\x05" + rlp_encode([chain_id, delegate, nonce]))
        signature = Signature(vrs=tuple(int.from_bytes(part, "big") for part in (parity, r, s)))
        owner = get_backend().ecdsa_recover(message, signature).to_checksum_address()
        found.append((int.from_bytes(chain_id, "big"), "0x" + delegate.hex(), int.from_bytes(nonce, "big"), owner))
    return found


def test_a_token_payment_is_one_transfer_call_and_nothing_else() -> None:
    signed = sign(payout(USDT, (A, 12_500_000)), TOKEN, keys(USDT))
    tx = read(signed.raw)
    assert (tx["type"], tx["chainId"], tx["nonce"], tx["gas"]) == (2, 31337, 7, 90_000)
    assert (tx["maxFeePerGas"], tx["maxPriorityFeePerGas"], tx["value"]) == (10**10, 10**9, 0)
    assert tx["to"].hex() == USDT.contract[2:].lower()
    assert tx["data"].hex() == "a9059cbb" + A[2:].lower().rjust(64, "0") + f"{12_500_000:064x}"
    assert tx["accessList"] == ()
    assert Account.recover_transaction(signed.raw) == HOT.address
    assert signed.txid == "0x" + keccak(signed.raw).hex()


def test_a_native_payment_is_the_transactions_own_value_to_the_wei() -> None:
    units = 2**70 + 1
    tx = read(sign(payout(ETH, (A, units)), NATIVE, keys()).raw)
    assert (tx["value"], tx["data"].hex(), tx["to"].hex()) == (units, "", A[2:].lower())


def test_a_batch_is_a_call_to_oneself() -> None:
    plan = replace(TOKEN, shape=Shape.BATCH, item_gas=100_000)
    tx = read(sign(payout(USDT, (A, 5), (B, 6)), plan, keys(USDT)).raw)
    words = [tx["data"].hex()[8:][i : i + 64] for i in range(0, len(tx["data"].hex()) - 8, 64)]
    assert tx["to"].hex() == HOT.address[2:].lower()
    assert [int(word, 16) for word in words] == [
        int(USDT.contract, 16), 100_000, 96, 2, int(A, 16), 5, int(B, 16), 6,
    ]  # fmt: skip


def test_a_sweep_carries_each_deposit_keys_leave_for_our_sweeper_on_this_chain_only() -> None:
    leave = (Authorization(A, 0), Authorization(B, 3))
    plan = replace(TOKEN, shape=Shape.SWEEP, item_gas=100_000, authorizations=leave)
    signed = sign(sweep(USDT, (deposit(1), 5), (deposit(2), 6)), plan, keys(USDT))
    sweeper = delegates_of(HOT.address).sweeper.lower()
    assert signed.raw[0] == 4
    assert authorities(signed.raw) == [(31337, sweeper, 0, A), (31337, sweeper, 3, B)]
    assert Account.recover_transaction(signed.raw) == HOT.address


def test_a_delegation_authorizes_our_executor_right_after_the_transaction() -> None:
    plan = replace(TOKEN, shape=Shape.DELEGATION, authorizations=(Authorization(HOT.address, 8),), deploys=True)
    signed = sign(intent(Purpose.SETUP), plan, keys())
    fields = rlp_decode(signed.raw[1:])
    assert authorities(signed.raw) == [(31337, delegates_of(HOT.address).executor.lower(), 8, HOT.address)]
    assert fields[5].hex() == FACTORY[2:].lower()
    assert fields[7] == deployment(HOT.address)


def test_the_same_question_has_the_same_answer() -> None:
    wanted = payout(USDT, (A, 5))
    assert sign(wanted, TOKEN, keys(USDT)) == sign(wanted, TOKEN, keys(USDT)), "RFC 6979"


@pytest.mark.parametrize(
    "plan",
    [
        replace(TOKEN, chain_id=1),
        replace(TOKEN, chain_id=0),
        replace(TOKEN, max_fee=10**20),
        replace(TOKEN, shape=Shape.BATCH, item_gas=1),
        replace(TOKEN, authorizations=(Authorization(HOT.address, 8),)),
    ],
)
def test_a_plan_that_does_not_fit_is_not_signed(plan: EvmPlan) -> None:
    wanted = payout(ETH, (A, 5), fee_max=10**16) if plan.shape is Shape.TOKEN else intent(Purpose.CANCEL)
    with pytest.raises(PlanMismatch, match="does not fit its intent"):
        sign(wanted, plan, keys(USDT))


def test_wallets_and_assets_that_are_not_the_signers_own_are_refused() -> None:
    unlisted = token("0x" + "dd" * 20, symbol="FAKE")
    with pytest.raises(ForeignAsset):
        sign(payout(unlisted, (A, 5)), TOKEN, keys(USDT))
    for payer in (replace(HOT, address=OTHER_HOT.address), Wallet(HOT.role, 4000, HOT.address)):
        wanted = intent(Purpose.CANCEL, payer=payer)
        with pytest.raises(ForeignWallet):
            sign(wanted, replace(TOKEN, shape=Shape.CANCEL), keys())
    stranger = replace(deposit(1), index=2)
    plan = replace(TOKEN, shape=Shape.SWEEP, item_gas=1, authorizations=(Authorization(A, 0),))
    with pytest.raises(ForeignWallet):
        sign(sweep(USDT, (stranger, 5)), plan, keys(USDT))


def test_the_contract_called_is_the_signers_own_registrys() -> None:
    moved = token("0x" + "ee" * 20)
    tx = read(sign(payout(USDT, (A, 5)), TOKEN, keys(moved)).raw)
    assert tx["to"].hex() == "ee" * 20, "whatever the asking side believes"


@pytest.mark.parametrize(
    ("key", "message", "signature"),
    [  # as published with python-ecdsa, bitcoinjs and the Trezor firmware: RFC 6979 on secp256k1 with SHA-256, low s
        (
            1,
            "Satoshi Nakamoto",
            (
                "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
                "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
            ),
        ),
        (
            CURVE_N - 1,
            "Satoshi Nakamoto",
            (
                "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0"
                "6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5"
            ),
        ),
        (
            1,
            "All those moments will be lost in time, like tears in rain. Time to die...",
            (
                "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b"
                "547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"
            ),
        ),
    ],
)
def test_PAY_39_nonces_are_those_of_rfc_6979(key: int, message: str, signature: str) -> None:
    digest = sha256(message.encode()).digest()
    signed = PrivateKey(key.to_bytes(32, "big")).sign_msg_hash(digest)
    assert f"{signed.r:064x}{signed.s:064x}" == signature


def test_PAY_39_signatures_have_low_s_and_never_the_same_r() -> None:
    assert isinstance(get_backend(), CoinCurveECCBackend)
    seen = set()
    for nonce in range(1_000):
        tx = read(sign(intent(Purpose.CANCEL), replace(TOKEN, shape=Shape.CANCEL, nonce=nonce), keys()).raw)
        assert 0 < tx["s"] <= CURVE_N // 2
        seen.add(tx["r"])
    assert len(seen) == 1_000


def test_the_signer_with_its_evm_family_stays_within_its_memory() -> None:
    program = (
        "import bitlinkpay.signer.server, bitlinkpay.signer.families.evm\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) << 10 <= RESIDENT_MAX
