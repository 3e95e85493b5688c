"""The hosted page's texts: `python tools/catalogue.py` extracts them, updates every .po and compiles every .mo.

A new text appears in the .po files without a translation; write it there and run this again. Tests fail until then.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = ROOT / "src" / "bitlinkpay" / "web" / "checkout"
LANGUAGES = ("zh_Hans", "zh_Hant")
HEADER = "# The hosted page's texts; the source is English. `python tools/catalogue.py` keeps this in step."
DATE = datetime(2026, 1, 1, tzinfo=UTC)  # fixed, so that the same texts give the same bytes


def po_path(language: str) -> Path:
    return CHECKOUT / "locale" / language / "LC_MESSAGES" / "checkout.po"


def extracted() -> Catalog:
    """Return every text that the source and the templates hold now."""
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    methods = [(str(Path(pattern).relative_to("src/bitlinkpay/web/checkout")), method) for pattern, method in methods]
    found = Catalog()
    for _, _, message, _, context in extract_from_dir(CHECKOUT, methods, options):
        found.add(message, context=context)
    return found


def catalogue(language: str) -> Catalog:
    """Return a language's catalogue as it is on disk; an empty one where there is none."""
    path = po_path(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def compiled(texts: Catalog) -> bytes:
    """Return the .mo of a catalogue, without fuzzy guesses."""
    target = io.BytesIO()
    write_mo(target, texts, use_fuzzy=False)
    return target.getvalue()


def untranslated(texts: Catalog) -> Iterator[str]:
    """Yield the texts that a language lacks, or that are only guessed."""
    for message in texts:
        is_empty = not (all(message.string) if isinstance(message.string, tuple | list) else message.string)
        if message.id and (is_empty or message.fuzzy):
            yield message.id if isinstance(message.id, str) else message.id[0]


def update(language: str) -> list[str]:
    """Bring one language in step with the source and return what it lacks."""
    texts = catalogue(language)
    texts.update(extracted(), no_fuzzy_matching=True)
    texts.obsolete.clear()
    texts.header_comment, texts.fuzzy = HEADER, False
    texts.project, texts.version = "BitLink Pay", "checkout"
    texts.creation_date = texts.revision_date = DATE
    texts.msgid_bugs_address = texts.last_translator = texts.language_team = "-"
    path = po_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, texts, no_location=True, omit_header=False, width=110, sort_output=False)
    path.with_suffix(".mo").write_bytes(compiled(texts))
    return list(untranslated(texts))


if __name__ == "__main__":
    lacking = {language: update(language) for language in LANGUAGES}
    for language, texts in lacking.items():
        print(f"{language}: {len(texts)} untranslated")
        for text in texts:
            print(f"  {text}")
    sys.exit(any(lacking.values()))
