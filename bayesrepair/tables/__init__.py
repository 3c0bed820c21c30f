"""A table and a target → a Bambi model → a `Fit`."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from bayesrepair.fit import Fit
from bayesrepair.tables.outcome import Target, read_target
from bayesrepair.tables.recipe import TableRecipe, read_recipe

__all__ = ["TableRecipe", "Target", "from_table", "read_recipe", "read_target"]


def from_table(
    df: pd.DataFrame,
    *,
    target: str,
    formula: str | None = None,
    family: str = "auto",
    group: str | None = None,
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
    df : DataFrame
        Its index gives the row ids; it becomes ``fit.table``.
    target : str
        Column to be modelled. Rows without a value are left out.
    formula : str, optional
        In Bambi's language, with or without the left side.
    family : {"auto", "bernoulli", "categorical", "gaussian", "t", "poisson", "negativebinomial"}
        ``"auto"``: see `read_target`.
    group : str, optional
        Column of groups that get an intercept each, ``(1|group)``.
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
        For an unknown column, ids that occur twice, fewer than 10 rows, a target that never varies or does not
        suit the family, infinite values, or no column that varies.
    MethodError
        If the method is unknown, or the Laplace approximation finds no mode.
    SamplingInterrupted
        If fewer draws came back than were asked for.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.
    """
    from bayesrepair.bridges.bambi import fit_of_formula

    recipe, table = read_recipe(df, target=target, formula=formula, family=family, group=group)
    return fit_of_formula(
        table,
        prepared=recipe.prepared(table, training=True),
        formula=recipe.formula,
        family=recipe.target.family,
        priors=recipe.priors,
        classes=recipe.target.classes,
        labels=recipe.labels,
        preparation=recipe,
        method=method,
        random_seed=random_seed,
        sample_kwargs=sample_kwargs,
    )
