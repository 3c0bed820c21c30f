"""A table and a target → a Bambi model → a `Fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.tables.basis import BasisName
from bayesrepair.tables.basis_choice import left_out, smallest_good
from bayesrepair.tables.outcome import Target, read_target
from bayesrepair.tables.recipe import TableRecipe, read_recipe, suitable_bases
from bayesrepair.tables.sample import MAX_ROWS, whole_or_sample

__all__ = ["TableRecipe", "Target", "from_table", "read_recipe", "read_target"]

_CAREFUL = 0.95  # target_accept where a scale and what it multiplies are sampled together


def from_table(
    df: Any,
    *,
    target: str,
    formula: str | None = None,
    family: str = "auto",
    group: str | None = None,
    basis: BasisName = "linear",
    prior_scale: Literal["unit", "learned"] = "unit",
    max_rows: int = MAX_ROWS,
    method: Literal["nuts", "laplace"] = "nuts",
    random_seed: Any = None,
    **sample_kwargs: Any,
) -> Fit:
    """Model one column of a table by the others, and fit the model.

    Without a formula, every other column predicts: numbers standardised, words coded against the first level in
    alphabetical order, dates as days, missing numbers filled in with the median, missing words as a level of their
    own; coefficients have a Normal(0, 1) prior on the scale of the linear predictor (times the outcome's standard
    deviation where it is modelled directly), which keeps even separable classes apart. With a formula, columns
    enter as they are (missing values filled in) under Bambi's default priors. All constants are those of the
    training rows and stay with ``fit.model``, so that `Fit.model.rows` treats new rows alike.

    Parameters
    ----------
    df : DataFrame, path, Dask DataFrame or Dataset
        Its index gives the row ids; it becomes ``fit.table``. A path is that of a CSV file, a Parquet file or a folder
        of Parquet files; it need not fit into memory.
    target : str
        Column to be modelled. Rows without a value are left out.
    formula : str, optional
        In Bambi's language, with or without the left side.
    family : {"auto", "bernoulli", "categorical", "gaussian", "t", "poisson", "negativebinomial"}
        ``"auto"``: see `read_target`.
    group : str, optional
        Column of groups that get an intercept each, ``(1|group)``.
    basis : {"linear", "splines", "fourier", "auto"}
        What enters beside the columns themselves, where there is no formula: nothing; cubic splines of each numeric
        column; or random Fourier features of all of them together, for classes and surfaces of any shape. How much they
        add is learned (a spherical Student-t prior on their coefficients). ``"auto"`` fits all three and keeps the
        smallest within one standard error of the best by PSIS-LOO; the last note says what it chose.
    prior_scale : {"unit", "learned"}
        Of coefficients, where there is no formula. ``"learned"``: Normal(0, s²/d) for all d of them, s ~ HalfNormal(5),
        so that s is the standard deviation of what they add up to. It is what `find_suspects` does best with:
        coefficients held near 1 cannot say how far apart classes are, and what lies on the wrong side then looks like
        chance. It takes a NUTS sampler longer, and ``target_accept`` is .95 then.
    max_rows : int
        Of a table that is not a DataFrame in memory, so many rows at most are read and modelled, a uniform random
        sample by ``random_seed``; `find_causes` with ``rows=`` ranks all of them.
    method : {"nuts", "laplace"}
        ``"nuts"`` samples the posterior; ``"laplace"`` finds the Gaussian at its mode, as in `from_pymc`.
    random_seed : int or Generator, optional
    **sample_kwargs
        Keywords of `pymc.sample`, as in `from_pymc`.

    Returns
    -------
    Fit
        ``fit.model.preparation`` is the `TableRecipe`; its ``notes`` say what was decided.

    Raises
    ------
    DataError
        For an unknown column or basis, a basis beside a formula or without a numeric column, ids that occur twice,
        fewer than 10 rows, a target that never varies or does not suit the family, infinite values, or no column that
        varies.
    MethodError
        If the method is unknown, or the Laplace approximation finds no mode.
    SamplingInterrupted
        If fewer draws came back than were asked for.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.
    """
    options: dict[str, Any] = {"method": method, "random_seed": random_seed, "sample_kwargs": sample_kwargs}
    read: dict[str, Any] = {"target": target, "formula": formula, "family": family, "group": group}
    read["prior_scale"] = prior_scale
    if prior_scale == "learned" and method == "nuts":
        sample_kwargs.setdefault("target_accept", _CAREFUL)
    table, said = whole_or_sample(df, max_rows=max_rows, random_seed=random_seed)
    fit = _with_basis(table, read, basis, options)
    return _noting(fit, said) if said else fit


def _with_basis(df: pd.DataFrame, read: dict[str, Any], basis: str, options: dict[str, Any]) -> Fit:
    if basis != "auto":
        return _fit(df, read, basis, options)
    candidates = suitable_bases(df, **read)
    if len(candidates) == 1:
        return _noting(_fit(df, read, "linear", options), "basis='auto' chose 'linear': no column holds numbers.")
    fits = {name: _fit(df, read, name, options) for name in candidates}
    chosen, why = smallest_good({name: left_out(fit) for name, fit in fits.items()})
    return _noting(fits[chosen], why)


def _fit(df: pd.DataFrame, read: dict[str, Any], basis: str, options: dict[str, Any]) -> Fit:
    from bayesrepair.bridges.bambi import fit_of_formula

    recipe, table = read_recipe(df, basis=basis, **read)
    return fit_of_formula(
        table,
        prepared=recipe.prepared(table, training=True),
        formula=recipe.formula,
        family=recipe.target.family,
        priors=recipe.priors,
        classes=recipe.target.classes,
        labels=recipe.labels,
        curves=() if recipe.basis is None else recipe.basis.labels,
        preparation=recipe,
        **options,
    )


def _noting(fit: Fit, note: str) -> Fit:
    """The same fit, whose recipe says one thing more."""
    model: Any = fit.model
    model.preparation = replace(model.preparation, notes=(*model.preparation.notes, note))
    return fit
