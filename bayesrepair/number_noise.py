"""What a noise-aware model takes to be wrong with numbers: measurements and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NumberNoise:
    """Measurements or counts of which a few are grossly wrong.

    A record y_i of group g has the density

        (1 − ε_g) f_i(y_i) + ε_g q_i(y_i),  ε_g = ½ sigmoid(μ + τ_group u_g),

    μ ~ N(``level``, ``level_sd``²), u ~ N(0, 1), τ_group ~ HalfNormal(``group_spread``). What is right, f, is the
    model's own density p(y | θ), with an allowance for ordinary misfit, so that natural extremes need not be taken
    for errors:

    - Poisson counts may vary more than that: negative binomial of the same mean, variance m + φ m², φ ~
      HalfNormal(``dispersion``);
    - other measurements, unless their distribution has heavy tails of its own (Student's t, Cauchy): a share ½
      sigmoid(v), v ~ N(``tail_level``, ``tail_sd``²), has deviations twice as large.

    What is wrong, q:

    - measurements with a location m and a scale s (of their logarithm, if they are log-normal): |y − m| / s is
      log-logistic with median d and shape 3, up or down alike. It has no mass where errors cannot be seen, and tails
      heavier than f. d = ``nearest`` + exp(log(``beyond``) + ``beyond_sd`` z), z ~ N(0, 1);
    - other measurements: the model's own density with every deviation from the mean d times as large (for positive
      ones, of the logarithm);
    - counts of n trials: any of 0 … n alike;
    - other counts: any order of magnitude alike, q ∝ 1 / (1 + y) up to ten times the largest count.

    Parameters
    ----------
    groups : int
        Number G of groups whose rates may differ; none by default.
    trusted : bool
        Whether some rows are known to be right, or to be wrong.
    reviewed : tuple of tuple of int, shape (G + 1, 2), optional
        Rows that somebody looked at: how many of each group (unknown last) were right, and how many wrong. The prior of
        ε is that after them, with the factor ``Π (1 − ε_g)^right ε_g^wrong``; their numbers have densities f and q.
    level, level_sd : float
        On the logit scale of twice the rate: −3 is a rate of 2.4 %.
    group_spread : float
    tail_level, tail_sd : float
        On the logit scale of twice the share: −1.5 is 9 %.
    dispersion : float
    nearest, beyond, beyond_sd : float
        In scales of the outcome: half of the errors are beyond 5 at the prior's median, never beyond less than 2.5.

    References
    ----------
    Box and Tiao (1968), doi:10.1093/biomet/55.1.119 (a second component for bad records); Verdinelli and Wasserman
    (1991), doi:10.1007/BF01889985.

    Examples
    --------
    >>> noise = NumberNoise()
    >>> noise.nearest + noise.beyond  # the median distance of an error at the prior's median, in scales
    5.0
    """

    groups: int = 0
    trusted: bool = False
    reviewed: tuple[tuple[int, int], ...] = ()
    level: float = -3.0
    level_sd: float = 1.0
    group_spread: float = 0.5
    tail_level: float = -1.5
    tail_sd: float = 1.0
    dispersion: float = 1.0
    nearest: float = 2.5
    beyond: float = 2.5
    beyond_sd: float = 0.5
