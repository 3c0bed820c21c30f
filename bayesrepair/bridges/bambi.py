"""From a Bambi model, sampled or not, to a `Fit`; what stays is the PyMC model and the design recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from bambi.utils import get_aliased_name
from formulae.parser import ParseError
from formulae.scanner import ScanError

from bayesrepair.bridges.design import Design, design_of
from bayesrepair.bridges.learned_scale import learned_scale
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.fit import Method, TrainablePyMCModel, fitted, settings_from
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.sampling import NutsSettings
from bayesrepair.bridges.pymc.unconstrain import as_datatree
from bayesrepair.bridges.spherical_t import spherical_t
from bayesrepair.fit import Fit
from bayesrepair.rows import Rows
from bayesrepair.status import DataError, UnsupportedModelError

Preparation = Callable[[pd.DataFrame], pd.DataFrame]
COEFFICIENT = "coefficient"
"""Name of the coefficients of a design matrix that is one term of the formula."""
BASIS = "basis"
"""Name of the coefficients of functions of the columns, where the formula has such a term."""


class BambiModel(TrainablePyMCModel):
    """The PyMC model that Bambi built, with the recipe that turns a table into its rows.

    Parameters
    ----------
    model : pymc.Model
    graph : RowGraph
    design : Design
    twins : mapping of str to str
        Arrays of the recipe that equalled another in training; the PyMC model holds that other only.
    preparation : callable, optional
        From the user's table to the one that the formula speaks of.
    settings : NutsSettings, optional
        How refits are sampled.
    """

    def __init__(
        self,
        model: pm.Model,
        graph: RowGraph,
        *,
        design: Design,
        twins: Mapping[str, str],
        preparation: Preparation | None = None,
        settings: NutsSettings | None = None,
    ) -> None:
        super().__init__(model, graph, settings=settings)
        self.design = design
        self.preparation = preparation
        self.twins = twins

    def name_entries(self, variable: str, labels: Sequence[str]) -> None:
        """Call the entries of a variable's first dimension by names of their own rather than by position."""
        first, *others = self.dims[variable]
        self.coords = {**self.coords, first: np.asarray(labels, dtype=object)}
        lengths = [len(labels), *(len(self.coords[dim]) for dim in others)]
        entries = [[*map(str, self.coords[dim])] for dim in (first, *others)]
        names = {
            f"{variable}[{', '.join(map(str, at))}]": ", ".join(entries[d][k] for d, k in enumerate(at))
            for at in np.ndindex(*lengths)
        }
        self.names = tuple(f"{variable}[{names[name]}]" if name in names else name for name in self.names)

    def rows(self, data: Any) -> Rows:
        """Rows from a table with the training table's columns, made with the constants of the training rows.

        Parameters
        ----------
        data : DataFrame or mapping of columns
            Its index gives the row ids. Without the outcome, rows can be predicted and not scored.

        Raises
        ------
        DataError
            If a column or a value is missing, a number is not finite, or a level or class was not seen in
            training.
        """
        if isinstance(data, Rows):
            return data
        table = data if isinstance(data, pd.DataFrame) else _as_table(data)
        prepared = table if self.preparation is None else self.preparation(table)
        arrays = self.design.arrays(prepared)
        _refuse_diverging_twins(self.twins, arrays)
        values = {}
        for name, source in self.graph.sources.items():
            parts = [arrays[column] for column in source.columns or (name,) if column in arrays]
            if parts:
                values[name] = np.column_stack(parts).reshape(len(prepared), *source.tail)
                values[name] = values[name].astype(source.training.dtype)
        return Rows(values, prepared.index.to_numpy())


def from_bambi(
    model: bmb.Model,
    idata: Any = None,
    *,
    method: Method = "nuts",
    data: pd.DataFrame | None = None,
    random_seed: Any = None,
    **sample_kwargs: Any,
) -> Fit:
    """Make a fit of a Bambi model and its posterior; without a posterior, sample it.

    Parameters
    ----------
    model : bambi.Model
        Built if it was not.
    idata : DataTree, optional
        What ``model.fit()`` returned, or `pymc.sample` on ``model.backend.model``.
    method : {"nuts", "laplace"}
        ``"laplace"``: the Gaussian at the mode instead of draws, as in `from_pymc`.
    data : DataFrame, optional
        Shown beside results in place of ``model.data``, row for row; its index gives the row ids.
    random_seed : int or Generator, optional
    **sample_kwargs
        Keywords of `pymc.sample`, as in `from_pymc`.

    Returns
    -------
    Fit
        ``fit.model.rows(table)`` makes rows of new data: transforms, centring and levels are those of the
        training rows. Rows that Bambi dropped for missing values are not among ``fit.rows``.

    Raises
    ------
    UnsupportedModelError
        If the model has HSGP terms, or a weighted, censored, truncated or several-column outcome.
    DataError
        If ``idata`` has no posterior or belongs to another model, or ``data`` has another number of rows.
    SamplingInterrupted
        If fewer draws came back than were asked for.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.
    """
    if not model.built:
        model.build()
    kept = _kept(model)
    table = _table(model, data).loc[kept]
    if idata is not None:
        idata = _as_pymc_has_it(model, idata)
    bridge = bridged(model, table, kept=kept, settings=settings_from(sample_kwargs))
    return fitted(bridge, idata, method=method, table=table, random_seed=random_seed, sample_kwargs=sample_kwargs)


