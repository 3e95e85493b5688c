"""Lists and the form in which addresses are compared: pure."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlinkpay.chains.codec import ton, tron
from bitlinkpay.risk.lists import BYTES_MAX, AddressList, BadList, fold, must_replace, parse_list

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

EVM = "0x7F367cC41522cE07553e823bf3be79A889DEbe1B"
KEY = bytes.fromhex(EVM[2:])
TRON = tron.from_bytes(KEY)
BECH32 = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
BASE58 = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
SOLANA = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
TON_RAW = "0:" + "ab" * 32
TON_UQ = ton.show(TON_RAW, testnet=False)
TON_EQ = ton.show_contract(TON_RAW, testnet=False)
TON_0Q = ton.show(TON_RAW, testnet=True)

FORMS = [
    (
        EVM,
        [EVM, EVM.lower(), EVM.upper(), EVM.lower()[2:], "XDC" + EVM[2:], TRON, "41" + KEY.hex(), "0x41" + KEY.hex()],
    ),
    (TRON, [TRON, EVM, "41" + KEY.hex().upper()]),
    (BECH32, [BECH32, BECH32.upper()]),
    (BASE58, [BASE58]),
    (SOLANA, [SOLANA]),
    (TON_RAW, [TON_RAW, TON_RAW.upper(), TON_UQ, TON_EQ, TON_0Q, TON_UQ.replace("-", "+").replace("_", "/")]),
]


@pytest.mark.parametrize(("ours", "listed"), [(ours, listed) for ours, forms in FORMS for listed in forms])
@pytest.mark.parametrize("prefix", ["", "ethereum:", "XBT: ", "tron:"])
def test_AML_01_a_listed_address_is_found_in_each_format_and_case(ours: str, listed: str, prefix: str):
    found = parse_list("t", f"{prefix}{listed}\n".encode())
    assert found.find(ours) == f"{prefix}{listed}"


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (EVM, EVM[:-1] + "C"),
        (BASE58, BASE58.lower()),
        (SOLANA, SOLANA.swapcase()),
        (TRON, TRON[:-1] + ("1" if TRON[-1] != "1" else "2")),
        (TON_RAW, "-1:" + "ab" * 32),
        (BECH32, BECH32[:-1] + "5"),
    ],
)
def test_another_address_is_not_found(ours: str, other: str):
    assert parse_list("t", f"{other}\n".encode()).find(ours) is None


def test_comments_blank_lines_and_a_byte_order_mark_are_passed_over():
    text = f"\ufeff# OFAC SDN\n\n  {EVM}  # since 2022\r\ntron:{TRON}\n{BASE58}\n\n"
    found = parse_list("t", text.encode())
    assert found.rows == 2, "the TRON line names the same key again"
    assert found.find(EVM) == EVM
    assert found.find(BASE58)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n", "no address"),
        (b"# nothing\n", "no address"),
        (EVM.encode(), "cut off"),
        (f"{BASE58}\n{EVM[:20]}".encode(), "cut off"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"\x00\x00\x00\n", "line 1"),
        (f"{EVM} {BASE58}\n".encode(), "line 1"),
        (f"{BASE58}\nan address\n".encode(), "line 2"),
        (b"<html><body>404</body></html>\n", "line 1"),
        (b"0x" + b"a" * 400 + b"\n", "line 1"),
        (b"a\n" * (BYTES_MAX // 2 + 1), "longer"),
    ],
)
def test_AML_05_a_damaged_file_is_refused_with_its_reason(content: bytes, reason: str):
    with pytest.raises(BadList, match=reason):
        parse_list("t", content)


def _rows(count: int) -> AddressList:
    return parse_list("t", b"".join(b"0x%040x\n" % number for number in range(count)))


@pytest.mark.parametrize(
    ("before", "after", "is_good"), [(100, 95, True), (100, 94, False), (1, 1, True), (20, 19, True)]
)
def test_AML_05_more_than_5_percent_fewer_rows_are_refused(before: int, after: int, is_good: bool):
    if is_good:
        must_replace(_rows(after), _rows(before))
    else:
        with pytest.raises(BadList, match="only 94 addresses left of 100"):
            must_replace(_rows(after), _rows(before))


def test_the_version_is_the_hash_of_the_content():
    assert _rows(2).version != _rows(3).version
    assert _rows(2).version == _rows(2).version
    assert len(_rows(2).version) == 64


@given(st.text(max_size=100))
def test_folding_is_stable(text: str):
    assert fold(fold(text)) == fold(text)


def test_AML_01_a_tron_address_that_begins_like_a_test_network_of_bitcoin_is_found():
    key = "0b646c1326c6d18bbd5e74808f6bb5827a4cea9f"
    address = "TB1Sjd8AXtZ75GNPVc9tT8votEjBJhEuAv"
    assert parse_list("t", f"0x{key}\n".encode()).find(address) == f"0x{key}"
    assert parse_list("t", f"{address}\n".encode()).find(f"0x{key}") == address


@given(st.binary(min_size=20, max_size=20))
def test_one_key_has_one_form_on_all_networks_that_share_it(key: bytes):
    forms = {f"0x{key.hex()}", f"0x{key.hex().upper()}", tron.from_bytes(key), f"41{key.hex()}"}
    assert len({fold(form) for form in forms}) == 1


@given(st.binary(max_size=500))
def test_any_bytes_are_a_list_or_refused(content: bytes):
    try:
        assert parse_list("t", content).rows > 0
    except BadList:
        assert True
