"""The rows of a base fit as a ledger names them: by id, by hash once forgotten; and what requests ask of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayesrepair.fit import Factor, Fit
from bayesrepair.hashes import canonical, part_hash, row_hashes, row_key
from bayesrepair.ledger_store import Line
from bayesrepair.rows import Rows
from bayesrepair.status import LedgerError


@dataclass(frozen=True, eq=False)
class LedgerRows:
    """What the lines of a ledger's requests mean for the fit it belongs to.

    Parameters
    ----------
    base : Fit
    """

    base: Fit

    def hashed(self, part: Rows) -> str:
        """Hash of some rows with their content, keyed with the data."""
        return part_hash(part, self._key)

    def positions(self, line: Line | dict[str, Any]) -> np.ndarray:
        """Positions of the rows that a request names, also of a forgotten one."""
        known = self._position_of_hash if line["forgotten"] else self._position
        return np.array([known[name] for name in json.loads(line["ids"])], dtype=int)

    def forgotten(self, line: Line) -> str:
        """The rows that a request names, as hashes that only the holder of the base fit can resolve."""
        return canonical([self._hashes[at] for at in self.positions(line)])

    def weights(self, requests: Iterable[Line | dict[str, Any]]) -> np.ndarray:
        """The smallest weight asked for, of each row of the base fit, shape (N,)."""
        weight = self.base.current()[1].copy()
        for line in requests:
            at = self.positions(line)
            weight[at] = np.minimum(weight[at], line["weight"])
        return weight

    def factor(self, requests: Iterable[Line]) -> Factor:
        """What all the requests together multiply into the posterior of the base fit.

        Raises
        ------
        LedgerError
            If the rows are not those that were asked for.
        """
        for line in requests:
            if self.hashed(self.base.rows.at(self.positions(line))) != line["content"]:
                raise LedgerError("the rows that were asked for", f"others under the same ids in {line['key']!r}")
        rows, held = self.base.current()
        wanted = self.weights(requests)
        at = np.flatnonzero(wanted < held)
        return Factor(rows.at(at), wanted[at] - held[at])

    @cached_property
    def _key(self) -> bytes:
        return row_key(self.base.rows)

    @cached_property
    def _hashes(self) -> tuple[str, ...]:
        """Hashed id of each row of the base fit."""
        return row_hashes(self.base.rows, self.base.rows.row.tolist())

    @cached_property
    def _position(self) -> dict[str, int]:
        """Position of each row by its id as text."""
        return {canonical(i): at for at, i in enumerate(self.base.rows.row.tolist())}

    @cached_property
    def _position_of_hash(self) -> dict[str, int]:
        return {hashed: at for at, hashed in enumerate(self._hashes)}
