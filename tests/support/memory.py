"""Where throw-away databases lie."""

import os
import shutil
from pathlib import Path


def roomy_memory() -> str | None:
    """Name the file system in memory where there is room for many databases; None where there is not."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    return str(memory) if is_roomy else None
