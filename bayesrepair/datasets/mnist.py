"""MNIST: 70000 handwritten digits, read from the four idx files of the original."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from bayesrepair.datasets.bundled import DIGITS
from bayesrepair.datasets.card import Card
from bayesrepair.datasets.dataset import Dataset
from bayesrepair.datasets.download import PublicFile, locate
from bayesrepair.status import DataError

# The original site no longer serves the files; these two keep copies with the content of the original.
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/{}",
    "https://storage.googleapis.com/cvdf-datasets/mnist/{}",
)


def _file(name: str, sha256: str) -> PublicFile:
    return PublicFile(f"mnist/{name}", sha256, tuple(mirror.format(name) for mirror in _MIRRORS))


FILES: Mapping[str, PublicFile] = {
    "train_images": _file(
        "train-images-idx3-ubyte.gz", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train_labels": _file(
        "train-labels-idx1-ubyte.gz", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "test_images": _file(
        "t10k-images-idx3-ubyte.gz", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "test_labels": _file(
        "t10k-labels-idx1-ubyte.gz", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}

_COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}

CARD = Card(
    name="mnist",
    title="70000 handwritten digits, 28 x 28 pixels",
    about="The digits of LeCun, Cortes and Burges: 60000 to train on and 10000 held out, in the original "
    "order. The frame holds one byte a pixel (47 MB for the training rows); take a sample for small "
    "studies.",
    made="The four idx files of the original, checked by SHA-256 after unpacking.",
    columns={
        "row": "position in the original files, no predictor; held-out rows go on counting from 60000",
        "p0 to p783": "grey level of a pixel, 0 to 255, row by row",
        "digit": "the target: `zero` to `nine`",
    },
    truth="No label was changed; a few of the original labels are known to be wrong.",
    licence="CC BY-SA 3.0, as usually stated.",
)


def read_idx(data: bytes) -> np.ndarray:
    """Read an array of bytes in idx format.

    Parameters
    ----------
    data : bytes
        Two zero bytes, the type (8: unsigned byte), the number of dimensions, the sizes as big-endian 32-bit
        integers, the values.

    Returns
    -------
    ndarray of uint8
        A read-only view of the values.

    Raises
    ------
    DataError
        If the type is another one, or the values do not fill the sizes.

    Examples
    --------
    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
    array([5, 6, 7], dtype=uint8)
    """
    if data[:3] != b"\x00\x00\x08" or len(data) < 4:
        raise DataError("an idx file of unsigned bytes", f"one that starts with {data[:4].hex(' ')}")
    start = 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4"))
    if len(data) - start != np.prod(shape):
        raise DataError(f"{shape} values in the idx file", f"{len(data) - start} bytes")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def _read(part: str, first_row: int) -> pd.DataFrame:
    images, labels = (
        read_idx(gzip.decompress(locate(FILES[f"{part}_{what}"]).read_bytes())) for what in ("images", "labels")
    )
    counts = tuple(int(count) for count in np.bincount(labels))
    if images.shape != (len(labels), 28, 28) or counts != _COUNTS[part]:
        expected = f"28 x 28 images, labels {_COUNTS[part]}, in the {part} part of MNIST"
        raise DataError(expected, f"{images.shape}, {counts}", "The copy is not the known one.")
    index = pd.RangeIndex(first_row, first_row + len(labels), name="row")
    frame = pd.DataFrame(images.reshape(len(labels), 784), index=index).rename(columns="p{}".format)
    # A column of its own beside the block of pixels: nothing is copied.
    return frame.assign(digit=np.array(DIGITS)[labels])


def load_mnist() -> Dataset:
    """Return MNIST, pixels as bytes."""
    train = _read("train", 0)
    return Dataset(CARD, train, "digit", holdout=_read("test", len(train)))


CARDS: Mapping[str, Card] = {"mnist": CARD}
SETS: Mapping[str, Callable[[], Dataset]] = {"mnist": load_mnist}
