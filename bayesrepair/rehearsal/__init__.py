"""Fault injection on the user's own model, before the user acts on the real thing."""

from bayesrepair.rehearsal.result import Rehearsal, rehearse

__all__ = ["Rehearsal", "rehearse"]
