"""Which language a payer reads: English, simplified or traditional Chinese, told apart by script (BCP 47)."""

import gettext
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

_TAG_PARTS_MAX: Final = 6
_ACCEPTED_MAX: Final = 20
_HANT_REGIONS: Final = frozenset({"tw", "hk", "mo"})
_CHINESE: Final = frozenset({"zh", "cmn", "yue"})


class Language(StrEnum):
    """A language of the page; the value is the catalogue's folder."""

    ENGLISH = "en"
    SIMPLIFIED = "zh_Hans"
    TRADITIONAL = "zh_Hant"

    @property
    def tag(self) -> str:
        """Return the BCP 47 tag for `lang` attributes and links."""
        return self.value.replace("_", "-")

    @property
    def own_name(self) -> str:
        """Return the language's name in itself."""
        return _OWN_NAMES[self]


_OWN_NAMES: Final = {
    Language.ENGLISH: "English",
    Language.SIMPLIFIED: "简体中文",
    Language.TRADITIONAL: "繁體中文",
}


def parse_language(text: str) -> Language | None:
    """Return the page's language for a tag such as `zh-TW`, `zh_CN` or `en-GB`; None for one that it does not speak."""
    parts = text.strip().lower().replace("_", "-").split("-", _TAG_PARTS_MAX)
    if parts[0] == "en":
        return Language.ENGLISH
    if parts[0] not in _CHINESE:
        return None
    if "hant" in parts or "hans" in parts:
        return Language.TRADITIONAL if "hant" in parts else Language.SIMPLIFIED
    is_traditional = parts[0] == "yue" or not _HANT_REGIONS.isdisjoint(parts)
    return Language.TRADITIONAL if is_traditional else Language.SIMPLIFIED


def choose_language(*, asked: str, ordered: str, accepted: str) -> Language:
    """Return the payer's own choice, else the order's language, else the browser's, else English.

    Args:
        asked: the `lang` of the link that the payer followed on the page, "" for none.
        ordered: `lang` of the order, "" for none.
        accepted: the `Accept-Language` header (RFC 9110, section 12.5.4), "" for none.
    """
    for tag in (asked, ordered, *_by_weight(accepted)):
        language = parse_language(tag)
        if language is not None:
            return language
    return Language.ENGLISH


def _by_weight(accepted: str) -> list[str]:
    """Return the header's tags, heaviest first; a weight that is no number counts as none, 0 means never."""
    weighed: list[tuple[int, str]] = []
    for item in accepted.split(",", _ACCEPTED_MAX)[:_ACCEPTED_MAX]:
        tag, _, weight = item.strip().partition(";")
        thousandths = _thousandths(weight)
        if tag and thousandths > 0:
            weighed.append((-thousandths, tag))
    return [tag for _, tag in sorted(weighed, key=lambda pair: pair[0])]


def _thousandths(weight: str) -> int:
    if not weight:
        return 1000
    whole, _, fraction = weight.strip().removeprefix("q=").partition(".")
    digits = whole + fraction[:3].ljust(3, "0")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


@cache
def catalogue(language: Language) -> gettext.NullTranslations:
    """Return the texts of a language; English is the language that the source is written in."""
    if language is Language.ENGLISH:
        return gettext.NullTranslations()
    path = files(__package__) / "locale" / language.value / "LC_MESSAGES" / "checkout.mo"
    with path.open("rb") as file:
        return gettext.GNUTranslations(file)
