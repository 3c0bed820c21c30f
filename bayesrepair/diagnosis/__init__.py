"""The whole way from a table to a repaired posterior: fit, failures, causes, choice of K, repair, proof, report."""

from bayesrepair.diagnosis.constants import suspicious_constants
from bayesrepair.diagnosis.labels import LABEL_FILES, LabelSearch, find_wrong_labels
from bayesrepair.diagnosis.parts import Parts, divide
from bayesrepair.diagnosis.preparation import Tables, check_request, prepare, prepare_alone
from bayesrepair.diagnosis.relabelling import suggested_classes
from bayesrepair.diagnosis.result import Diagnosis
from bayesrepair.diagnosis.reviewed import (
    APPLIED_FILES,
    Applied,
    apply_decisions,
    checked_decisions,
    read_reviewed,
    read_stood,
)
from bayesrepair.diagnosis.run import diagnose

__all__ = [
    "APPLIED_FILES",
    "LABEL_FILES",
    "Applied",
    "Diagnosis",
    "LabelSearch",
    "Parts",
    "Tables",
    "apply_decisions",
    "check_request",
    "checked_decisions",
    "diagnose",
    "divide",
    "find_wrong_labels",
    "prepare",
    "prepare_alone",
    "read_reviewed",
    "read_stood",
    "suggested_classes",
    "suspicious_constants",
]
