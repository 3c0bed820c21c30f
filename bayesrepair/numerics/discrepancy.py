"""How far weighted draws are from a target, as seen by Stein identities and by short HMC moves."""

from __future__ import annotations

import numpy as np

from bayesrepair.numerics import hmc
from bayesrepair.numerics.batches import batches
from bayesrepair.numerics.covariance import covariance_factor
from bayesrepair.numerics.sign_flip import FlipTest, flip_test, sum_by
from bayesrepair.numerics.stein import mean_terms, parameter_terms, scale_terms, slopes

SETTLED = 2  # states of a trajectory's path that are used start at the second move
TESTED_BATCHES = 100  # whose signs are flipped
CONFIDENCE = 2.0  # standard errors between an estimate and its lower bound


def stein_figures(
    theta: np.ndarray,
    gradient: np.ndarray,
    weights: np.ndarray,
    predictions: np.ndarray,
    chain: np.ndarray,
    *,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Stein identities over all draws, with errors from batches within chains.

    Parameters
    ----------
    theta, gradient : array, shape (S, P)
    weights : array, shape (S,)
        They sum to one.
    predictions : array, shape (S, H)
    chain : array, shape (S,)
    rng : Generator

    Returns
    -------
    dict
        ``shift``, ``scale``, ``direction`` (lower bounds of the largest effects), ``z_stein``, ``p_stein``,
        ``p_direction``.
    """
    label = batches(chain, TESTED_BATCHES)
    half = label % 2
    own = parameter_terms(theta, gradient, weights, half)
    predicted = mean_terms(predictions, theta, gradient, weights, half)
    scales = scale_terms(theta, own, weights, half)
    tests = _test(label, weights[:, None] * np.column_stack([own, predicted, scales]), rng)
    white = _test(label, weights[:, None] * (gradient @ covariance_factor(theta, weights)), rng)
    noise = np.square(white.mcse)
    excess = (np.square(white.mean) - noise).sum() - CONFIDENCE * np.sqrt(2 * np.square(noise).sum())
    bounds = np.maximum(np.abs(tests.mean) - CONFIDENCE * tests.mcse, 0.0)
    split = own.shape[1] + predicted.shape[1]
    return {
        "shift": float(bounds[:split].max()),
        "scale": float(bounds[split:].max()),
        "direction": float(np.sqrt(max(0.0, excess))),
        "z_stein": float(np.abs(tests.z).max()),
        "p_stein": tests.p_largest,
        "p_direction": white.p_sum,
    }


def move_figures(
    moved: hmc.Moved,
    path_predictions: np.ndarray,
    ancestor: np.ndarray,
    theta: np.ndarray,
    weights: np.ndarray,
    predictions: np.ndarray,
    *,
    some: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, float]:
    """What some moves at the target change, and the error of the predictions that they reveal.

    The mean of each prediction over the moved draws takes ``βᵀ g`` (mean zero at the target) as control variate,
    so that it is far more accurate than so few draws would be alone, and is compared with the weighted mean.

    Parameters
    ----------
    moved : hmc.Moved
        M draws after each move.
    path_predictions : array, shape (moves, M, H)
    ancestor : array of int, shape (M,)
        Which draw each of them started from; draws of one ancestor are one cluster.
    theta, weights, predictions : arrays, shapes (S, P), (S,), (S, H)
        What is being checked.
    some, share : array, shape (S',)
        Positions of some of these draws and their weights: enough to know slopes and scales by.
    rng : Generator

    Returns
    -------
    dict
        ``error_mean``, ``error_max``, ``spread_mean``, ``moved``, ``z_moves``, ``p_moves``, ``acceptance``.
    """
    centre = np.concatenate([weights @ theta, weights @ predictions])
    sd = _sds(np.column_stack([theta[some], predictions[some]]), share, centre)
    old = (np.column_stack([theta[ancestor], predictions[ancestor]]) - centre) / sd
    kept = slice(min(SETTLED, len(moved.path)) - 1, None)
    new = (np.concatenate([moved.path, path_predictions], axis=2)[kept] - centre) / sd
    # absolute values see a change of scale as well as squares do, with lighter tails
    change = np.column_stack([new.mean(0) - old, np.abs(new).mean(0) - np.abs(old)]) / len(ancestor)
    test = _test(ancestor, change, rng)
    error, noise = _prediction_error(
        moved.path_gradient[kept], new[:, :, theta.shape[1] :], ancestor, theta[some], share, predictions[some]
    )
    cleared = np.sqrt(np.maximum(0.0, np.square(error) - noise))
    return {
        "error_mean": float(cleared.mean()),
        "error_max": float(cleared.max()),
        "spread_mean": _spread(new[:, :, theta.shape[1] :], ancestor, noise=np.square(share).sum() / 2),
        "moved": float(np.maximum(np.abs(test.mean) - CONFIDENCE * test.mcse, 0.0).max()),
        "z_moves": float(np.abs(test.z).max()),
        "p_moves": test.p_largest,
        "acceptance": float(moved.acceptance.mean()),
    }


def _prediction_error(
    gradient: np.ndarray,
    new: np.ndarray,
    ancestor: np.ndarray,
    theta: np.ndarray,
    weights: np.ndarray,
    predictions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Error of each weighted mean in posterior sds, and the variance of that estimate."""
    slope, variance = slopes(predictions, theta, weights)
    control = gradient @ (slope / np.sqrt(variance))
    centred, centred_control = new - new.mean((0, 1)), control - control.mean((0, 1))
    size = np.square(centred_control).sum((0, 1))
    share = (centred * centred_control).sum((0, 1)) / np.where(size > 0, size, 1.0)
    better = (new - share * control).mean(0)  # the weighted mean is the origin of `new`
    error = better.mean(0)
    clusters = sum_by(ancestor, better - error) / len(better)
    return error, np.square(clusters).sum(0)


def _spread(new: np.ndarray, ancestor: np.ndarray, *, noise: float) -> float:
    """Mean ``|log sd ratio|`` of the predictions after the moves to before, cleared of its noise.

    ``noise`` is the variance of the logarithm of the sd before, by which ``new`` was divided.
    """
    square = np.square(new - new.mean((0, 1))).mean(0)
    variance = square.mean(0)
    clusters = sum_by(ancestor, square - variance) / len(square)
    positive = np.where(variance > 0, variance, 1.0)
    log_ratio = np.log(positive) / 2
    noise = noise + np.square(clusters).sum(0) / np.square(2 * positive)  # type: ignore[assignment]  # one each
    return float(np.sqrt(np.maximum(0.0, np.square(log_ratio) - noise)).mean())


def _test(label: np.ndarray, terms: np.ndarray, rng: np.random.Generator) -> FlipTest:
    return flip_test(sum_by(label, terms), rng=rng)


def _sds(values: np.ndarray, weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Weighted sds about a centre; a constant gets sd 1."""
    sd = np.sqrt(weights @ np.square(values - centre))
    return np.where(sd > 1e-12 * (1 + np.abs(centre)), sd, 1.0)
