"""Names of columns beside a formula: what a model cannot hold is refused before anything is built."""

import numpy as np
import pandas as pd
import pytest

from bayesrepair.status import DataError
from bayesrepair.tables import read_recipe

TABLE = pd.DataFrame(
    {"x": np.arange(12.0), "miles/gallon": np.arange(12.0) ** 2, "y": [0, 1] * 6, "a/b": [0, 1, 1] * 4}
)


@pytest.mark.parametrize(
    ("formula", "target", "group"),
    [("`miles/gallon` + x", "y", None), ("x", "a/b", None), ("x", "y", "a/b")],
)
def test_a_slash_is_refused_beside_a_formula(formula, target, group):
    with pytest.raises(DataError, match="without backticks and slashes"):
        read_recipe(TABLE, target=target, formula=formula, group=group)


def test_a_slash_is_welcome_without_a_formula_and_where_the_formula_leaves_it_out():
    recipe, _ = read_recipe(TABLE, target="a/b", group="y")
    assert recipe.labels == ("x", "miles/gallon")
    assert "`a_b`" in recipe.formula
    recipe, _ = read_recipe(TABLE, target="y", formula="x")
    assert list(recipe.columns) == ["x"]
