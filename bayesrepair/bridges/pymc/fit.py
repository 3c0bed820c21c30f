"""From a PyMC model, sampled or not, to a `Fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.model import DifferentiablePyMCModel, PyMCModel
from bayesrepair.bridges.pymc.sampling import NutsSettings, RefitSampler
from bayesrepair.bridges.pymc.unconstrain import unconstrain
from bayesrepair.bridges.pymc.vectorised import NUMPY
from bayesrepair.fit import Fit
from bayesrepair.posterior import Draws, Posterior
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError, SamplingInterrupted

_OWN_KEYWORDS = {"draws", "tune", "chains", "cores", "target_accept", "progressbar"}
_UNTRAINABLE = "{names} is discrete, and refits use NUTS"


class TrainablePyMCModel(DifferentiablePyMCModel):
    """A PyMC model of continuous free variables that can be sampled anew for any rows and weights.

    Parameters
    ----------
    model : pymc.Model
    graph : RowGraph
    settings : NutsSettings, optional
        How refits are sampled.
    mode : str
        PyTensor mode of the compiled functions.

    Attributes
    ----------
    sampler : RefitSampler
        Its ``settings`` may be exchanged; ``compile_seconds`` is the time that compilation took so far.
    """

    def __init__(
        self, model: pm.Model, graph: RowGraph, *, settings: NutsSettings | None = None, mode: str = NUMPY
    ) -> None:
        super().__init__(model, graph, mode=mode)
        self.sampler = RefitSampler(graph, settings or NutsSettings())

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Draws:
        """Draw from the posterior of ``log_prior + Σ weights · log_lik``.

        Parameters
        ----------
        rows : Rows
        start : Draws, optional
            Chains start from some of these draws.
        rng : Generator
        weights : array, shape (N,), optional
            Never negative, one by default; rows of weight zero take no part.

        Raises
        ------
        SamplingInterrupted
            If fewer draws came back than were asked for.
        """
        arrays, position = self._arrays(rows, with_outcome=True)
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        return self.sampler.sample(arrays, position, weights=weights, start=start, rng=rng)


def from_pymc(
    model: pm.Model,
    idata: Any = None,
    *,
    data: Any = None,
    outcome: str | None = None,
    random_seed: Any = None,
    **sample_kwargs: Any,
) -> Fit:
    """Make a fit of a PyMC model and its posterior; without a posterior, sample it.

    Parameters
    ----------
    model : pymc.Model
        Its rows must be conditionally independent given the parameters; it is never written.
    idata : DataTree, optional
        What `pymc.sample` returned for this model.
    data : DataFrame, mapping of arrays, or Dataset, optional
        The table that the model was built on. Its columns give names to arrays inside the model; the index of a
        DataFrame gives the row ids, and the frame is shown beside results.
    outcome : str, optional
        Which observed variable is predicted; the first by default.
    random_seed : int or Generator, optional
    **sample_kwargs
        Keywords of `pymc.sample`. ``draws``, ``tune``, ``chains``, ``cores``, ``target_accept`` and
        ``progressbar`` also rule later refits, which otherwise repeat what ``idata`` was sampled with.

    Returns
    -------
    Fit

    Raises
    ------
    UnsupportedModelError
        If the rows are not conditionally independent given the parameters; the message names the reason.
    DataError
        If ``idata`` has no posterior or belongs to another model, or ``data`` has other rows.
    SamplingInterrupted
        If fewer draws came back than were asked for.

    Warns
    -----
    SamplingWarning
        If there were divergences, or if r̂ exceeds 1.05.
    """
    graph = row_graph(model, data=data, outcome=outcome)
    settings = settings_from(sample_kwargs)
    bridge: PyMCModel
    if graph.discrete:
        bridge = PyMCModel(model, graph)
        bridge.lacks["Trainable"] = _UNTRAINABLE.format(names=", ".join(map(repr, graph.discrete)))
    else:
        bridge = TrainablePyMCModel(model, graph, settings=settings)
    table = data.loc[bridge.training.row] if isinstance(data, pd.DataFrame) else None
    return fitted(bridge, idata, table=table, random_seed=random_seed, sample_kwargs=sample_kwargs)


def fitted(
    bridge: PyMCModel,
    idata: Any,
    *,
    table: pd.DataFrame | None,
    random_seed: Any,
    sample_kwargs: dict[str, Any],
) -> Fit:
    """Fit of a bridged model: its draws taken from ``idata``, or sampled."""
    if idata is not None:
        draws = unconstrain(bridge.pymc, idata)
        _repeat_in_refits(bridge, draws, sample_kwargs)
    elif isinstance(bridge, TrainablePyMCModel) and set(sample_kwargs) <= _OWN_KEYWORDS:
        # The density compiled here is the one that refits use; pm.sample would compile a second time.
        draws = bridge.train(bridge.training, rng=np.random.default_rng(random_seed))
    else:
        draws = _sampled_by_pymc(bridge.pymc, random_seed, sample_kwargs)
    return Fit(bridge, bridge.training, draws, table=table)


def settings_from(sample_kwargs: dict[str, Any]) -> NutsSettings:
    """Settings of NUTS from PyMC's keywords, its defaults where they are silent."""
    own = {name: value for name, value in sample_kwargs.items() if name in _OWN_KEYWORDS and value is not None}
    return NutsSettings(**{"progressbar": True, **own})


def _repeat_in_refits(bridge: PyMCModel, draws: Draws, sample_kwargs: dict[str, Any]) -> None:
    unknown = set(sample_kwargs) - _OWN_KEYWORDS
    if unknown:
        raise MethodError(
            f"with idata, only keywords of the refits: {', '.join(sorted(_OWN_KEYWORDS))}",
            ", ".join(sorted(unknown)),
            "Leave them out, or leave out idata to sample with them.",
        )
    sampling = draws.sampling
    if isinstance(bridge, TrainablePyMCModel) and sampling is not None:
        bridge.sampler.settings = replace(
            bridge.sampler.settings,
            chains=sample_kwargs.get("chains") or sampling.chains,
            draws=sample_kwargs.get("draws") or sampling.draws,
            tune=sample_kwargs.get("tune") or sampling.tune or NutsSettings.tune,
        )


def _sampled_by_pymc(model: pm.Model, random_seed: Any, sample_kwargs: dict[str, Any]) -> Draws:
    """Sample with whatever PyMC chooses, and make sure that it was not interrupted."""
    asked = sample_kwargs.get("draws", NutsSettings.draws)
    chains = sample_kwargs.get("chains") or NutsSettings.chains  # said outright: a missing chain is a sign of Ctrl-C
    idata = pm.sample(model=model, random_seed=random_seed, **{**sample_kwargs, "chains": chains})
    got = idata["posterior"].sizes
    if got["draw"] != asked or got["chain"] != chains:
        raise SamplingInterrupted(
            f"Sampling stopped early: {asked} draws in each of {chains} chains were asked for, "
            f"{got['draw']} in {got['chain']} came back; no draws were kept."
        )
    return unconstrain(model, idata)
