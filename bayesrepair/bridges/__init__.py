"""Bridges to other packages: the only importers of PyMC, PyTensor, nutpie and Bambi; loaded on first use."""
