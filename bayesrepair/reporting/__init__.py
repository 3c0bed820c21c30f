"""Plots, one HTML report, and CSV files that are safe to open."""

from bayesrepair.reporting.csv_files import write_csv
from bayesrepair.reporting.html import report, report_again

__all__ = ["report", "report_again", "write_csv"]
