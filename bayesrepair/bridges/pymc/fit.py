"""From a PyMC model, sampled or not, to a `Fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pymc as pm

from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.extraction import row_graph
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.jax_gradient import JaxGradient
from bayesrepair.bridges.pymc.laplace import CurvedPyMCModel, refuse_without_mode
from bayesrepair.bridges.pymc.model import PyMCModel, checked_weights
from bayesrepair.bridges.pymc.sampling import NutsSettings, RefitSampler
from bayesrepair.bridges.pymc.unconstrain import unconstrain
from bayesrepair.bridges.pymc.vectorised import NUMPY
from bayesrepair.fit import Fit
from bayesrepair.numerics.glm_families import Normal
from bayesrepair.posterior import Draws, Gaussian, Posterior
from bayesrepair.rows import Rows
from bayesrepair.status import MethodError, SamplingInterrupted

if TYPE_CHECKING:
    from bayesrepair.bridges.pymc.noisy_model import NoisyPyMCModel
    from bayesrepair.noise import Noise

Method = Literal["nuts", "laplace"]
METHODS: tuple[Method, ...] = ("nuts", "laplace")
COMPILATION = 10.0  # seconds, about, of the first refit
# Draws × rows whose gradients cost less one by one, in compiled code, than a block's fixed costs;
# the normal kernel looks at no row, so that a block of it is cheaper still.
_FEW_CELLS, _FEW_NORMAL_CELLS = 9_000, 80_000
_OWN_KEYWORDS = {"draws", "tune", "chains", "cores", "target_accept", "progressbar", "backend"}
_UNTRAINABLE = "{names} is discrete, and refits use gradients"


class TrainablePyMCModel(CurvedPyMCModel):
    """A PyMC model of continuous free variables that can be fitted anew for any rows and weights.

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
        self._gradients: list[tuple[Rows, np.ndarray, CompiledGradient | JaxGradient]] = []
        self._with_noise: dict[Noise, NoisyPyMCModel] = {}

    def __getstate__(self) -> dict[str, Any]:
        # compiled code does not travel
        return {**self.__dict__, "_gradients": [], "_with_noise": {}}

    def with_noise(self, noise: Noise) -> NoisyPyMCModel:
        """A model whose outcomes may be wrong; the same object each time, so that it is compiled once."""
        from bayesrepair.bridges.pymc.noisy_model import NoisyPyMCModel
        from bayesrepair.bridges.pymc.noisy_numbers import NoisyNumberModel

        if noise not in self._with_noise:
            kind = NoisyPyMCModel if self.outcome.kind == "class" else NoisyNumberModel
            self._with_noise[noise] = kind(self, noise)
        return self._with_noise[noise]

    def log_target_and_grad(self, theta: np.ndarray, rows: Rows, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``log_prior + Σ weight · log_lik`` and its gradient: (S, P), (N,) → (S,), (S, P).

        Kernels serve where the likelihood is recognised. Else, and for a few draws, the density that was compiled for
        sampling, draw by draw; where it was not, PyTensor's graph over whole blocks of draws.
        """
        theta, weight = self._checked(theta), checked_weights(weight, rows)
        found = None if self._are_few(theta, rows) else self._by_kernels(theta, rows, weight)
        if found is not None:
            return found
        compiled = self._compiled_gradient(rows, weight)
        return super().log_target_and_grad(theta, rows, weight) if compiled is None else compiled(theta)

    def _are_few(self, theta: np.ndarray, rows: Rows) -> bool:
        """Whether the function compiled for sampling, if there is one, is faster than the kernels, if they serve."""
        functions = self.kernels.functions
        normal = functions is not None and isinstance(functions.recognised.family, Normal)
        return len(theta) * len(rows) <= (_FEW_NORMAL_CELLS if normal else _FEW_CELLS)

    def resume(
        self,
        rows: Rows,
        *,
        start: Draws,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
        draws: int,
        tune: int,
    ) -> Draws:
        """Short chains that start at draws of ``start``, in coordinates in which its covariance is the identity.

        Parameters
        ----------
        rows : Rows
        start : Draws
            There are as many chains as it has.
        rng : Generator
        weights : array, shape (N,), optional
        draws, tune : int
            Of each chain.

        Raises
        ------
        SamplingInterrupted
            If fewer draws came back than were asked for.
        """
        arrays, position = self._arrays(rows, with_outcome=True)
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        return self.sampler.resume(arrays, position, weights=weights, start=start, rng=rng, draws=draws, tune=tune)

    def refit_seconds(self, posterior: Posterior, n_rows: int) -> float:
        """Wall time that a refit on so many rows is expected to take.

        It is that of the last one, or of the sampling of ``posterior``, in proportion to the rows; nan where nothing is
        known. A compilation that is still to come counts with ten seconds.
        """
        known, rows = self.sampler.last_seconds, self.sampler.last_rows
        if np.isnan(known) and isinstance(posterior, Draws) and posterior.sampling is not None:
            known, rows = posterior.sampling.seconds, self.graph.n_rows
        known *= n_rows / max(1, rows)
        return known if self.sampler.is_compiled else known + COMPILATION

    def _compiled_gradient(self, rows: Rows, weight: np.ndarray) -> CompiledGradient | JaxGradient | None:
        """The compiled gradient of these rows; those of the last two calls are kept (before and after an edit)."""
        for known, its_weight, kept in self._gradients:
            if known is rows and np.array_equal(its_weight, weight):
                return kept
        arrays, position = self._arrays(rows, with_outcome=True)
        gradient = self.sampler.gradient(arrays, position, weight)
        if gradient is not None:
            self._gradients = [*self._gradients[-1:], (rows, weight.copy(), gradient)]
        return gradient

    def train(
        self,
        rows: Rows,
        *,
        start: Posterior | None = None,
        rng: np.random.Generator,
        weights: np.ndarray | None = None,
    ) -> Draws | Gaussian:
        """Draw from the posterior of ``log_prior + Σ weights · log_lik``, or find its Laplace approximation.

        Parameters
        ----------
        rows : Rows
        start : Draws or Gaussian, optional
            Chains start from some of these draws. Where it is a Gaussian the Laplace approximation comes back: the
            higher of the modes found from the model's initial point and from the mean of ``start``.
        rng : Generator
        weights : array, shape (N,), optional
            Never negative, one by default; rows of weight zero take no part.

        Raises
        ------
        SamplingInterrupted
            If fewer draws came back than were asked for.
        """
        weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=float)
        if isinstance(start, Gaussian):
            return self.laplace(rows, weights, start=start.mean)
        arrays, position = self._arrays(rows, with_outcome=True)
        return self.sampler.sample(arrays, position, weights=weights, start=start, rng=rng)


def from_pymc(
    model: pm.Model,
    idata: Any = None,
    *,
    method: Method = "nuts",
    data: Any = None,
    outcome: str | None = None,
    random_seed: Any = None,
    **sample_kwargs: Any,
) -> Fit:
    """Make a fit of a PyMC model and its posterior; without a posterior, sample it.

    With ``method="laplace"`` the posterior is the Gaussian at the mode in the unconstrained space, with the curvature
    there: found in seconds, edited by ``newton``, refitted likewise. How good it is as a posterior is said by the
    status of each edit.

    Parameters
    ----------
    model : pymc.Model
        Its rows must be conditionally independent given the parameters; it is never written.
    idata : DataTree, optional
        What `pymc.sample` returned for this model. With ``method="laplace"`` the search for the mode also starts from
        the mean of these draws; they may be those of ``pymc_extras.fit_laplace``.
    method : {"nuts", "laplace"}
    data : DataFrame, mapping of arrays, or Dataset, optional
        The table that the model was built on. Its columns give names to arrays inside the model; the index of a
        DataFrame gives the row ids, and the frame is shown beside results.
    outcome : str, optional
        Which observed variable is predicted; the first by default.
    random_seed : int or Generator, optional
    **sample_kwargs
        Keywords of `pymc.sample`; none with ``method="laplace"`` but ``progressbar``. ``draws``, ``tune``, ``chains``,
        ``cores``, ``target_accept``, ``progressbar`` and ``backend`` (``"numba"`` or ``"jax"``) also rule later refits,
        which otherwise repeat what ``idata`` was sampled with.

    Returns
    -------
    Fit

    Raises
    ------
    UnsupportedModelError
        If the rows are not conditionally independent given the parameters; the message names the reason.
    DataError
        If ``idata`` has no posterior or belongs to another model, or ``data`` has other rows.
    MethodError
        If the method is unknown, or the Laplace approximation finds no mode.
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
    return fitted(bridge, idata, method=method, table=table, random_seed=random_seed, sample_kwargs=sample_kwargs)


def fitted(
    bridge: PyMCModel,
    idata: Any,
    *,
    method: Method = "nuts",
    table: pd.DataFrame | None,
    random_seed: Any,
    sample_kwargs: dict[str, Any],
) -> Fit:
    """Fit of a bridged model: its draws taken from ``idata``, or sampled, or its Laplace approximation."""
    if method not in METHODS:
        raise MethodError(f"method one of {', '.join(map(repr, METHODS))}", repr(method), "Pass one of these names.")
    if method == "laplace":
        gaussian = _laplace(bridge, idata, sample_kwargs)
        return Fit(bridge, bridge.training, gaussian, table=table)
    if idata is not None:
        draws = unconstrain(bridge.pymc, idata)
        _repeat_in_refits(bridge, draws, sample_kwargs)
    elif isinstance(bridge, TrainablePyMCModel) and set(sample_kwargs) <= _OWN_KEYWORDS:
        # The density compiled here is the one that refits use; pm.sample would compile a second time.
        sampled = bridge.train(bridge.training, rng=np.random.default_rng(random_seed))
        assert isinstance(sampled, Draws)  # no Gaussian to start from was given
        draws = sampled
    else:
        draws = _sampled_by_pymc(bridge.pymc, random_seed, sample_kwargs)
    return Fit(bridge, bridge.training, draws, table=table)


def _laplace(bridge: PyMCModel, idata: Any, sample_kwargs: dict[str, Any]) -> Gaussian:
    """Laplace approximation of the training rows, or the reason why there is none."""
    unused = set(sample_kwargs) - {"progressbar"}
    if unused:
        raise MethodError(
            "no keywords of the sampler with method='laplace'", ", ".join(sorted(unused)), "Leave them out."
        )
    if not isinstance(bridge, TrainablePyMCModel):
        raise MethodError("a model of continuous free variables for method='laplace'", bridge.lacks["Trainable"])
    start = None if idata is None else unconstrain(bridge.pymc, idata).theta.mean(axis=0)
    gaussian = bridge.laplace(bridge.training, np.ones(len(bridge.training)), start=start)
    refuse_without_mode(gaussian)
    return gaussian


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
