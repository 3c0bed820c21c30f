"""Any classifier as the model of the classes: trained on what is probably right, judged by rows that it did not see."""

from bayesrepair.cross_fitting.finding import CrossFitted, cross_fit, suspects_from_classifier

__all__ = ["CrossFitted", "cross_fit", "suspects_from_classifier"]
