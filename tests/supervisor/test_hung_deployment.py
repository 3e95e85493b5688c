"""A whole deployment whose processes hang, all at once: others take their places, and it works on."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.live import Live, Receiver, children, eventually
from tests.support.server import free_port

from bitlinkpay.signer.client import SignerClient
from bitlinkpay.signer.problems import SignerUnreachable

SERVE = """
from pathlib import Path
from sys import argv
from bitlinkpay.cli.console import start_log
from bitlinkpay.settings import load_settings
from bitlinkpay.supervisor.child import Patience
from bitlinkpay.supervisor.deployment import Supervisor
start_log("INFO")
Supervisor(load_settings(Path(argv[1])), patience=Patience(running_s=10)).run(lambda: print("ready", flush=True))
"""
CONFIG = """
api_processes = 1
[wm]
port = {}
[web]
port = {}
[sandbox]
block_s = 1
"""


async def test_a_deployment_whose_processes_hang_works_on(folder: Path):
    ports = (free_port(), free_port())
    (folder / "bitlinkpay.toml").write_text(CONFIG.format(*ports))
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert server.stdout.readline() == "ready\n", (folder / "serve.log").read_text()
        live = Live(folder, ports, Receiver(), server)
        live.merchant = await live.command("merchant", "create", "Shop", "--out", str(folder / "shop"))
        before = live.pids()
        for name in ("signer", "worker", "api"):
            os.kill(before[name], signal.SIGSTOP)

        async def replaced() -> bool:
            return not set(children(server.pid)) & {before[name] for name in ("signer", "worker", "api")}

        async def signer() -> int:
            with contextlib.suppress(SignerUnreachable):
                return (await SignerClient(folder / "signer").status()).pid
            return before["signer"]

        await eventually(replaced, bool)
        await eventually(signer, lambda pid: pid != before["signer"])
        assert live.pids()["postgres"] == before["postgres"]
        await live.order("after", chain_id=1)
        await live.command("sandbox", "pay", "after")
        await live.until("after", state="paid")
        told = (folder / "serve.log").read_text()
        for name in ("signer", "worker", "api 0"):
            assert f"{name} gave no sign of life for" in told
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
