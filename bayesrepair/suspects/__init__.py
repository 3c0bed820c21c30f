"""Which records are probably wrong, from the user's own model with outcomes that can be wrong."""

from bayesrepair.suspects.finding import find_suspects
from bayesrepair.suspects.pooling import PooledSuspects, pool_suspects
from bayesrepair.suspects.result import Expected, Suspects
from bayesrepair.suspects.suspicion import surprise

__all__ = ["Expected", "PooledSuspects", "Suspects", "find_suspects", "pool_suspects", "surprise"]
