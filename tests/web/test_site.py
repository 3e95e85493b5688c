"""What the pages cost a process that does nothing yet, and what stands where there is no page."""

import subprocess
import sys

import httpx
import pytest

from bitlinkpay.web.site import Site

STRANGERS = ("pydantic", "coincurve", "eth_account", "slip10")  # heavy, or of the signer alone


def test_the_api_imports_nothing_heavy_that_it_does_not_use():
    code = f"""
import sys
from bitlinkpay.cli import api
from bitlinkpay.web.site import Site
Site([], None, None)
print([name for name in {STRANGERS!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/pay"), ("GET", "/favicon.ico"), ("POST", "/x/y")])
async def test_where_there_is_no_page_people_are_told_so_in_their_language(method: str, path: str):
    transport = httpx.ASGITransport(Site([], None, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://pay.example") as browser:
        answer = await browser.request(method, path, headers={"accept-language": "zh-TW"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<html lang="zh-Hant"' in answer.text
