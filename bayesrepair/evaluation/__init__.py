"""What a ranking or a repair is worth, measured."""

from bayesrepair.evaluation.accuracy import held_out
from bayesrepair.evaluation.detection import detection, detection_curve

__all__ = ["detection", "detection_curve", "held_out"]
