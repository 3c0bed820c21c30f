"""Regions of the parameter space that hold one cluster of draws each, where there is clearly more than one.

Draws that fall into clusters leave a valley between them: along some direction the density is high, low, and high
again. Along each of a few directions the density in the widest gap (the distance that a fiftieth of the draws
spans) is compared with the lower of the peaks on its two sides. A density with one peak, however skewed or heavy in
its tails, is never lower in between than on both sides, so that the comparison is about one there. A hyperplane
through the valley splits the draws, and each part is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesrepair.numerics.covariance import covariance_factor

SMALLEST_SHARE = 0.05  # of all draws, for a region
FEWEST_DRAWS = 100  # of a region
MOST_REGIONS = 4
GAP, NARROWEST_GAP = 0.02, 40  # share of the draws that the gap spans, and how many at least
LOOKED_AT = 1000  # draws, along all directions; what stands out there is looked at with all draws
SUSPICIOUS, DEEP = 1.6, 3.0  # times lower than the lower peak: of those looked at, and of all draws
FEW_PARAMETERS = 15  # up to here all principal directions and those of extreme fourth moments are looked along
PRINCIPAL = 5  # largest and smallest principal directions of more parameters


@dataclass(frozen=True, eq=False)
class Regions:
    """A partition of the parameter space by hyperplanes, each of which splits one region.

    Parameters
    ----------
    parents : tuple of int
        Split k takes a part off this region; the part becomes region k + 1.
    normals : array, shape (K − 1, P)
    offsets : array, shape (K − 1,)
        The part has ``normal · θ > offset``.

    Examples
    --------
    >>> halves = Regions((0,), np.array([[1.0]]), np.array([2.0]))
    >>> len(halves), halves(np.array([[1.0], [3.0]]))
    (2, array([0, 1]))
    """

    parents: tuple[int, ...]
    normals: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.parents) + 1

    def __call__(self, theta: np.ndarray) -> np.ndarray:
        """Which region each point lies in, (S, P) → (S,)."""
        label = np.zeros(len(theta), dtype=int)
        for k, (parent, normal, offset) in enumerate(zip(self.parents, self.normals, self.offsets, strict=True)):
            label[(label == parent) & (theta @ normal > offset)] = k + 1
        return label


def find_regions(theta: np.ndarray) -> Regions | None:
    """Regions with a cluster of draws in each; None where the draws do not clearly fall into several.

    Parameters
    ----------
    theta : array, shape (S, P)

    Returns
    -------
    Regions or None
        At most four, each with a twentieth of the draws at least (and a hundred).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> find_regions(rng.standard_normal((2000, 2))) is None
    True
    >>> apart = rng.standard_normal((2000, 2)) + 8 * (np.arange(2000) < 600)[:, None]
    >>> np.bincount(find_regions(apart)(apart))
    array([1400,  600])
    """
    fewest = max(FEWEST_DRAWS, int(np.ceil(SMALLEST_SHARE * len(theta))))
    parents: list[int] = []
    planes: list[tuple[np.ndarray, float]] = []
    label, pending = np.zeros(len(theta), dtype=int), [0]
    while pending and len(parents) < MOST_REGIONS - 1:
        region = pending.pop(0)
        at = np.flatnonzero(label == region)
        plane = _valley(theta[at], fewest) if len(at) >= 2 * fewest else None
        if plane is None:
            continue
        parents.append(region)
        planes.append(plane)
        label[at[theta[at] @ plane[0] > plane[1]]] = len(parents)
        pending += [region, len(parents)]
    if not parents:
        return None
    return Regions(tuple(parents), np.array([normal for normal, _ in planes]), np.array([cut for _, cut in planes]))


def depth(ordered: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    """How deep the deepest valley is, and where.

    Parameters
    ----------
    ordered : array, shape (Q, S)
        Projections of the draws, each row in ascending order.
    fewest : int
        Draws on either side of a valley.

    Returns
    -------
    depth : array, shape (Q,)
        Lower peak over the density in the gap: about one at most where there is one peak.
    cut : array, shape (Q,)
        Middle of the gap.
    """
    size = ordered.shape[1]
    gap, peak = max(NARROWEST_GAP, int(GAP * size)), max(1, fewest // 2)
    first, last = fewest - gap // 2, size - fewest - gap // 2  # where a gap may start
    if last <= first or first < peak:
        return np.zeros(len(ordered)), np.zeros(len(ordered))
    width = ordered[:, first + gap : last + gap] - ordered[:, first:last]
    around = ordered[:, peak:] - ordered[:, :-peak]
    left = np.minimum.accumulate(around[:, : last - peak], axis=1)[:, first - peak :]
    right = np.minimum.accumulate(around[:, : first + gap - 1 : -1], axis=1)[:, ::-1]
    right = np.concatenate([right, np.repeat(right[:, -1:], max(0, width.shape[1] - right.shape[1]), axis=1)], axis=1)
    narrower = np.maximum(left, right[:, : width.shape[1]])
    ratio = (width / gap) / np.where(narrower > 0, narrower / peak, np.inf)
    deepest, row = np.argmax(ratio, axis=1), np.arange(len(ordered))
    cut = (ordered[row, first + deepest] + ordered[row, first + deepest + gap]) / 2
    return ratio[row, deepest], cut


def _valley(theta: np.ndarray, fewest: int) -> tuple[np.ndarray, float] | None:
    """Normal and offset of the hyperplane through the deepest valley; None where none is deep.

    The normal points to the fewer draws, whatever sign the eigenvectors of this machine have.
    """
    some = theta[:: -(-len(theta) // LOOKED_AT)]
    sd = some.std(axis=0)
    moving = np.flatnonzero(sd > 1e-9 * (1 + np.abs(some.mean(axis=0))))
    if not len(moving):
        return None
    scaled = (some[:, moving] - some[:, moving].mean(axis=0)) / sd[moving]
    others = _directions(scaled)
    projected = np.concatenate([scaled.T, others.T @ scaled.T])
    found, _ = depth(np.sort(projected, axis=1), fewest * len(some) // len(theta))
    if found.max() < SUSPICIOUS:
        return None
    best = int(np.argmax(found))
    normal = np.zeros(theta.shape[1])
    normal[moving] = np.eye(len(moving))[best] if best < len(moving) else others[:, best - len(moving)]
    normal[moving] /= sd[moving]
    deep, cut = _along(theta, normal, fewest)
    if deep < DEEP:
        return None
    sharper = _discriminant(theta, theta @ normal > cut)
    sharp, elsewhere = _along(theta, sharper, fewest)
    if sharp > deep:
        normal, cut = sharper, elsewhere
    return (normal, cut) if 2 * np.sum(theta @ normal > cut) <= len(theta) else (-normal, -cut)


def _along(theta: np.ndarray, normal: np.ndarray, fewest: int) -> tuple[float, float]:
    """Depth and place of the deepest valley along one direction; a draw that was repeated counts once."""
    distinct = np.unique(theta @ normal)
    deep, cut = depth(distinct[None], fewest * len(distinct) // len(theta))
    return float(deep[0]), float(cut[0])


def _directions(scaled: np.ndarray) -> np.ndarray:
    """Principal directions, and those of extreme fourth moments after whitening, as columns.

    Two clusters are spread along their difference (a large principal value), or close together across a long axis
    that they share (a small one); else their fourth moments give the direction away (Cardoso 1989,
    doi:10.1109/ICASSP.1989.266878), which takes many draws a parameter.
    """
    size = scaled.shape[1]
    if size == 1:
        return np.empty((1, 0))
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    if size > FEW_PARAMETERS:
        return np.concatenate([vectors[:, :PRINCIPAL], vectors[:, -PRINCIPAL:]], axis=1)
    whiten = vectors / np.sqrt(np.maximum(values, 1e-12))
    white = scaled @ whiten
    fourth = white.T @ (white * np.square(white).sum(axis=1)[:, None])
    extreme = np.linalg.eigh(fourth)[1][:, [0, -1]]
    return np.concatenate([vectors, whiten @ extreme], axis=1)


def _discriminant(theta: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """Fisher's direction between two sets of draws."""
    means = [theta[~beyond].mean(axis=0), theta[beyond].mean(axis=0)]
    factor = covariance_factor(theta - np.where(beyond[:, None], means[1], means[0]))
    return np.linalg.solve(factor.T, np.linalg.solve(factor, means[1] - means[0]))
