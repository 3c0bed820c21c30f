"""Scripts that run in the peers' own environment (Python 3.11, NumPy below 2, pyDVL, torch), one process each.

Make it once::

    python3.11 -m venv benchmarks/cache/peers-env
    benchmarks/cache/peers-env/bin/pip install -r benchmarks/suspects/elsewhere/requirements.txt
"""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

PYTHON = Path(os.environ.get("BAYESREPAIR_PEERS", Path(__file__).parent.parent / "cache" / "peers-env")) / "bin/python"
SCRIPTS = Path(__file__).parent / "elsewhere"


@cache
def _process(script: str) -> subprocess.Popen:
    if not PYTHON.exists():
        raise FileNotFoundError(f"{PYTHON} is not there; benchmarks/suspects/outside.py says how to make it")
    command = [str(PYTHON), "-W", "ignore", str(SCRIPTS / f"{script}.py")]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=quiet)
    atexit.register(process.terminate)
    return process


def ask(script: str, **task: object) -> dict[str, np.ndarray]:
    """Hand arrays to a script and wait for what it makes of them."""
    process = _process(script)
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, **{name: np.asarray(value) for name, value in task.items()})
        print(source, target, file=process.stdin, flush=True)
        if process.stdout.readline().strip() != "done":
            raise RuntimeError(f"{script}.py stopped; its message is above")
        with np.load(target) as kept:
            return {name: kept[name] for name in kept.files}
