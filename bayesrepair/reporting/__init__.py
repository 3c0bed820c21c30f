"""Plots, one HTML report, and CSV files that are safe to open."""

from bayesrepair.reporting.csv_files import write_csv
from bayesrepair.reporting.html import report, report_again
from bayesrepair.reporting.suspects_page import report_suspects

__all__ = ["report", "report_again", "report_suspects", "write_csv"]
