"""QR codes as inline SVG (ISO/IEC 18004), drawn on the server so that the page needs no script for them."""

from functools import lru_cache

import segno
from markupsafe import Markup

_QUIET_ZONE = 2  # modules of white that belong to the drawing; the white tile around it gives the rest of the four


@lru_cache(maxsize=512)
def qr_svg(content: str) -> Markup:
    """Return `content` as an SVG of at most a few kB: medium error correction or better at the same size.

    The content goes in as data of the code, never as markup: the drawing holds numbers only.
    """
    code = segno.make_qr(content, error="m")
    drawing = code.svg_inline(border=_QUIET_ZONE, omitsize=True, svgclass="qr", lineclass=None)
    head = '<svg shape-rendering="crispEdges" aria-hidden="true" focusable="false"'
    return Markup(drawing.replace("<svg", head, 1))  # noqa: S704 - segno draws numbers only
