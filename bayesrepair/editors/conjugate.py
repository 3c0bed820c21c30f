"""Closed-form update of sufficient statistics, for conjugate models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayesrepair.fit import Change
from bayesrepair.judgement import Info
from bayesrepair.model import Conjugate
from bayesrepair.posterior import Posterior


@dataclass(frozen=True)
class ConjugateUpdate:
    """Add the powers of the changed rows to the sufficient statistics: exact, in either direction."""

    accepts: ClassVar[tuple[type, ...]] = (object,)
    needs: ClassVar[tuple[type, ...]] = (Conjugate,)
    directions: ClassVar[frozenset[str]] = frozenset({"insert", "delete"})

    def __call__(self, change: Change, rng: np.random.Generator) -> tuple[Posterior, Info]:
        """Return the exact posterior."""
        assert isinstance(change.model, Conjugate)  # `edit` refuses the others
        factor = change.factor
        posterior = change.model.update(change.posterior, factor.rows, factor.powers)
        return posterior, Info("conjugate", log_lik_evals=len(factor.rows), exact=True, updated=True)
