"""The benchmark of start-up: seconds inside another span count there alone, and none is lost."""

import time

import numpy as np
import pytest

from benchmarks import startup_spans as spans


class Work:
    """Two methods that use the processor for a while, one inside the other."""

    def outer(self):
        busy(0.1)
        self.inner()
        busy(0.05)
        return "done"

    def inner(self):
        busy(0.2)


def busy(seconds):
    """Spend CPU seconds."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@pytest.fixture
def spent(monkeypatch):
    """A clean account that starts now."""
    monkeypatch.setattr(spans, "spent", spans.defaultdict(float))
    monkeypatch.setattr(spans, "_since", [time.process_time()])
    return spans.spent


def test_seconds_of_nested_spans_are_exclusive_and_add_up(spent):
    class Watched(Work):
        pass

    started = time.process_time()
    spans.begin(spans.REST)
    spans.spanned(Watched, "outer", "outside")
    spans.spanned(Watched, "inner", "inside")
    assert Watched().outer() == "done"
    spans.end()
    total = time.process_time() - started
    np.testing.assert_allclose([spent["outside"], spent["inside"]], [0.15, 0.2], atol=0.03)
    np.testing.assert_allclose(sum(spent.values()), total, atol=0.01)


def test_a_span_that_raises_is_closed(spent):
    class Watched(Work):
        def inner(self):
            raise ValueError("no")

    spans.spanned(Watched, "inner", "inside")
    spans.begin(spans.REST)
    with pytest.raises(ValueError, match="no"):
        Watched().inner()
    busy(0.1)
    spans.end()
    assert spent[spans.REST] > 0.05 > spent["inside"]
