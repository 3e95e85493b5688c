import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlinkpay.web.checkout.accent import accent_key, contrast_tenths, readable

_COLOURS = st.integers(min_value=0, max_value=0xFFFFFF).map(lambda number: f"{number:06x}")


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@given(_COLOURS)
def test_any_accent_is_readable_in_light_and_dark(colour: str) -> None:
    accent = readable(colour)
    assert contrast_tenths(_rgb(accent.light), (255, 255, 255)) >= 45
    assert contrast_tenths(_rgb(accent.dark), (23, 27, 34)) >= 45
    assert contrast_tenths(_rgb(accent.on_light), _rgb(accent.light)) >= 45
    assert contrast_tenths(_rgb(accent.on_dark), _rgb(accent.dark)) >= 45


@pytest.mark.parametrize(
    ("one", "other", "tenths"),
    [
        ((0, 0, 0), (255, 255, 255), 210),
        ((255, 255, 255), (255, 255, 255), 10),
        ((119, 119, 119), (255, 255, 255), 44),  # the well-known grey that just misses 4.5
        ((118, 118, 118), (255, 255, 255), 45),  # and the one that just reaches it
    ],
)
def test_contrast_is_that_of_the_standard(one: tuple[int, int, int], other: tuple[int, int, int], tenths: int) -> None:
    assert contrast_tenths(one, other) == contrast_tenths(other, one) == tenths


def test_a_readable_accent_stays_as_the_merchant_set_it() -> None:
    assert readable("0a6b3d").light == "#0a6b3d"
    assert readable("9fb4ff").dark == "#9fb4ff"


@pytest.mark.parametrize("text", ["#0A6B3D", "0a6b3d"])
def test_a_colour_is_six_hex_digits(text: str) -> None:
    assert accent_key(text) == "0a6b3d"


@pytest.mark.parametrize("text", ["", "#fff", "red", "#0a6b3d;}", "0a6b3d\n", "##0a6b3d", "#gggggg", "０a6b3d"])
def test_anything_else_is_no_colour(text: str) -> None:
    assert accent_key(text) is None
