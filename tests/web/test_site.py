"""What the pages cost a process that does nothing yet."""

import subprocess
import sys

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
