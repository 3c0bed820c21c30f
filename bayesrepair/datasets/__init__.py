"""Example data: generated, bundled with scikit-learn, or public and downloaded once."""

from bayesrepair.datasets.dataset import Dataset
from bayesrepair.datasets.noise import flip_labels
from bayesrepair.datasets.registry import load, names

__all__ = ["Dataset", "flip_labels", "load", "names"]
