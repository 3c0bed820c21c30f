"""What the bridge refuses, by name, and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import pymc as pm
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from bayesrepair.status import DataError, UnsupportedModelError

if TYPE_CHECKING:
    from bayesrepair.bridges.pymc.parts import Observed

_JOINT = {
    "AutoRegressiveRV": "an autoregressive series (AR)",
    "RandomWalkRV": "a random walk",
    "GARCH11RV": "a GARCH series",
    "EulerMaruyamaRV": "a discretised stochastic differential equation",
    "MvNormalRV": "one joint multivariate normal (as gp.Marginal makes)",
    "MvStudentTRV": "one joint multivariate Student-t (as gp.TP makes)",
    "KroneckerNormalRV": "one joint Kronecker normal",
    "CARRV": "a conditional autoregression (CAR)",
    "ICARRV": "an intrinsic conditional autoregression (ICAR)",
}


def before_dissection(model: pm.Model) -> None:
    """Refuse what can be seen without building anything.

    Raises
    ------
    UnsupportedModelError
    """
    if not isinstance(model, pm.Model):
        raise UnsupportedModelError("a pymc.Model", f"a {type(model).__name__}", "Pass the model itself.")
    if not model.observed_RVs:
        _nothing_observed(model)
    if not model.free_RVs:
        raise UnsupportedModelError("at least one free variable", "none: there is no posterior to edit")
    for rv in model.observed_RVs:
        for variable in ancestors([rv, model.rvs_to_values[rv]]):
            op = type(variable.owner.op).__name__ if variable.owner else ""
            if op.startswith("Minibatch"):
                raise UnsupportedModelError(
                    f"all rows of {rv.name!r} in the model",
                    "a minibatch of them (pm.Minibatch or total_size)",
                    "Build the model on the whole data; scoring streams over blocks of rows by itself.",
                )


def _nothing_observed(model: pm.Model) -> NoReturn:
    if model.potentials:
        names = ", ".join(repr(p.name) for p in model.potentials)
        raise UnsupportedModelError(
            "an observed variable, whose likelihood has one term for each row",
            f"a likelihood written as Potential only ({names})",
            "Write it as pm.CustomDist(..., logp=..., observed=y), so that each row's term is known.",
        )
    raise UnsupportedModelError("an observed variable", "none", "Pass observed= to the outcome's distribution.")


def single_observation(name: str) -> NoReturn:
    """Refuse an observed scalar."""
    raise UnsupportedModelError(
        f"observed rows in {name!r}", "a single number", "Pass the data as an array, one entry for each row."
    )


def missing_cells(name: str) -> NoReturn:
    """Refuse missing values in part of a row, or where PyMC cannot split the distribution."""
    raise UnsupportedModelError(
        f"whole rows of {name!r} missing or present",
        "missing values that split a row, or a distribution that cannot be split row by row",
        "Drop the rows with missing values before building the model.",
    )


def different_rows(observed: Sequence[Observed]) -> None:
    """Refuse likelihoods over different records."""
    sizes = {o.name: len(o.training) for o in observed}
    masks = {None if o.present is None else o.present.tobytes() for o in observed}
    if len(set(sizes.values())) > 1 or len(masks) > 1:
        listed = ", ".join(f"{name!r}: {size}" for name, size in sizes.items())
        raise UnsupportedModelError(
            "all observed variables to share the same rows",
            f"different numbers of rows ({listed})",
            "A row is one record: build one model for each table of records, or join the tables first.",
        )


def unknown_outcome(outcome: str, names: Sequence[str]) -> NoReturn:
    """Refuse a name that is not an observed variable."""
    raise DataError(
        f"outcome= one of the observed variables {', '.join(map(repr, names))}",
        repr(outcome),
        "Pass one of these.",
    )


def joint_density(rv: Variable, name: str) -> NoReturn:
    """Refuse one density for all rows together."""
    kind = type(rv.owner.op).__name__
    what = _JOINT.get(kind, f"one joint density ({kind})")
    raise UnsupportedModelError(
        f"one likelihood term for each row of {name!r}",
        what,
        "Its rows are not independent given the parameters. Write a latent walk with one entry for each row and "
        "independent noise around it, or treat each series as one row of a matrix.",
    )


def no_density(name: str, why: str) -> NoReturn:
    """Refuse a distribution without a density."""
    raise UnsupportedModelError(
        f"a density for {name!r}", why, "Give the distribution a logp (pm.CustomDist(..., logp=...))."
    )


def dependent_rows(name: str, culprits: Sequence[str], reason: str) -> NoReturn:
    """Refuse rows whose likelihood changes with which other rows are there."""
    through = f" through {', '.join(map(repr, culprits))}" if culprits else ""
    raise UnsupportedModelError(
        f"each row's likelihood of {name!r} to depend on that row and the parameters alone",
        f"a likelihood that changes with which other rows are present{through} ({reason})",
        "Standardise, centre or aggregate outside the model (pass the result as data), and give latent variables "
        "that belong to rows the dims of the rows.",
    )


def potential_of_rows(name: str, arrays: Sequence[str]) -> NoReturn:
    """Refuse a Potential that uses the rows' data."""
    raise UnsupportedModelError(
        "Potentials of the parameters only",
        f"the Potential {name!r}, which uses row-aligned data ({', '.join(map(repr, arrays))})",
        "Deleting a row would leave its share in the Potential: write it as pm.CustomDist(..., observed=y).",
    )


def outcome_in_mean(name: str) -> NoReturn:
    """Refuse a model whose outcome enters its own distribution."""
    raise UnsupportedModelError(
        f"the distribution of {name!r} not to depend on {name!r}",
        "its own observed values among the parameters",
        "Pass what enters the mean as separate data.",
    )


def wrong_density(name: str, ours: float, theirs: float) -> NoReturn:
    """Refuse when the pieces do not add up to PyMC's own log density."""
    raise UnsupportedModelError(
        f"prior and pointwise likelihood of {name!r} to add up to model.logp",
        f"{ours:.10g} against {theirs:.10g}",
        "The model holds terms that the bridge does not see; please report it with the model.",
    )


NO_GRADIENT = (
    "the model has discrete free variables ({names}), which have no gradient: marginalise them "
    "(pm.Mixture, pymc_extras.marginalize), or use method='weights'"
)
