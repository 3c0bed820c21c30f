"""Coefficients whose common size is learned, without a parameter for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def spherical_t(name: str, *, nu: float, sigma: float, dims: Sequence[str] | None = None) -> Any:
    """Spherical Student-t: normal coefficients of one standard deviation s, with s integrated out.

        β | s ~ N(0, s² I),  s² ~ InvGamma(ν / 2, ν σ² / 2)   ⇒   p(β) ∝ (1 + |β|² / (ν σ²))^(−(ν + M) / 2)

    Sampled with s as a parameter, such a prior has a ridge where data say much (s z_m known, s not) or a funnel where
    they say little; without it there is neither. M coefficients near zero shrink one another to a size of about
    ``σ √(ν / (ν + M))``.

    Parameters
    ----------
    name : str
    nu : float
        Small: the size is left to the data.
    sigma : float
        The size, about.
    dims : sequence of str, optional
        Of a PyMC model whose coordinates have them; a single coefficient by default.

    Returns
    -------
    Variable
        Of the model in whose context it is called.

    Examples
    --------
    >>> with pm.Model(coords={"m": range(3)}) as model:
    ...     beta = spherical_t("beta", nu=3.0, sigma=2.0, dims=["m"])
    >>> from scipy.stats import multivariate_t
    >>> value = np.array([0.5, -1.0, 4.0])
    >>> expected = multivariate_t(np.zeros(3), 4.0 * np.eye(3), df=3).logpdf(value)
    >>> bool(np.isclose(model.compile_logp()({"beta": value}), expected))
    True
    """
    if not dims:
        return pm.StudentT(name, nu=nu, mu=0.0, sigma=sigma)
    lengths = pm.modelcontext(None).dim_lengths
    size = [int(lengths[dim].eval()) for dim in dims]
    axes = ",".join(f"m{k}" for k in range(len(size)))
    shapes = f"({axes}),(),()->({axes})"
    parts: Any = {"logp": _log_density, "random": _drawn, "signature": shapes, "dims": dims}
    return pm.CustomDist(name, np.zeros(size), nu, sigma, **parts)


def _log_density(value: Any, centre: Any, nu: Any, sigma: Any) -> Any:
    count = pt.prod(pt.shape(value)).astype("float64")
    total = (nu + count) / 2
    distance = ((value - centre) ** 2).sum() / (nu * sigma**2)
    constant = pt.gammaln(total) - pt.gammaln(nu / 2) - 0.5 * count * pt.log(nu * np.pi * sigma**2)
    return constant - total * pt.log1p(distance)


def _drawn(centre: Any, nu: Any, sigma: Any, rng: Any = None, size: Any = None) -> Any:
    spread = sigma * np.sqrt(nu / rng.chisquare(nu))
    return centre + spread * rng.standard_normal(np.shape(centre))
