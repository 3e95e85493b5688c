"""A supervising process for tests that kill it: `python supervisor.py DATA_DIR` starts the server, says so, and waits."""

import sys
import time
from pathlib import Path

from bitlinkpay.db.embedded import EmbeddedPostgres, Options

if __name__ == "__main__":
    EmbeddedPostgres(Path(sys.argv[1]), Options(is_durable=False)).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(120)
