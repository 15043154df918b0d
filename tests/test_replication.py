"""The replication's counts on made-up runs: claims of order, and orders against another implementation's."""

from __future__ import annotations

import pandas as pd
import pytest

from companion.core.settings import MASKS
from companion.studies.reconstruction import by_mask
from companion.studies.replication import (
    HEAT,
    agreement,
    claim_counts,
    fits,
    independent_medians,
    independent_temperatures,
    other_orders,
    same_order,
    sizes_drawn,
)


def made_up(errors: dict[str, float], ratios: dict[str, float]) -> pd.DataFrame:
    """Runs of two sizes and two seeds whose metrics are the given ones, the same in each."""
    return pd.DataFrame(
        {
            "mask": mask,
            "size": size,
            "seed": seed,
            "fit_mse": errors[mask] / size,
            "reconstruction_error": errors[mask],
            "specialization_ratio": ratios[mask] / size,
            "expelled_fraction": errors[mask],
        }
        for mask in MASKS
        for size in (3, 5)
        for seed in (1, 2)
    )


AS_THE_PAPER = {"010": 1.0, "011": 2.0, "001": 3.0, "000": 4.0, "100": 5.0, "101": 6.0, "110": 7.0, "111": 8.0}


def test_runs_as_the_paper_has_them_show_every_claim():
    counts = claim_counts(made_up(AS_THE_PAPER, {mask: -error for mask, error in AS_THE_PAPER.items()}))
    assert (counts["by mean"] == counts["cases"])[counts["claim"].str[:2] != "C7"].all()
    assert (counts["by mean"] == counts["by median"]).all()
    assert counts.set_index("claim")["cases"].to_list() == [2, 4, 2, 2, 2, 4]


def test_reversed_runs_show_none():
    errors = {mask: -error for mask, error in AS_THE_PAPER.items()}
    counts = claim_counts(made_up(errors, AS_THE_PAPER)).set_index("claim")
    assert counts["by mean"].to_list()[:5] == [0] * 5


def test_ties_show_no_order():
    counts = claim_counts(made_up(dict.fromkeys(MASKS, 1.0), dict.fromkeys(MASKS, 1.0)))
    assert counts["by mean"].to_list()[:5] == counts["by median"].to_list()[:5] == [0] * 5


def test_falling_specialization_is_counted_by_steps():
    counts = claim_counts(made_up(AS_THE_PAPER, dict.fromkeys(MASKS, 1.0))).set_index("claim")
    assert counts["by mean"].iloc[-1] == counts["cases"].iloc[-1] == 4


def test_same_order_counts_the_clear_pairs_alone():
    theirs = pd.DataFrame({"a": [1.0, 1.0], "b": [1.05, 2.0], "c": [3.0, 3.0]}, index=[3, 5])
    ours = pd.DataFrame({"a": [9.0, 1.0], "b": [0.0, 1.0], "c": [9.5, 2.0]}, index=[3, 5])
    counts = same_order(ours, theirs, least=0.1)
    assert counts["clearly apart"].to_list() == [2, 3]
    assert counts["same order"].to_list() == [2, 2]
    assert counts["other order"].to_list() == [[], [("a", "b")]]  # a tie of ours is no order


def test_orders_are_tabulated_by_size_and_told_where_they_differ():
    compared = {
        "E": pd.DataFrame(
            {"clearly apart": [2, 1], "same order": [0, 1], "other order": [[("000", "010"), ("001", "111")], []]},
            index=[3, 5],
        ),
        HEAT: pd.DataFrame({"clearly apart": [1, 1], "same order": [1, 0], "other order": [[], [(0.1, 3.0)]]}, [3, 5]),
    }
    assert agreement(compared).to_dict("index") == {
        "E": {"N = 3": "0/2", "N = 5": "1/1"},
        HEAT: {"N = 3": "1/1", "N = 5": "0/1"},
    }
    assert other_orders(compared) == {
        ("E", 3): "000 Std under 010 Cov, 001 Sep under 111 Full",
        (HEAT, 5): "0.1 under 3.0",
    }


def test_the_independent_medians_are_read_by_mask_and_by_temperature():
    error = {"reconstruction_error": {"median": 0.5, "mean": 9.0}}
    file = {
        "masks": {"000": {"3": error, "5": error}, "010": {"3": error}},
        "tau_sweep": [{"N": 3, "tau": 0.1, **error}, {"N": 5, "tau": 1.0, **error}],
    }
    medians = independent_medians(file, "reconstruction_error")
    assert medians.loc[3].to_dict() == {"000": 0.5, "010": 0.5} and medians.isna().to_numpy().sum() == 1
    heat = independent_temperatures(file)
    assert heat.loc[3, 0.1] == heat.loc[5, 1.0] == 0.5 and heat.isna().to_numpy().sum() == 2


def test_metrics_by_mask_are_means_or_medians_over_seeds():
    runs = pd.DataFrame({"mask": "000", "size": [3, 3, 3, 5], "fit_mse": [1.0, 2.0, 9.0, 4.0], "seed": [1, 2, 3, 1]})
    assert by_mask(runs, "fit_mse")["000"].to_list() == [2, 4]
    assert by_mask(runs, "fit_mse", "mean")["000"].to_list() == [4, 4]
    assert fits(runs).loc["000 Std"].to_dict() == {"N = 3": 2, "N = 5": 4}


@pytest.mark.parametrize(("sizes", "drawn"), [([10, 5, 3], (5, 10)), ([4, 3], (3, 4)), ([7], (7, 7))])
def test_the_sizes_drawn_are_five_or_the_fewest_and_the_most(sizes, drawn):
    assert sizes_drawn(pd.DataFrame({"size": sizes})) == drawn
