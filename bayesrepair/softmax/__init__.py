"""Softmax models of classes in NumPy, with labels that may be wrong: closed-form derivatives, nothing is compiled."""

from bayesrepair.softmax.designs import Calibration, Features
from bayesrepair.softmax.model import SoftmaxModel, softmax_fit

__all__ = ["Calibration", "Features", "SoftmaxModel", "softmax_fit"]
