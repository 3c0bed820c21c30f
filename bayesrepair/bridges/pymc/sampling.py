"""Refits of a PyMC model: the weighted density is compiled once and sampled for any rows and weights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from bayesrepair.bridges.pymc.compiled_density import compiled_density
from bayesrepair.bridges.pymc.compiled_gradient import CompiledGradient
from bayesrepair.bridges.pymc.diagnostics import diagnosed, gradients_taken
from bayesrepair.bridges.pymc.graph import RowGraph
from bayesrepair.bridges.pymc.jax_gradient import JaxGradient, jax_gradient
from bayesrepair.bridges.pymc.lowering import placeholder
from bayesrepair.bridges.pymc.matrix_vector import with_loops
from bayesrepair.bridges.pymc.whitened import Whitening, whitened_target
from bayesrepair.posterior import Draws, Posterior, Sampling
from bayesrepair.status import DataError, MethodError, SamplingInterrupted

BACKENDS = ("numba", "jax")
_WEIGHT = "row weight"
_POSITION = "row position"
_JITTER = 1.0  # half-width around the model's initial point, as in PyMC's jitter+adapt_diag


@dataclass(frozen=True)
class NutsSettings:
    """How to run NUTS; the names are those of `pymc.sample`.

    Parameters
    ----------
    draws, tune : int
        Draws and tuning steps a chain.
    chains : int
    cores : int, optional
        Chains run at once; as many as there are processors by default.
    target_accept : float
    adaptation : str
        Of nutpie's mass matrix: "diag", or "low_rank" for posteriors with correlations.
    progressbar : bool
    backend : {"numba", "jax"}
        What compiles the density. JAX needs ``pip install 'bayesrepair[jax]'``, and is the faster one for a few
        likelihoods only (``docs/speed.md``).
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    target_accept: float = 0.8
    adaptation: Literal["diag", "low_rank"] = "diag"
    progressbar: bool = False
    backend: str = "numba"

    def __post_init__(self) -> None:
        for name in ("draws", "chains", "tune"):
            if getattr(self, name) < 1:
                raise MethodError(f"{name} of at least 1", f"{getattr(self, name)}")
        if not 0 < self.target_accept < 1:
            raise MethodError("target_accept between 0 and 1", f"{self.target_accept}")
        if self.backend not in BACKENDS:
            raise MethodError("backend='numba' or 'jax'", repr(self.backend))
        if self.backend == "jax" and find_spec("jax") is None:
            raise MethodError(
                "JAX for backend='jax'", "an environment without it", "pip install 'bayesrepair[jax]', or leave it out."
            )

    @property
    def parallel(self) -> int:
        """Chains that run at once."""
        return min(self.chains, self.cores or os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class CompiledTarget:
    """``log_prior + Σ weight · log_lik`` in the unconstrained space, compiled for nutpie.

    Parameters
    ----------
    gradient : CompiledGradient or JaxGradient
    blocks : int
        Blocks of ``graph.n_rows`` rows it was compiled for; one, of any length, where the graph takes any number.
    seconds : float
        Time the compilation took.
    """

    gradient: CompiledGradient | JaxGradient
    blocks: int
    seconds: float


@dataclass(eq=False)
class RefitSampler:
    """Samples the posterior of a row graph for any rows and weights, compiling as rarely as possible.

    The density is put to nutpie as one Potential of flat variables in the unconstrained space, with the weight of
    each row and every row-aligned array as shared data. Nothing row-wide is recorded, so the number of rows may
    change between refits; where the graph is static, whole blocks are filled up with rows of weight zero.

    Parameters
    ----------
    graph : RowGraph
    settings : NutsSettings
    compile_seconds : float
        Time spent on compilation so far.
    last_seconds : float
        Wall time of the last whole run; nan before the first.
    last_rows : int
        Rows that took part in it.
    """

    graph: RowGraph
    settings: NutsSettings = field(default_factory=NutsSettings)
    compile_seconds: float = 0.0
    last_seconds: float = np.nan
    last_rows: int = 0
    _targets: dict[tuple[str, int], CompiledTarget] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled code does not travel; the receiver compiles again at the first refit.
        return {**self.__dict__, "_targets": {}}

    def sample(
        self,
        inputs: Mapping[str, np.ndarray],
        position: np.ndarray,
        *,
        weights: np.ndarray,
        start: Posterior | None = None,
        rng: np.random.Generator,
        settings: NutsSettings | None = None,
        coordinates: Whitening | None = None,
    ) -> Draws:
        """Draw from the posterior of weighted rows.

        Parameters
        ----------
        inputs : mapping of str to array, shape (N, ...)
            Row-aligned arrays by the names of ``graph.inputs``.
        position : array, shape (N,)
            Position of each row among the training rows.
        weights : array, shape (N,)
            Never negative; rows of weight zero take no part.
        start : Draws, optional
            Chains start from some of these draws instead of around the model's initial point.
        rng : Generator
        settings : NutsSettings, optional
            Instead of the sampler's own.
        coordinates : Whitening, optional
            What is sampled, with draws to start from, instead of the unconstrained parameters themselves.

        Returns
        -------
        Draws

        Raises
        ------
        DataError
            If a weight is negative or none is positive.
        MethodError
            If a free variable is discrete: NUTS needs gradients.
        SamplingInterrupted
            If fewer draws came back than were asked for.
        """
        settings = settings or self.settings
        _refuse_discrete(self.graph)
        _refuse_weights(weights, len(position))
        gradient = self._with_rows(inputs, position, weights)
        if coordinates is None:
            compiled = gradient.target(self.graph, _starting_points(self.graph.initial, start))
        elif isinstance(start, Draws):
            compiled = whitened_target(gradient, self.graph, start, coordinates)
        else:
            raise MethodError("draws to start from in other coordinates", f"start={type(start).__name__}")
        started = time.perf_counter()
        draws = run_nuts(compiled, self.graph, settings, seed=int(rng.integers(2**31)))
        if coordinates is not None:
            draws = replace(draws, log_density=draws.log_density - coordinates.log_jacobian(draws.theta))
        self.last_seconds, self.last_rows = time.perf_counter() - started, int(np.count_nonzero(weights))
        return draws

    @property
    def is_compiled(self) -> bool:
        """Whether the next run can start at once."""
        return any(backend == self.settings.backend for backend, _ in self._targets)

    def resume(
        self,
        inputs: Mapping[str, np.ndarray],
        position: np.ndarray,
        *,
        weights: np.ndarray,
        start: Draws,
        rng: np.random.Generator,
        draws: int,
        tune: int,
    ) -> Draws:
        """Short chains from some draws and in their coordinates; the parameters are those of `sample`."""
        _refuse_discrete(self.graph)
        _refuse_weights(weights, len(position))
        gradient = self._with_rows(inputs, position, weights)
        settings = replace(self.settings, draws=draws, tune=tune, chains=len(np.unique(start.chain)))
        model = whitened_target(gradient, self.graph, start, Whitening.of(start))
        return run_nuts(model, self.graph, settings, seed=int(rng.integers(2**31)))

    def gradient(
        self, inputs: Mapping[str, np.ndarray], position: np.ndarray, weights: np.ndarray
    ) -> CompiledGradient | JaxGradient | None:
        """Density of weighted rows and its gradient, from what is compiled already; None where nothing serves."""
        used = int(np.count_nonzero(weights))
        if not used or (self.settings.backend, self._blocks(used)) not in self._targets:
            return None
        return self._with_rows(inputs, position, weights)

    def _with_rows(
        self, inputs: Mapping[str, np.ndarray], position: np.ndarray, weights: np.ndarray
    ) -> CompiledGradient | JaxGradient:
        """Compiled density of these rows and weights."""
        keep = np.flatnonzero(weights)
        target = self.compiled_for(len(keep))
        data = _shared_data(self.graph, target.blocks, inputs, position, weights, keep)
        used = target.gradient.inputs
        return target.gradient.with_data({name: value for name, value in data.items() if name in used})

    def _blocks(self, n_rows: int) -> int:
        return 1 if self.graph.regime == "dynamic" else -(-n_rows // self.graph.n_rows)

    def compiled_for(self, n_rows: int) -> CompiledTarget:
        """Target that holds ``n_rows`` rows; compiled at the first call."""
        key = self.settings.backend, self._blocks(n_rows)
        if key not in self._targets:
            self._targets[key] = compile_target(self.graph, key[1], backend=key[0])
            self.compile_seconds += self._targets[key].seconds
        return self._targets[key]


def compile_target(graph: RowGraph, blocks: int, *, backend: str = "numba") -> CompiledTarget:
    """Compile ``log_prior + Σ weight · log_lik`` for a number of blocks of rows."""
    started = time.perf_counter()
    training = {name: source.training for name, source in graph.sources.items()}
    every = np.arange(graph.n_rows)
    data = _shared_data(graph, 1, training, every, np.ones(graph.n_rows), every)
    flat: dict[Variable, Variable] = {
        value: placeholder(value, shape=shape) for value, shape in zip(graph.value_vars, graph.shapes, strict=True)
    }
    total: Any = clone_replace([graph.log_prior], flat)[0]
    fast = graph.sampled_log_lik if backend == "numba" else None
    each = graph.log_lik if fast is None else fast
    for block in range(blocks):
        total = total + _weighted_block(graph, each, flat, data, block)
    if backend == "jax":
        return CompiledTarget(jax_gradient(total, list(flat.values())), blocks, time.perf_counter() - started)
    compiled = compiled_density(
        with_loops(total, flat.values()),
        {str(value.name): parameter for value, parameter in flat.items()},
        _starting_points(graph.initial, None),
    )
    return CompiledTarget(CompiledGradient(compiled), blocks, time.perf_counter() - started)


def run_nuts(compiled: Any, graph: RowGraph, settings: NutsSettings, *, seed: int) -> Draws:
    """Run NUTS on a compiled target and return every draw that was asked for, or raise."""
    import nutpie

    started = time.perf_counter()
    sampler = nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.parallel,
        seed=seed,
        target_accept=settings.target_accept,
        adaptation=settings.adaptation,
        save_warmup=False,
        progress_bar=settings.progressbar,
        blocking=False,
    )
    try:
        tree = sampler.wait()
    except KeyboardInterrupt:
        sampler.cancel()
        raise SamplingInterrupted("Sampling was interrupted; no draws were kept.") from None
    seconds = time.perf_counter() - started
    theta = _complete(tree["posterior"].to_dataset(), graph, settings)
    chain = np.repeat(np.arange(settings.chains), settings.draws)
    sampling = Sampling(
        chains=settings.chains,
        draws=settings.draws,
        tune=settings.tune,
        divergences=int(tree["sample_stats"]["diverging"].sum()),
        rhat_max=np.nan,
        ess_min=np.nan,
        seconds=seconds,
        sampler=f"nutpie {nutpie.__version__}",
        gradients=gradients_taken(tree["sample_stats"].to_dataset(), settings.tune),
    )
    # the sampler's own record of the density saves an edit one pass over the rows
    log_density = tree["sample_stats"]["logp"].values.astype(float).reshape(-1)
    return diagnosed(Draws(theta, np.zeros(len(theta)), chain, log_density=log_density), sampling)


def _complete(posterior: Any, graph: RowGraph, settings: NutsSettings) -> np.ndarray:
    """Theta (S, P), or an exception: the sampler hands back a short trace as if it were complete."""
    asked = (settings.chains, settings.draws)
    got = (posterior.sizes["chain"], posterior.sizes["draw"])
    names = [str(value.name) for value in graph.value_vars]
    if got == asked:
        parts = [posterior[name].values.astype(float).reshape(asked[0] * asked[1], -1) for name in names]
        theta = np.concatenate(parts, axis=1)
        if np.isfinite(theta).all():
            return theta
    raise SamplingInterrupted(
        f"Sampling stopped early: {asked[1]} draws in each of {asked[0]} chains were asked for, "
        f"{got[1]} in {got[0]} came back complete or in part; no draws were kept."
    )


def _weighted_block(
    graph: RowGraph, each: Variable, flat: dict[Variable, Variable], data: Mapping[str, np.ndarray], block: int
) -> Variable:
    """Σ weight · log_lik over one block, with its arrays as shared variables."""
    shared: dict[Variable, Variable] = {}
    for name, variable in [*graph.inputs.items(), (_POSITION, graph.position)]:
        shared[variable] = pytensor.shared(data[_key(name, 0)], name=_key(name, block), shape=variable.type.shape)
    weight = pytensor.shared(data[_key(_WEIGHT, 0)], name=_key(_WEIGHT, block), shape=(None,))
    (log_lik,) = clone_replace([each], {**flat, **shared})
    return (weight * log_lik).sum()


def _dtype(variable: Any) -> str:
    return variable.type.dtype


def _key(name: str, block: int) -> str:
    return f"{name} #{block}"


def _shared_data(
    graph: RowGraph,
    blocks: int,
    inputs: Mapping[str, np.ndarray],
    position: np.ndarray,
    weights: np.ndarray,
    keep: np.ndarray,
) -> dict[str, np.ndarray]:
    """Arrays of the rows that take part, cut into blocks; what is missing is a copy of a row, of weight zero."""
    size = len(keep) if graph.regime == "dynamic" else graph.n_rows
    filled = np.concatenate([keep, np.full(blocks * size - len(keep), keep[0])])
    weight = np.where(np.arange(len(filled)) < len(keep), weights[filled], 0.0)
    arrays: dict[str, tuple[np.ndarray, str]] = {
        name: (inputs[name][filled], _dtype(variable)) for name, variable in graph.inputs.items()
    }
    arrays[_POSITION] = (np.asarray(position)[filled], _dtype(graph.position))
    arrays[_WEIGHT] = (weight, "float64")
    return {
        _key(name, block): np.ascontiguousarray(value[block * size : (block + 1) * size], dtype=dtype)
        for name, (value, dtype) in arrays.items()
        for block in range(blocks)
    }


def _starting_points(initial: np.ndarray, start: Posterior | None) -> Callable[[Any], np.ndarray]:
    """Return a function of a seed that gives a chain's starting point."""
    if isinstance(start, Draws):
        theta, weights = start.theta, start.weights

        def from_draws(seed: Any = None) -> np.ndarray:
            return theta[np.random.default_rng(seed).choice(len(theta), p=weights)].copy()

        return from_draws

    def around(seed: Any = None) -> np.ndarray:
        return initial + np.random.default_rng(seed).uniform(-_JITTER, _JITTER, len(initial))

    return around


def _refuse_discrete(graph: RowGraph) -> None:
    if graph.discrete:
        raise MethodError(
            "a model of continuous free variables to sample with NUTS",
            f"the discrete {', '.join(map(repr, graph.discrete))}",
            "Marginalise them out, or use method='weights'.",
        )


def _refuse_weights(weights: np.ndarray, n_rows: int) -> None:
    if np.shape(weights) != (n_rows,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError(f"{n_rows} finite weights of at least 0", f"{np.asarray(weights)!r}")
    if not (weights > 0).any():
        raise DataError("at least one row of positive weight", "none", "Keep some rows.")
