"""Editors by name: one file and one line each."""

from bayesrepair.edit import EDITORS
from bayesrepair.editors.auto import Auto
from bayesrepair.editors.conjugate import ConjugateUpdate
from bayesrepair.editors.marginal import Marginal
from bayesrepair.editors.moves import Moves
from bayesrepair.editors.newton import Newton
from bayesrepair.editors.resample import Resample
from bayesrepair.editors.retrain import Retrain
from bayesrepair.editors.transport import Transport
from bayesrepair.editors.weights import Weights

EDITORS["auto"] = Auto
EDITORS["weights"] = Weights
EDITORS["marginal"] = Marginal
EDITORS["transport"] = Transport
EDITORS["moves"] = Moves
EDITORS["resample"] = Resample
EDITORS["newton"] = Newton
EDITORS["retrain"] = Retrain
EDITORS["conjugate"] = ConjugateUpdate

__all__ = ["Auto", "ConjugateUpdate", "Marginal", "Moves", "Newton", "Resample", "Retrain", "Transport", "Weights"]
