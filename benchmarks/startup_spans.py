"""One run of ``bayesrepair demo`` that says where its CPU seconds go; `benchmarks.startup` runs it in fresh processes.

Seconds are exclusive: what is spent inside another span counts there alone. All threads of the process count.
"""

from __future__ import annotations

import importlib._bootstrap as bootstrap
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IMPORT, GRAPHS, COMPILED, KERNELS = "imports", "PyTensor graphs", "numba for PyTensor and nutpie", "numba kernels"
REPORT, REST = "report and files", "the rest"

spent: defaultdict[str, float] = defaultdict(float)
_open: list[str] = []
_since = [0.0]
_main = threading.get_ident()


def _count() -> None:
    """Give the seconds since the last change of span to the span that is open."""
    now = time.process_time()
    spent[_open[-1] if _open else IMPORT] += now - _since[0]  # before the first span Python itself starts
    _since[0] = now


def begin(name: str) -> None:
    """Open a span inside the one that is open."""
    _count()
    _open.append(name)


def end() -> None:
    """Close the last span."""
    _count()
    _open.pop()


def spanned(owner: Any, name: str, label: str) -> None:
    """Make a function, method or context manager of the main thread a span."""
    original = getattr(owner, name)

    def timed(*arguments: Any, **keywords: Any) -> Any:
        if threading.get_ident() != _main:
            return original(*arguments, **keywords)
        begin(label)
        try:
            return original(*arguments, **keywords)
        finally:
            end()

    setattr(owner, name, timed)


def watch_numba() -> None:
    """Compilations by numba: of kernels of the library, or of what PyTensor and nutpie wrote."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            if threading.get_ident() == _main:
                own = "bayesrepair/numerics" in Path(event.data["dispatcher"].py_func.__code__.co_filename).as_posix()
                outer = next((name for name in reversed(_open) if name in (COMPILED, KERNELS)), None)
                begin(outer or (KERNELS if own else COMPILED))

        def on_end(self, event: Any) -> None:
            if threading.get_ident() == _main:
                end()

    event.register("numba:compile", Listener())


def watch_steps(steps: type) -> None:
    """The steps of a diagnosis, by their names."""
    original: Callable = steps.step  # type: ignore[attr-defined]

    @contextmanager
    def step(self: Any, name: str, said: str) -> Iterator[None]:
        with original(self, name, said):
            begin(name)
            try:
                yield
            finally:
                end()

    steps.step = step  # type: ignore[attr-defined]


def main(out: str, found: str) -> None:
    """Run the demo into a folder, and write the seconds of each span to a file."""
    begin(REST)
    spanned(bootstrap, "_find_and_load", IMPORT)
    import nutpie
    from pytensor.compile import maker

    from bayesrepair import cli
    from bayesrepair.bridges.pymc import sampling
    from bayesrepair.diagnosis import result, run

    spanned(maker.FunctionMaker, "__init__", GRAPHS)
    spanned(maker.FunctionMaker, "create", GRAPHS)
    spanned(nutpie, "compile_pymc_model", COMPILED)
    if hasattr(sampling, "compiled_density"):  # earlier versions had nutpie compile it
        spanned(sampling, "compiled_density", COMPILED)
    spanned(result.Diagnosis, "write", REPORT)
    watch_numba()
    watch_steps(getattr(run, "Steps", None) or run._Steps)  # the name it had in the first version
    sys.argv = ["bayesrepair", "demo", "--out", out, "--force"]
    try:
        cli.main()
    except SystemExit as stopped:
        if stopped.code:
            raise
    end()
    Path(found).write_text(json.dumps(spent), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[-2:])
