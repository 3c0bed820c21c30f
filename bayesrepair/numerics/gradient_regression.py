"""A full affine map from regressions of gradients on draws.

If T carried the original posterior p exactly into the target q, the gradient pulled back would be that of p:
``Aᵀ ∇log q(T(θ)) = ∇log p(θ)``. The residual ``r(θ)`` between the two sides is regressed on the draws,
``r ≈ c − M (θ − m)``, in coordinates where their covariance is I. There the remaining step is the map of N(0, I) to
N((I + M)⁻¹ c, (I + M)⁻¹), whose optimal transport map has the matrix ``(I + M)^(−1/2)``. By Stein's identities
``E[r] = 0`` and ``E[r θᵀ] = 0`` are the stationarity conditions of the Kullback–Leibler divergence; taking the
difference of two gradients cancels the shape that both posteriors share, and with it most of the noise that makes a
freely fitted matrix overfit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from bayesrepair.numerics.affine import AffineMap
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.psis import effective_share

Target = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
DRAWS_PER_DIRECTION = 5
SHRINKAGE = 4.0  # an entry of M within two standard errors of zero is taken as zero
CURVATURE_BOUNDS = (0.1, 10.0)  # one round changes no precision by more than this factor
SMALLEST_STEP = 0.05
RIDGE = 1e-6  # against the unit variance of whitened draws: a parameter that never moved has no slope
KEPT = 0.2  # of the gain that a step promises: with less it went too far
NEAR = 0.5  # nats: a step that promised less and gained nothing was noise
GOOD_SHARE = 0.7  # of the fitted draws left effective: a little less of the others
SETTLED = 0.05  # the weights take care of so little


def fit_full(
    target: Target,
    theta: np.ndarray,
    source_gradient: np.ndarray,
    *,
    start: AffineMap,
    source_value: np.ndarray | None = None,
    rounds: int = 6,
    settled: float = SETTLED,
) -> AffineMap:
    """Improve an affine map by rounds of gradient regression, each with a line search.

    Parameters
    ----------
    target : callable
        (S, P) → log density (S,) and gradient (S, P) of the target q.
    theta : array, shape (S, P)
        Draws of the original posterior p.
    source_gradient : array, shape (S, P)
        ``∇log p`` at the draws.
    start : AffineMap
        Such as the diagonal fit: from the identity the regression can be misled by curvature far away.
    source_value : array, shape (S,), optional
        ``log p`` at the draws, up to a constant. The rounds end where the weights of the moved draws are good already.
    rounds : int
        At most.
    settled : float
        Nats. The rounds end where the Gaussian that they aim at is no further away, or when a round gains no more.

    Returns
    -------
    AffineMap
        Where draws are fewer than five a parameter, M is regressed on the leading directions of r alone (the map
        is then the start's plus low rank).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> theta = rng.standard_normal((500, 2))
    >>> precision = np.array([[2.0, 0.5], [0.5, 1.0]])
    >>> def target(x):
    ...     centred = x - 1.0
    ...     return -np.einsum("sp,pq,sq->s", centred, precision, centred) / 2, -centred @ precision
    >>> fitted = fit_full(target, theta, -theta, start=AffineMap.identity(2), rounds=3)
    >>> np.allclose(fitted.matrix @ fitted.matrix.T, np.linalg.inv(precision), atol=0.05)
    True
    """
    factor = covariance_factor(theta)
    mean = theta.mean(axis=0)
    white = np.linalg.solve(factor, (theta - mean).T).T
    pulled_source = source_gradient @ factor
    image, matrix = start(mean[None])[0], np.linalg.solve(factor, start.square_matrix @ factor)
    value, gradient = _push(target, white, image, factor @ matrix)
    before, longest = np.inf, 1.0
    for _ in range(rounds):
        if source_value is not None and effective_share(value - source_value) >= GOOD_SHARE:
            break
        drift, curvature = regress(white, gradient @ (factor @ matrix) - pulled_source)
        left = float(np.square(drift).sum() / 2 + np.square(curvature).sum() / 4)
        if left < settled or not np.isfinite(left):
            break
        if left > before / 2:  # away from the Gaussian case full steps overshoot and swing to and fro
            longest /= 2
        elif left < before / 4:
            longest = min(1.0, 2 * longest)
        before, step = left, longest
        values, vectors = np.linalg.eigh(curvature)
        along = vectors.T @ drift
        while step > SMALLEST_STEP:
            shift, local = _local_map(step * along, step * values, vectors)
            new_image, new_matrix = image + factor @ (matrix @ shift), matrix @ local
            new_value, new_gradient = _push(target, white, new_image, factor @ new_matrix)
            if _acceptable(new_value - value, step * left, len(drift)):
                break
            step /= 2
        else:
            break
        longest = min(longest, 2 * step)  # what was too long just now would be again
        gain = float((new_value - value).mean())
        image, matrix, value, gradient = new_image, new_matrix, new_value, new_gradient
        if gain < settled and step * left < NEAR:
            break
    return AffineMap(mean, image, np.linalg.solve(factor.T, (factor @ matrix).T).T)


def regress(white: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(c, M)`` of ``r ≈ c − M z`` with symmetric M, its entries shrunk by their standard errors.

    Parameters
    ----------
    white : array, shape (S, P)
        Whitened draws z.
    residual : array, shape (S, P)

    Returns
    -------
    c : array, shape (P,)
    M : array, shape (P, P)
    """
    count, size = white.shape
    drift = residual.mean(axis=0)
    centred = residual - drift
    kept = min(size, max(1, count // DRAWS_PER_DIRECTION))
    basis = np.eye(size) if kept == size else np.linalg.svd(centred, full_matrices=False)[2][:kept].T
    inputs, outputs = white @ basis, centred @ basis
    slope = -cho_solve(cho_factor(inputs.T @ inputs + RIDGE * count * np.eye(kept)), inputs.T @ outputs)
    curvature = (slope + slope.T) / 2
    left = (outputs + inputs @ curvature).var(axis=0)
    error = (left[:, None] + left[None, :]) / (4 * max(1, count - kept))
    square = np.maximum(np.square(curvature), 1e-300)
    curvature = curvature * np.maximum(0.0, 1 - SHRINKAGE * error / square)
    return drift, basis @ curvature @ basis.T


def _acceptable(gain: np.ndarray, promised: float, size: int) -> bool:
    """Whether a step's gain in ``log q(T(θ)) + log|det|`` at the fitted draws speaks for it.

    That is a part of the nats it promised. The true map does worse than the best map for these draws, by about half a
    nat a fitted number and draw: that much less, if it is within two standard errors, is no reason to refuse a step.
    """
    overfit = size * (size + 3) / (4 * len(gain))
    error = 2 * float(gain.std()) / np.sqrt(len(gain))
    return bool(np.isfinite(gain).all() and gain.mean() >= KEPT * promised - min(overfit, error))


def _push(target: Target, white: np.ndarray, image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``log q(T(θ)) + log|det|`` and the gradients at the moved draws; all −inf where any is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        value, gradient = target(image + white @ matrix.T)
    if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
        return np.full(len(value), -np.inf), gradient
    return value + float(np.linalg.slogdet(matrix)[1]), gradient


def _local_map(along: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift and matrix of the optimal transport from N(0, I) to N((I + M)⁻¹ c, (I + M)⁻¹).

    M has these eigenvalues and eigenvectors, and ``along`` is c along the latter.
    """
    precision = np.clip(1 + values, *CURVATURE_BOUNDS)
    return (vectors / precision) @ along, (vectors / np.sqrt(precision)) @ vectors.T
