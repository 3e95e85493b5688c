import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.web.checkout.language import Language, catalogue, choose_language, parse_language

EN, HANS, HANT = Language.ENGLISH, Language.SIMPLIFIED, Language.TRADITIONAL


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", EN),
        ("en-GB", EN),
        ("EN_us", EN),
        ("zh", HANS),
        ("zh-CN", HANS),
        ("zh-SG", HANS),
        ("zh_Hans", HANS),
        ("zh-Hans-TW", HANS),
        ("cmn", HANS),
        ("zh-TW", HANT),
        ("zh-HK", HANT),
        ("zh-MO", HANT),
        ("zh_Hant", HANT),
        ("zh-Hant-CN", HANT),
        ("zh-hant-hk", HANT),
        ("yue", HANT),
        ("yue-Hans", HANS),
        (" zh-tw ", HANT),
    ],
)
def test_chinese_is_told_apart_by_script(tag: str, language: Language) -> None:
    assert parse_language(tag) is language


@pytest.mark.parametrize("tag", ["", "fr", "english", "*", "zhtw", "<script>", "../zh"])
def test_other_tags_are_not_spoken(tag: str) -> None:
    assert parse_language(tag) is None


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-TW,zh;q=0.9,en;q=0.8", HANT),
        ("fr-FR, en;q=0.3, zh-CN;q=0.7", HANS),
        ("zh-CN;q=0, en;q=0.1", EN),
        ("de, fr", EN),
        ("zh-HK;q=abc, en;q=0.5", EN),
        ("", EN),
        (",;,q=1,;;", EN),
        ("fr," * 19 + "fr,zh", EN),
    ],
)
def test_the_browser_is_asked_by_weight(accepted: str, language: Language) -> None:
    assert choose_language(asked="", ordered="", accepted=accepted) is language


def test_the_payers_choice_goes_before_the_orders_and_the_browsers() -> None:
    assert choose_language(asked="zh-TW", ordered="en", accepted="zh-CN") is HANT
    assert choose_language(asked="", ordered="zh", accepted="en") is HANS
    assert choose_language(asked="xx", ordered="yy", accepted="zh-MO") is HANT


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=2000))
def test_no_header_or_link_breaks_the_choice(asked: str, ordered: str, accepted: str) -> None:
    assert choose_language(asked=asked, ordered=ordered, accepted=accepted) in Language


def test_each_language_has_its_own_words() -> None:
    words = {language: catalogue(language).gettext("Waiting for your payment") for language in Language}
    assert words == {EN: "Waiting for your payment", HANS: "等待付款", HANT: "等待付款"}
    assert catalogue(HANS).gettext("Paid") == catalogue(HANT).gettext("Paid") == "支付成功"
    assert catalogue(HANT).gettext("This order has expired") == "訂單已過期"


def test_tags_and_names_for_links() -> None:
    assert [(language.tag, language.own_name) for language in Language] == [
        ("en", "English"),
        ("zh-Hans", "简体中文"),
        ("zh-Hant", "繁體中文"),
    ]
