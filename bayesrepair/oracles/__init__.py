"""Models with known answers: exact insertion and deletion, and one smooth model without a closed form."""

from bayesrepair.oracles.beta_binomial import Beta, BetaBinomial
from bayesrepair.oracles.linear import LinearKnownNoise, LinearUnknownNoise, NormalInverseGamma
from bayesrepair.oracles.logistic import Logistic
from bayesrepair.oracles.normal import NormalNormal

__all__ = [
    "Beta",
    "BetaBinomial",
    "LinearKnownNoise",
    "LinearUnknownNoise",
    "Logistic",
    "NormalInverseGamma",
    "NormalNormal",
]
