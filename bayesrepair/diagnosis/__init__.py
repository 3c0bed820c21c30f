"""The whole way from a table to a repaired posterior: fit, failures, causes, choice of K, repair, proof, report."""

from bayesrepair.diagnosis.constants import suspicious_constants
from bayesrepair.diagnosis.parts import Parts, divide
from bayesrepair.diagnosis.preparation import Tables, check_request, prepare
from bayesrepair.diagnosis.relabelling import suggested_classes
from bayesrepair.diagnosis.result import Diagnosis
from bayesrepair.diagnosis.run import diagnose

__all__ = [
    "Diagnosis",
    "Parts",
    "Tables",
    "check_request",
    "diagnose",
    "divide",
    "prepare",
    "suggested_classes",
    "suspicious_constants",
]
