"""Numbers and short phrases as a reader wants them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MISSING = "–"


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, a real minus sign, and a dash where there is none.

    Examples
    --------
    >>> number(-0.012345), number(1234.5), number(float("nan")), number(float("-inf"))
    ('−0.0123', '1234', '–', '−∞')
    """
    value = float(value)
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and (size >= 1e6 or size < 1e-4):
        text = f"{value:.{digits - 1}e}"
    else:
        places = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
        text = f"{value:.{places}f}"
    return text.replace("-", "−")


def decimals(value: float, places: int = 3, *, sign: bool = False) -> str:
    """A number with so many decimals; ``sign`` shows a plus too.

    Examples
    --------
    >>> decimals(0.12345, 2, sign=True), decimals(float("nan"))
    ('+0.12', '–')
    """
    if not math.isfinite(value):
        return number(value)
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return text.replace("-", "−")


def plus_minus(value: float, error: float) -> str:
    """A value with its error, both to the second digit of the error.

    Examples
    --------
    >>> plus_minus(0.12345, 0.0123), plus_minus(2.0, float("nan"))
    ('0.123 ± 0.012', '2.00 ± –')
    """
    if not (math.isfinite(error) and error > 0):
        return f"{number(value)} ± {number(error)}"
    places = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{decimals(value, places)} ± {decimals(error, places)}"


def beside(value: float, scale: float) -> str:
    """A value to the second digit of the scale that it is read against, such as its sd.

    Examples
    --------
    >>> beside(0.12345, 0.31), beside(1234.5, 210.0)
    ('0.12', '1234')
    """
    if not (math.isfinite(scale) and scale > 0 and 1e-6 < scale < 1e9):
        return number(value)
    return decimals(value, min(8, max(0, 1 - math.floor(math.log10(scale)))))


def percent(share: float, places: int = 0) -> str:
    """A share as per cent.

    Examples
    --------
    >>> percent(0.125), percent(float("nan"))
    ('12 %', '–')
    """
    return MISSING if not math.isfinite(share) else f"{100 * share:.{places}f} %".replace("-", "−")


def whole(value: float) -> str:
    """A whole number with thin spaces between thousands.

    Examples
    --------
    >>> whole(1234567), whole(320)
    ('1\u202f234\u202f567', '320')
    """
    return MISSING if not math.isfinite(value) else f"{round(value):,}".replace(",", "\u202f").replace("-", "−")


def plural(count: int, noun: str, many: str = "") -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "row"), plural(20, "row"), plural(2, "class", "classes")
    ('1 row', '20 rows', '2 classes')
    """
    return f"{whole(count)} {noun if count == 1 else many or noun + 's'}"


def value_text(value: Any) -> str:
    """A cell of the user's own data as text.

    Examples
    --------
    >>> value_text(3.0), value_text(17.990000001), value_text(None), value_text("benign")
    ('3', '17.99', '–', 'benign')
    """
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return MISSING
    if isinstance(value, float | np.floating):
        return f"{float(value):.5g}".replace("-", "−")
    text = str(value)
    return MISSING if text in ("NaT", "<NA>") else text
