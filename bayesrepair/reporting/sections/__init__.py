"""The sections of a report, each a function from its material to blocks."""
