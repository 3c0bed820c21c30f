"""What a ranking or a repair is worth, measured."""

from bayesrepair.evaluation.accuracy import held_out
from bayesrepair.evaluation.detection import detection, detection_curve
from bayesrepair.evaluation.effect import Effect, measure_of

__all__ = ["Effect", "detection", "detection_curve", "held_out", "measure_of"]
