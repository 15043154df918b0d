"""Numbers and tables as the prose has them."""

from __future__ import annotations

import pandas as pd

from companion.show import words


def test_a_table_by_mask_keeps_the_order_and_names_that_are_no_mask():
    keys = [("001", 3), ("001", 20), ("anchor", 3), ("anchor", 20)]
    table = words.by_mask(
        pd.Series([0.5, float("nan"), 1.0, 0.234], index=pd.MultiIndex.from_tuples(keys)), words.percent
    )
    assert table.index.tolist() == ["001 Sep", "anchor"] and table.index.name == "mask"
    assert table.columns.tolist() == ["N = 3", "N = 20"]
    assert table.to_numpy().tolist() == [["50%", "–"], ["100%", "23%"]]
