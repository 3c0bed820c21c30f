"""Write the project's own example tables into this folder: `python data/make.py`."""

from pathlib import Path

from bayesrepair.datasets import load
from bayesrepair.datasets.registry import GENERATED


def make(folder: Path) -> None:
    """Write every generated table into a folder of its own, replacing what an earlier run wrote there."""
    for name in GENERATED:
        print(load(name).write(folder / name, overwrite=True).name)


if __name__ == "__main__":
    make(Path(__file__).parent)