def bridged(
    model: bmb.Model,
    table: pd.DataFrame,
    *,
    kept: np.ndarray,
    settings: NutsSettings,
    preparation: Preparation | None = None,
    classes: tuple | None = None,
) -> BambiModel:
    """Model of this library for a built Bambi model, its rows named by the table's index.

    ``classes`` names the classes where the formula's outcome holds their codes.
    """
    training = model.data.loc[kept].set_axis(table.index)
    design = design_of(model, training)
    arrays = design.arrays(training)
    graph = row_graph(model.backend.model, data=arrays, outcome=design.response.name)
    outcome = graph.outcome
    classes = classes or design.response.classes
    if classes is not None:
        outcome = replace(outcome, kind="class", classes=classes)
    graph = replace(graph, row_ids=table.index.to_numpy(), outcome=outcome)
    return BambiModel(
        model.backend.model,
        graph,
        design=design,
        twins=_twins(graph, arrays),
        preparation=preparation,
        settings=settings,
    )


def _table(model: bmb.Model, data: pd.DataFrame | None) -> pd.DataFrame:
    if data is None:
        return model.data
    if len(data) != len(model.data):
        raise DataError(
            f"a table of the model's {len(model.data)} rows",
            f"{len(data)} rows",
            "Pass the table that the Bambi model was made with.",
        )
    return data


def _kept(model: bmb.Model) -> np.ndarray:
    """Which rows of ``model.data`` Bambi kept; those with a missing value in use are dropped where it may."""
    used: set[str] = set(model.response_term.term.var_names)
    for component in model.conditional_parameters.values():
        for matrix in (component.design.common, component.design.group):
            if matrix is not None:
                used = used.union(*(term.var_names for term in matrix.terms.values()))
    columns = [name for name in model.data.columns if name in used]
    kept = model.data[columns].notna().all(axis=1).to_numpy()
    if kept.sum() != len(model.response_term.data):
        raise DataError(
            f"the {len(model.response_term.data)} rows that Bambi uses",
            f"{kept.sum()} rows without a missing value",
            "Drop rows with missing values before making the Bambi model.",
        )
    return kept


def _as_pymc_has_it(model: bmb.Model, idata: Any) -> Any:
    """Undo what ``bambi.Model.fit`` does to a posterior: it moves the intercept and drops the offsets."""
    tree = as_datatree(idata)
    posterior = tree["posterior"].to_dataset()
    if posterior.attrs.get("modeling_interface") != "bambi":
        return tree
    free = {str(rv.name) for rv in model.backend.model.free_RVs}
    found: dict[str, xr.DataArray] = {}
    for backend in model.backend.distributional_components.values():
        found |= _offsets(backend.component, posterior, free)
        if backend.has_intercept and backend.component.common_terms and model.center_predictors:
            found |= _centred_intercept(backend.component, posterior)
    tree = tree.copy()
    tree["posterior"] = xr.DataTree(posterior.assign(found))
    return tree


def _offsets(component: Any, posterior: xr.Dataset, free: set[str]) -> dict[str, xr.DataArray]:
    """Standardised group-specific effects of the non-centred form, effect / sd."""
    found = {}
    for term in component.group_specific_terms.values():
        name = get_aliased_name(term)
        sigma = f"{name}_{term.hyperprior_alias.get('sigma', 'sigma')}"
        offset = f"{name}_offset"
        if offset in free and offset not in posterior and {name, sigma} <= set(posterior.data_vars):
            found[offset] = (posterior[name] / posterior[sigma]).transpose(*posterior[name].dims)
    return found


def _centred_intercept(component: Any, posterior: xr.Dataset) -> dict[str, xr.DataArray]:
    """Intercept at the mean of the predictors, which is where the PyMC model has it."""
    name = get_aliased_name(component.intercept_term)
    terms = {get_aliased_name(term): term for term in component.common_terms.values()}
    if not {name, *terms} <= set(posterior.data_vars):
        return {}  # another model's posterior, refused with both lists later on
    intercept = posterior[name]
    for label, term in terms.items():
        coefficient = posterior[label]
        mean = np.asarray(term.data.mean(axis=0))
        own = [dim for dim in coefficient.dims if dim not in posterior[name].dims]
        intercept = intercept + (coefficient * xr.DataArray(mean, dims=own)).sum(own)
    return {name: intercept.transpose(*posterior[name].dims)}


