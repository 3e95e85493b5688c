"""TON addresses byte for byte: the published forms of published accounts, and what each of the 36 bytes decides."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc_hqx

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.chains.codec import ton
from bitlinkpay.core.errors import Invalid

# docs.ton.org, "Smart contract addresses", the example of user-friendly forms.
DOCS = "0:ca6e321c7cce9ecedf0a8ca2492ec8592494aa5fb5ce0387dff96ef6af982a3e"
DOCS_FORMS = {
    "EQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPrHF": (True, False),
    "UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA": (False, False),
    "kQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPgpP": (True, True),
    "0QDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPleK": (False, True),
}
# TEP-2, "Addresses": the test giver, in the masterchain, in plain Base64.
GIVER = "-1:fcb91a3a3816d0f7b8c2c76108b8a9bc5a6b7a55bd79f8ab101c52db29232260"
GIVER_SHOWN = "kf/8uRo6OBbQ97jCx2EIuKm8Wmt6Vb15+KsQHFLbKSMiYIny"


def test_the_checksum_is_the_one_of_the_catalogue() -> None:
    """CRC-16/XMODEM has the check value 31C3 (reveng.sourceforge.io/crc-catalogue, "123456789")."""
    assert crc_hqx(b"123456789", 0) == 0x31C3


@pytest.mark.parametrize(("text", "form"), DOCS_FORMS.items())
def test_the_documentation_s_forms_are_read_and_written(text: str, form: tuple[bool, bool]) -> None:
    bounceable, testnet = form
    assert ton.parse(text, testnet=testnet) == DOCS
    show = ton.show_contract if bounceable else ton.show
    assert show(DOCS, testnet=testnet) == text


@pytest.mark.parametrize(("text", "form"), DOCS_FORMS.items())
def test_a_form_for_one_kind_of_network_is_refused_on_the_other(text: str, form: tuple[bool, bool]) -> None:
    with pytest.raises(Invalid, match="another TON network") as caught:
        ton.parse(text, testnet=not form[1])
    assert caught.value.param == "address"


def test_the_standard_s_masterchain_address_is_read_in_both_alphabets() -> None:
    assert ton.parse(GIVER_SHOWN, testnet=True) == GIVER
    assert ton.parse(GIVER_SHOWN.translate(str.maketrans("+/", "-_")), testnet=True) == GIVER
    assert ton.show_contract(GIVER, testnet=True) == GIVER_SHOWN.translate(str.maketrans("+/", "-_"))


@pytest.mark.parametrize("testnet", [True, False])
@pytest.mark.parametrize("raw", [DOCS, GIVER])
def test_the_raw_form_belongs_to_every_network_and_is_written_in_lower_case(raw: str, testnet: bool) -> None:
    assert ton.parse(raw, testnet=testnet) == raw
    chain, _, digits = raw.partition(":")
    assert ton.parse(f"{chain}:{digits.upper()}", testnet=testnet) == raw


def spell(flags: int, workchain: int) -> str:
    data = bytes([flags, workchain]) + bytes.fromhex(DOCS[2:])
    return urlsafe_b64encode(data + crc_hqx(data, 0).to_bytes(2, "big")).decode()


@pytest.mark.parametrize("testnet", [True, False])
def test_of_all_flags_two_are_known_on_each_kind_of_network(testnet: bool) -> None:
    known = []
    for flags in range(256):
        try:
            assert ton.parse(spell(flags, 0), testnet=testnet) == DOCS
        except Invalid:
            continue
        known.append(flags)
    assert known == ([0x91, 0xD1] if testnet else [0x11, 0x51])


def test_of_all_workchains_two_are_known() -> None:
    known = {}
    for workchain in range(256):
        try:
            known[workchain] = ton.parse(spell(0x51, workchain), testnet=False)
        except Invalid as error:
            assert error.message == "this TON address names an unknown workchain"
    assert known == {0: DOCS, 255: "-1:" + DOCS[2:]}


@pytest.mark.parametrize("bit", range(36 * 8))
def test_no_flipped_bit_gives_another_address(bit: int) -> None:
    """A CRC finds every single flipped bit, in the account, the flags and the checksum itself."""
    raw = bytearray(urlsafe_b64decode("UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA"))
    raw[bit // 8] ^= 0x80 >> bit % 8
    with pytest.raises(Invalid, match="checksum"):
        ton.parse(urlsafe_b64encode(raw).decode(), testnet=False)


@given(st.integers(0, 47), st.integers(0, 47))
def test_two_letters_that_changed_places_are_noticed(first: int, second: int) -> None:
    letters = list("UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA")
    letters[first], letters[second] = letters[second], letters[first]
    text = "".join(letters)
    try:
        assert ton.parse(text, testnet=False) == DOCS
    except Invalid:
        assert text not in DOCS_FORMS
    else:
        assert text in DOCS_FORMS


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_whatever_is_shown_is_read_back(account: bytes, testnet: bool) -> None:
    address = ton.from_bytes(account)
    for show in (ton.show, ton.show_contract):
        text = show(address, testnet=testnet)
        assert len(text) == 48
        assert ton.parse(text, testnet=testnet) == address


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_an_account_id_of_another_size_is_a_fault_of_ours(size: int) -> None:
    with pytest.raises(AssertionError, match=f"32 bytes, not {size}"):
        ton.from_bytes(bytes(size))


@pytest.mark.parametrize(
    "text",
    [
        " " + DOCS,
        DOCS + " ",
        DOCS.replace("0:", "+0:"),
        DOCS.replace("0:", ":"),
        DOCS.replace("0:", "0x"),
        DOCS.replace("0:", "-1 :"),
        DOCS[2:],
        DOCS.replace("c", "с"),
        "０" + DOCS[1:],
        "UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuw=",
        "UQDKbjIcfM6ezt8KjKJJLshZJJSqX7XOA4ff-W72r5gqPuwA\n",
        "UQDKbjIcfM6ezt8KjKJJLshZ JJSqX7XOA4ff-W72r5gqPuw",
    ],
)
def test_what_only_resembles_an_address_is_told_how_one_looks(text: str) -> None:
    with pytest.raises(Invalid, match="48 letters and digits"):
        ton.parse(text, testnet=False)
