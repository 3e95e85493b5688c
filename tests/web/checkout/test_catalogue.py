"""Every text of the page is translated, and the compiled catalogues are those of the written ones."""

import re

import pytest
from babel.messages.catalog import Catalog
from tools.catalogue import LANGUAGES, catalogue, compiled, extracted, po_path, untranslated

_PLACE = re.compile(r"%\(\w+\)[sd]|\{n\}")


def texts_of(texts: Catalog) -> dict[str, list[str]]:
    """Return the translations of each text by its source."""
    found = {}
    for message in texts:
        if message.id:
            key = message.id if isinstance(message.id, str) else message.id[0]
            found[key] = list(message.string) if isinstance(message.string, tuple) else [message.string or ""]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_untranslated(language: str) -> None:
    assert list(untranslated(catalogue(language))) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_holds_exactly_the_texts_of_the_source(language: str) -> None:
    assert set(texts_of(catalogue(language))) == set(texts_of(extracted()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_is_in_step(language: str) -> None:
    written = compiled(catalogue(language))
    assert po_path(language).with_suffix(".mo").read_bytes() == written, "run tools/catalogue.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_the_places_for_figures_and_names(language: str) -> None:
    for source, translations in texts_of(catalogue(language)).items():
        for translation in translations:
            assert sorted(_PLACE.findall(translation)) == sorted(_PLACE.findall(source)), source


def test_simplified_and_traditional_are_two_scripts() -> None:
    simplified, traditional = (texts_of(catalogue(language)) for language in LANGUAGES)
    for source, translations in simplified.items():
        assert not set("".join(translations)) & set("單幣關網態過後頁錄帳"), source
    for source, translations in traditional.items():
        assert not set("".join(translations)) & set("单币关网态过后页录账"), source