def _twins(graph: RowGraph, training: dict[str, np.ndarray]) -> dict[str, str]:
    """Arrays of the recipe that are absent from the model because another, equal in training, stands for them."""
    inside = {name: source.training for name, source in graph.sources.items()}
    used = {column for source in graph.sources.values() for column in source.columns}
    twins = {}
    for name in sorted(set(training) - set(inside) - used):
        equal = [other for other, values in inside.items() if np.array_equal(values, training[name])]
        if equal:
            twins[name] = equal[0]
        else:
            raise UnsupportedModelError(
                f"an array of the PyMC model for {name!r}",
                "none with its values",
                "Write the model in PyMC and pass it to from_pymc.",
            )
    return twins


def _refuse_diverging_twins(twins: Mapping[str, str], arrays: dict[str, np.ndarray]) -> None:
    for name, other in twins.items():
        if not np.array_equal(arrays[name], arrays[other]):
            raise DataError(
                f"equal values of {name!r} and {other!r}, as in every training row",
                "rows where they differ",
                "The model cannot tell the two apart: keep one of them in the formula.",
            )


def _as_table(data: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(data)
    except (TypeError, ValueError) as error:
        raise DataError("a DataFrame or a mapping of columns", f"a {type(data).__name__}", "Pass a table.") from error


def fit_of_formula(
    table: pd.DataFrame,
    *,
    prepared: pd.DataFrame,
    formula: str,
    family: str,
    priors: Mapping[str, Any],
    classes: tuple | None,
    labels: tuple[str, ...],
    curves: tuple[str, ...] = (),
    preparation: Preparation,
    method: Method,
    random_seed: Any,
    sample_kwargs: dict[str, Any],
) -> Fit:
    """Fit the Bambi model of a prepared table.

    Parameters
    ----------
    table : DataFrame
        The user's own rows.
    prepared : DataFrame
        The same rows as the formula speaks of them.
    formula, family : str
        ``columns(x0, x1, …)`` in the formula makes one matrix of columns, with one vector of coefficients.
    priors : mapping
        Name and arguments of each prior, arguments being numbers or priors again; Bambi's own where empty.
    classes : tuple, optional
        Names of the classes, where the prepared outcome holds codes.
    labels, curves : tuple of str
        Names of the entries of that vector, and of the one of ``basis(b0, b1, …)``.
    preparation : callable
        From new rows of the user's to prepared ones.
    method : {"nuts", "laplace"}
    random_seed : int or Generator, optional
    sample_kwargs : dict

    Raises
    ------
    DataError
        If the user's formula cannot be read.
    """
    own = {name: _prior(spec) for name, spec in priors.items()} or None
    try:
        model = bmb.Model(formula, prepared, family=family, priors=own, extra_namespace=NAMESPACE)
    except (ParseError, ScanError, LookupError, NameError, AttributeError, TypeError, ValueError) as error:
        if own is not None:  # no formula of the user's
            raise
        got = f"{formula!r}: {type(error).__name__}: {error}"
        raise DataError("a formula that Bambi can read", got, "Check brackets, operators and functions.") from error
    aliases = {"columns(": COEFFICIENT, "basis(": BASIS}
    model.set_alias({term: alias for term in _term_names(model) for k, alias in aliases.items() if term.startswith(k)})
    model.build()
    every = np.ones(len(table), dtype=bool)
    settings = settings_from(sample_kwargs)
    bridge = bridged(model, table, kept=every, settings=settings, preparation=preparation, classes=classes)
    for variable, entries in ((COEFFICIENT, labels), (BASIS, curves)):
        if len(entries) > 1:
            bridge.name_entries(variable, entries)
    return fitted(bridge, None, method=method, table=table, random_seed=random_seed, sample_kwargs=sample_kwargs)


def columns(*values: Any) -> np.ndarray:
    """Put columns of a table side by side, (N, p): one term of a formula, with a vector of coefficients."""
    return np.column_stack(values)


OWN_PRIORS = {"SphericalT": spherical_t, "LearnedScale": learned_scale}
NAMESPACE = {"columns": columns, "basis": columns}
"""Functions of formulas beside Bambi's own."""


def _term_names(model: bmb.Model) -> list[str]:
    return [name for part in model.conditional_parameters.values() for name in part.common_terms]


def _prior(spec: tuple[str, Mapping[str, Any]]) -> bmb.Prior:
    name, arguments = spec
    own = {"dist": OWN_PRIORS[name]} if name in OWN_PRIORS else {}
    return bmb.Prior(name, **own, **{k: _prior(v) if isinstance(v, tuple) else v for k, v in arguments.items()})
