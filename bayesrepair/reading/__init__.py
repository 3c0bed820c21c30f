"""From a file to a table: delimiter, header, types, row ids, and a held-out part, each decided once and said."""

from bayesrepair.reading.checks import check_held_out, check_training
from bayesrepair.reading.columns import column_named, with_row_ids
from bayesrepair.reading.row_list import read_row_list
from bayesrepair.reading.splits import hold_out
from bayesrepair.reading.table import Table, read_table

__all__ = [
    "Table",
    "check_held_out",
    "check_training",
    "column_named",
    "hold_out",
    "read_row_list",
    "read_table",
    "with_row_ids",
]
