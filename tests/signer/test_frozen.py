"""Addresses that must never change: money lies on them. A change of any path, encoding or secret fails here."""

import pytest

from bitlinkpay.chains.ton.highload import SUBWALLET_ID, TIMEOUT_S
from bitlinkpay.core.assets import Family
from bitlinkpay.signer.keyring import HotAddress
from bitlinkpay.signer.keys import SolanaBranch, derive_keyring, recover_private_key
from bitlinkpay.signer.service import RESTORE_GAP
from bitlinkpay.wallets.derivation import Derivation

SEED = bytes(range(64))
INDEXES = (0, 1, 1_000_000)

RING = derive_keyring(SEED)
FROZEN = {
    (Family.EVM, False): (
        "0x255482b10cea431d6aF9ea4fcD9E4de262E8c341",
        "0xf39f0372c01aD568076B748B74B96ef4225BDCa5",
        "0x9074abEe43DA7E14507D70001F0FfAeE7bBAd3dc",
    ),
    (Family.TRON, False): (
        "TVdp78oC6wMdVV7bVRvYzkjm8UWs7Ue7oS",
        "TBmjYGB8MdnAqUpfydUXb39KiGcRQzrfWn",
        "TKyxvWUsPf47b9PKZWPGZGDjoCV1oN7kRq",
    ),
    (Family.BITCOIN, False): (
        "bc1qyxp8y0sgxjexjusgz0r5m79c5rq34rqtfxjhf4",
        "bc1qsp0duml3jdwzmrl2nag09vdnczexsddv0tm5wa",
        "bc1q8jezeakpj42epyc27e89zspnfm6gaj57jyawd8",
    ),
    (Family.BITCOIN, True): (
        "tb1qtp5clz24d2mvkd56nc0rpwu5s2y8ust34n5g74",
        "tb1qma7y8lzmsa4e08y84umauh2wnlrayles97e5gq",
        "tb1qf8mues5vh8rnd58lwzn6ht5hxw722c9lhjnd8f",
    ),
}
SOLANA = (
    "EtaJ5tbY53MFKuMDzvLFM4gmFUUEWQtnGJRZAKi8XPST",
    "EaAYgaQs1wjTYSPKF12BCpWwUYX1XbVF3zWXLpeiVkzh",
    "EqAXRSpQp4tTjFVShMFFSTDVHRLsAwdKbbk9gc8rY2D",
)
HOT = {
    (Family.EVM, False): "0x43afA96F1DC56947626C5a951e0de99Ae0337020 0x0Cb2f36706989C5977364cC5295B9dD7397a58AE",
    (Family.TRON, False): "TH6dCoPrCdTZqXvT4P248MLCekK27A7G1T TWMzfrnW3eoYbxKcj3WsqPK4GfjvKjPWX6",
    (
        Family.BITCOIN,
        False,
    ): "bc1qrr6tpr7jstpfc4df4ayqzqu0dvc76qgmm4ggjt bc1q3t87mfuardsd0j3yyjenvzqjd2dv2vu2jke6y5",
    (Family.BITCOIN, True): "tb1q5s2x6l3j6lm4hff2a4eptnffuph53mpnwdyrzf tb1qmuyqut9f5mar7hm6sxj9m5rvqyv7f7yw7d5yp4",
    (
        Family.SOLANA,
        False,
    ): "FrxwWDQcUD6Bj95L81NTGrdwZUwbcmVxMgfTmBL6Bk9K 2aYjDWdaJGC8zeKZUeuxyU9sk1LxyRnmxZ8RXvnFCQbU",
}  # indexes 0 and 7
TAGS = ("643242114", "790850889", "105380988")


def test_the_identity_of_a_seed() -> None:
    assert RING.fingerprint == "bcd371ae4e340120de671131ce43a7c9"
    assert RING.ton_wallet == "0:5bcc86aa8b28ebfc46e60245ab310c0136ee1a1f74583478138ec1a7a2f4a979"
    assert RING.tag_secret().hex() == "6e4b92cb545bc94179de85298188a6f579fbc0d446d5485ccf0c4eb03ae050f0"


@pytest.mark.parametrize(("family", "testnet"), list(FROZEN))
def test_derived_addresses(family: Family, testnet: bool) -> None:
    derivation = Derivation(RING)
    assert tuple(derivation.address(family, index, testnet=testnet) for index in INDEXES) == FROZEN[family, testnet]


def test_solana_addresses() -> None:
    branch = SolanaBranch.of(SEED)
    assert tuple(branch.pool(index, 1)[0].address for index in INDEXES) == SOLANA


@pytest.mark.parametrize(("family", "testnet"), list(HOT))
def test_hot_addresses(family: Family, testnet: bool) -> None:
    found = [hot for hot in RING.hot if (hot.family, hot.is_testnet) == (family, testnet)]
    assert [hot.index for hot in found] == list(range(8))
    assert f"{found[0].address} {found[7].address}" == HOT[family, testnet]


def test_the_hot_wallet_of_ton_is_the_one_wallet() -> None:
    assert [hot for hot in RING.hot if hot.family is Family.TON] == [HotAddress(Family.TON, False, 0, RING.ton_wallet)]


def test_ton_places() -> None:
    derivation = Derivation(RING)
    assert tuple(derivation.place(index) for index in INDEXES) == tuple((RING.ton_wallet, tag) for tag in TAGS)


def test_testnet_means_something_on_bitcoin_only() -> None:
    derivation = Derivation(RING)
    for family in (Family.EVM, Family.TRON):
        assert derivation.address(family, 5, testnet=True) == derivation.address(family, 5, testnet=False)


def test_the_wallet_contract_parameters_are_part_of_the_address() -> None:
    assert (SUBWALLET_ID, TIMEOUT_S) == (0x10AD, 3600)


def test_the_gap_of_a_restore_is_wide() -> None:
    """More than a busy platform hands out between two backups, and far from the end of the index range."""
    assert 100_000 <= RESTORE_GAP <= 2**31 // 100


@pytest.mark.parametrize("index", [-1, 2**31])
def test_indexes_outside_of_bip32_are_a_broken_belief(index: int) -> None:
    with pytest.raises(AssertionError):
        recover_private_key(SEED, Family.EVM, index)
