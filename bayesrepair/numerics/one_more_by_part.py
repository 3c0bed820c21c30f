"""What one more run will show in each part (class, group), parts learning from one another."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bayesrepair.numerics.one_more import BORROWED

SPREAD = 0.3  # scale of the half-normal prior of τ: shares of .5 and .78 lie .3 apart
TAUS = np.linspace(0.005, 1.2, 120)


def next_shares(hits: np.ndarray, sizes: np.ndarray, size: np.ndarray, *, level: float = 0.9) -> np.ndarray:
    """Expected share of each part, and the interval in which that of one more run will lie.

    Random effects on the scale ``z = arcsin √((x + 3/8)/(n + 3/4))`` of Anscombe, where the variance of x hits of n is
    about 1/(4n + 2) whatever their probability:

        z_jr ~ N(ζ_j, φ/(4 n_jr + 2)),  ζ_j ~ N(μ, τ²),  τ ~ HalfNormal(0.3), μ flat.

    φ, by how much runs differ more than chance, is estimated from the runs within parts and two degrees of freedom
    borrowed from chance itself; μ and ζ are integrated out in closed form, τ on a grid. A part with few errors is drawn
    towards the others, a part without any is predicted from them.

    Parameters
    ----------
    hits, sizes : array, shape (R, J)
        Things found, and things there were, in each run and part; runs that had none in a part are left out there.
    size : array, shape (J,)
        How many there are in each part of one more run.
    level : float

    Returns
    -------
    array, shape (J, 3)
        Mean, low, high.

    Raises
    ------
    ValueError
        If no run had anything in any part.

    References
    ----------
    Anscombe (1948), doi:10.1093/biomet/35.3-4.246. Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.4.

    Examples
    --------
    >>> hits, sizes = np.array([[36, 1, 0], [34, 2, 0]]), np.array([[40, 4, 0], [40, 4, 0]])
    >>> next_shares(hits, sizes, np.array([40, 4, 40])).round(2)  # 7 of 8 and 3 of 8 were found, and 0 of 0
    array([[0.86, 0.73, 0.97],
           [0.46, 0.  , 0.99],
           [0.68, 0.  , 1.  ]])
    """
    some = sizes > 0
    if not some.any():
        raise ValueError("no run had anything to be found")
    z = np.where(some, np.arcsin(np.sqrt((hits + 0.375) / (sizes + 0.75))), 0.0)
    precision = np.where(some, 4.0 * sizes + 2.0, 0.0)
    total = precision.sum(axis=0)
    known = total > 0
    own = np.divide((precision * z).sum(axis=0), total, out=np.zeros(len(total)), where=known)
    free = int(some.sum() - known.sum()) + BORROWED
    excess = ((precision * np.square(z - own)).sum() + BORROWED) / free
    mean, variance = _effects(own[known], excess / total[known], known)
    reach = stats.t.ppf((1 + level) / 2, free) * np.sqrt(variance + excess / (4 * size + 2))
    count = np.maximum(size, 1)
    ends = np.sin(np.clip([mean - reach, mean + reach], 0.0, np.pi / 2)) ** 2
    low, high = np.clip((ends * (count + 0.75) - 0.375) / count, 0.0, 1.0)  # of x, where the ends are those of z
    return np.stack([np.sin(np.clip(mean, 0.0, np.pi / 2)) ** 2, low, high], axis=1)


def _effects(own: np.ndarray, error: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and variances of ζ, (J,), from the means of the parts that had any, (J',), and their variances.

    As in BDA, equations 5.17 to 5.21: given τ, μ ~ N(μ̂, V_μ) and ζ_j ~ N(θ̂_j, V_j).
    """
    weight = 1.0 / (error + np.square(TAUS)[:, None])  # (T, J')
    v_mu = 1.0 / weight.sum(axis=1)
    mu = v_mu * (weight * own).sum(axis=1)
    log_p = 0.5 * (np.log(v_mu) + np.log(weight).sum(axis=1) - (weight * np.square(own - mu[:, None])).sum(axis=1))
    log_p -= 0.5 * np.square(TAUS / SPREAD)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    centre = np.tile(mu[:, None], len(known))
    spread = np.tile((np.square(TAUS) + v_mu)[:, None], len(known))
    towards = error * weight  # how far a part is drawn towards the others
    centre[:, known] = own + towards * (mu[:, None] - own)
    spread[:, known] = error * (1 - towards) + np.square(towards) * v_mu[:, None]
    mean = p @ centre
    return mean, p @ (spread + np.square(centre - mean))
