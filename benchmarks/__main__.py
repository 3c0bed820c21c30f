"""``python -m benchmarks NAME``: run one benchmark; without a name, list them."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = {
    "editing": "edited posteriors against pools of refits (BENCHMARKS B1), rungs alone, auto, and peers",
    "laplace": "Laplace approximations beside those of pymc-extras, on the models of B1",
    "counties": "each of radon's 85 counties deleted in turn, its latent effect included, against refits",
    "check": "power and false alarms of the check that does not reuse the weights",
    "calibration": "simulation-based calibration of edited posteriors, with wrong editors that must be caught",
    "overconfidence": "coverage after deleting the rows that fit worst, edited and refitted",
    "pima": "the REPORT's experiment on Pima (METHODS R1, erratum 13)",
    "ranks": "calibration of rank intervals and prob_top, however few failures were seen",
    "ledger": "processes of a ledger killed a hundred times at random points",
    "suspects": "mislabelled training records: average precision and calibration against peers (BENCHMARKS B2)",
    "suspects_limit": "what is left to gain there: a classifier trained on the right labels",
    "neighbours": "suspects against the rows near them: false alarms, and shapes that a model lacks",
    "suspects_numbers": "gross errors planted in measurements and counts, and data without any",
    "rehearsal": "do rehearsals of planted errors cover what true errors come to? what a needless repair costs",
    "set_search": "a set of rows found together against the top of the single scores; clean rows",
    "startup": "where the seconds of the demo and of imports go, with empty and filled caches of compiled code",
    "backends": "a gradient of the density for refits, compiled by numba and by JAX",
    "scoring": "speed of scoring against the limit, the general path and pm.compute_log_likelihood (BENCHMARKS B4)",
    "scale": "a thousand to ten million rows: seconds, memory, killed runs, Dask workers",
    "guard": "what got slower: ratios of the tables as they are now against those of the last commit",
    "memory": "peak memory of scoring against the number of rows",
}


def main() -> int:
    """Run the benchmark that the command line names."""
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print("usage: python -m benchmarks NAME [--help]\n")
        for name, what in BENCHMARKS.items():
            print(f"  {name:14s} {what}")
        return 0 if len(sys.argv) < 2 else 2
    importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
