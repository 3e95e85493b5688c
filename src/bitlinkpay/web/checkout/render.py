"""Templates: compiled once per language, always escaping, undefined names are errors."""

from functools import cache
from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from bitlinkpay.web.checkout import files as static
from bitlinkpay.web.checkout.figures import Figure, Stressed
from bitlinkpay.web.checkout.language import Language, catalogue


@cache
def environment(language: Language) -> Environment:
    """Return the templates in a language."""
    folder = files(__package__) / "templates"
    sources = {
        entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name[-5:] == ".html"
    }
    made = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    texts = catalogue(language)
    made.install_gettext_callables(texts.gettext, texts.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.filters["digits"] = digits
    made.filters["ends"] = ends
    made.globals["static"] = {"style": static.style(), "script": static.script()}
    made.globals["languages"] = tuple(Language)
    return made


def render(language: Language, template: str, **context: object) -> str:
    """Return a template filled with `context`."""
    return environment(language).get_template(template).render(context, language=language)


def digits(number: Figure) -> Markup:
    """Return a number with its groups in elements of their own: thin space by style, plain digits when copied."""
    groups = Markup("").join(Markup("<i>{}</i>").format(group) for group in number.groups)
    return Markup("{}.{}").format(groups, number.fraction) if number.fraction else groups


def ends(text: Stressed) -> Markup:
    """Return an address or hash with its first and last characters stressed."""
    return Markup("<b>{}</b>{}<b>{}</b>").format(text.head, text.middle, text.tail)
