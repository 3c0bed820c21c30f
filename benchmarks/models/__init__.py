"""The models of B1, one family a file; each is a function of a seed (and of draws that were kept) to a `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.models.digits import digits
from benchmarks.models.logistic import breast_cancer, synthetic
from benchmarks.models.net import net
from benchmarks.models.problem import Problem
from benchmarks.models.radon import radon
from benchmarks.models.roaches import negative_binomial, poisson
from benchmarks.models.student_t import student_t

MODELS: dict[str, Callable[..., Problem]] = {
    "breast cancer": breast_cancer,
    "radon": radon,
    "roaches Poisson": poisson,
    "roaches negative binomial": negative_binomial,
    "Student-t": student_t,
    "logistic 2000 x 10": synthetic,
    "net": net,
    "digits": digits,
    "logistic 20000 x 50": partial(synthetic, n_rows=20_000, n_params=50, slow=True),
}

__all__ = ["MODELS", "Problem"]
