"""Coefficients whose common size is a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pymc as pm


def learned_scale(name: str, *, sigma: float, dims: Sequence[str] | None = None) -> Any:
    """Normal coefficients of one standard deviation, which is learned: β = s z, z ~ N(0, 1), s ~ HalfNormal(``sigma``).

    Where classes are far apart but some labels are wrong, coefficients of a size fixed beforehand are too small to say
    how far: the errors then look like chance. Sampled as s and z (a ridge, but no funnel); the spherical Student-t of
    `bayesrepair.bridges.spherical_t`, which integrates s out, mixes less well here.

    Parameters
    ----------
    name : str
        Of β; s is ``{name}_scale`` and z is ``{name}_offset``.
    sigma : float
        Scale of the prior of s.
    dims : sequence of str, optional
        Of a PyMC model whose coordinates have them; a single coefficient by default.

    Returns
    -------
    Variable
        Of the model in whose context it is called.

    Examples
    --------
    >>> with pm.Model(coords={"m": range(3)}) as model:
    ...     beta = learned_scale("beta", sigma=2.0, dims=["m"])
    >>> [variable.name for variable in model.free_RVs], [variable.name for variable in model.deterministics]
    (['beta_scale', 'beta_offset'], ['beta'])
    """
    scale = pm.HalfNormal(f"{name}_scale", sigma)
    offset = pm.Normal(f"{name}_offset", 0.0, 1.0, dims=dims or None)
    return pm.Deterministic(name, scale * offset, dims=dims or None)
