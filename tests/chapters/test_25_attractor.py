"""What chapter 25 says of the stored runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT
from literate import says

from companion.core.losses import total_loss, transport_loss
from companion.core.metrics import position_error
from companion.core.network import Parameters, initial_parameters, prototypes, starting_batch
from companion.core.settings import MASKS, Attractor, Settings
from companion.core.train import train
from companion.judging import ledger
from companion.judging.beyond import BESIDE, BEYOND, is_compatible, with_attractor
from companion.judging.chance import chance_summary
from companion.judging.claims import FIT, coverage_is_sufficient
from companion.judging.verdicts import DOES_NOT_HOLD, HOLDS, IN_PART
from companion.studies import attraction
from companion.sweeps.runs import stored_networks
from companion.sweeps.sweep import PAPER_SIZES, run_sweep

pytestmark = pytest.mark.long
states = says("25-attractor")
PUSHED = [mask for mask, on in MASKS.items() if on.coverage and on.overlap]
SEEDS = set(range(2000, 2100))


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return attraction.stored_runs(ROOT / "data")


@pytest.fixture(scope="module")
def found() -> attraction.Results:
    return attraction.results(ROOT / "data")


# --- the answer ---


@states(
    "**Answer.** After 2,000 steps, the length of every training here, Chamfer does not.",
    "does not suffice beside overlap from twenty neurons on (@sec-c10s; @sec-blindspot has a reason)",
    "At the repulsions' own strength it does in part: prototypes are nearer than chance in {equal-supported} of "
    "{tenfold-cases} cases, and with overlap the median E at $N = 100$ is {transport-largest}, where "
    "overlap alone has {overlap-largest}, overlap with coverage {coverage-largest} "
    "and chance {chance-largest}. With ten times that strength it does: E is",
    "all else nominal, 2,000 steps of Adam among it;",
)
def test_chamfer_cannot_hold_prototypes_transport_of_equal_strength_in_part_and_tenfold_transport_can(runs, found):
    assert set(runs["steps"]) == {2000} and Settings().steps == 2000
    assert [found.verdicts[key].verdict for key in ("B1", "B2", "B3")] == [DOES_NOT_HOLD, IN_PART, HOLDS]
    suffices = coverage_is_sufficient(with_attractor(found.verdicts["B2"].study, Settings()))
    assert [
        suffices.outcome(k) for k, case in enumerate(suffices.cases) if case.name.endswith(("20", "50", "100"))
    ] == ["contradicted"] * 6
    at = found.errors[100]
    assert at["110 transport κ=10"] < found.chance[100] < at["110 transport"] < at[["100", "110 coverage"]].min()


@states(
    "and prototypes are nearer than chance in {tenfold-supported} of {tenfold-cases} cases with a root mean squared "
    "error above the one without it by less than 0.005, if at all",
)
def test_tenfold_transport_is_nearer_than_chance_in_every_case_and_fits_as_well(found):
    verdict = found.verdicts["B3"]
    assert verdict.supported.all() and len(verdict.cases) == len(BESIDE) * len(PAPER_SIZES) and FIT[0] == 0.005
    for alone, beside in BESIDE.items():
        label = f"{beside} transport κ=10"
        assert (found.errors.loc[label] < found.chance).all()
        for size in PAPER_SIZES:
            fit = verdict.study.raw["rmse"]
            assert np.median(fit[label, size]) < np.median(fit[alone, size]) + 0.005


@states(
    "with annealing besides E is {both-largest}, the specialization ratio rising from {overlap-special} to "
    "{both-special}",
)
def test_annealing_besides_lowers_the_error_further_and_specialises(found):
    both = "110 transport κ=10 annealed"
    assert found.errors.loc[both, 100] < found.errors.loc["110 transport κ=10", 100]
    assert found.special.loc["100", 100] < 0.2 and found.special.loc[both, 100] > 0.9


# --- when an attractor balances a repulsion ---


@states(
    "Initial weights are at most 10. To bring $R_j$ for $|w_j| = 10$ down to 0.1, @eq-enough asks for $\\kappa$ =",
    "so a tenth of that may do",
)
def test_the_balance_that_brings_the_radius_down_is_about_ten_times_the_one_taken():
    assert all(initial_parameters(size, 2000).w.abs().max() <= 10 for size in PAPER_SIZES)
    balance = attraction.balance_for(0.1, 10)
    radius = attraction.repulsive_radius(torch.tensor([10.0]), Settings("110", balance=balance))
    assert float(radius) == pytest.approx(0.1) and 5 < balance / 10 < 15


@pytest.mark.slow
@states(
    "on calibration seeds (0–39) $\\kappa = 10$ brought the median E below chance with each repulsion at every size, "
    "and $\\kappa = 1$ did not"
)
def test_on_the_calibration_seeds_ten_was_enough_and_one_was_not():
    below = {}
    for balance in (1.0, 10.0):
        settings = Settings(attractor=Attractor.TRANSPORT, balance=balance)
        runs = run_sweep(settings, masks=BESIDE.values(), seeds=range(40), progress=False)
        errors = runs.groupby(["mask", "size"])["reconstruction_error"].median().unstack("size")
        below[balance] = errors.lt(chance_summary(runs).set_index("size")["median"])
    assert below[10.0].all(axis=None) and not below[1.0].all(axis=1)[PUSHED].any()


# --- the experiment ---


@states(
    "Every combination of attractor (none, coverage, Chamfer, transport) and repulsion (none, separation, overlap, "
    "both), six sizes, a hundred seeds of their own (2000–2099), all else nominal, 2,000 steps of Adam among "
    "it; then the "
    "two remedies "
    "on transport's rows, $\\kappa = 10$ and annealing, alone and together, and $\\kappa = 100$.",
    "without and with each repulsion",
)
def test_the_experiment_holds_every_combination_and_all_else_is_nominal(runs):
    labels = set(attraction.ALONE.values()) | {
        f"{mask} {one}" for mask in attraction.REPULSIONS.values() for one in Attractor
    }
    for kind in attraction.REMEDIES:
        masks = BESIDE.values() if "annealed" in kind else attraction.REPULSIONS.values()  # without a push none falls
        labels |= {f"{mask} transport{kind}" for mask in masks}
    assert set(runs["label"]) == labels and set(runs["size"]) == set(PAPER_SIZES)
    assert all(set(group) == SEEDS and len(group) == 100 for _, group in runs.groupby(["label", "size"])["seed"])
    nominal = Settings()
    for name in ("strength", "temperature", "steps", "target"):
        assert set(runs[name]) == {getattr(nominal, name)}
    others = [path for path in (ROOT / "data").glob("*.parquet") if not path.name.startswith("attractors")]
    with_seeds = [path for path in others if "seed" in pq.read_schema(path).names]
    assert len(with_seeds) > 5
    assert not any(SEEDS & set(pd.read_parquet(path, columns=["seed"])["seed"]) for path in with_seeds)


@states(
    "Transport is the lowest curve at every size in the panels without overlap, and below chance.",
    "With separation it stays below chance at every size.",
)
def test_without_overlap_transport_is_lowest_and_below_chance_at_every_size(found):
    for mask in ("010", "011"):
        own, others = found.errors.loc[f"{mask} transport"], found.errors.loc[rivals(mask)]
        assert (own < others.min()).all() and (own < found.chance).all()


@states(
    "In the two panels with overlap, transport lies above chance at every size, and below every other curve "
    "but chance from 10 neurons on; coverage and no attractor lie far above. Chamfer with overlap is above "
    "chance at every size.",
    "With overlap it is above chance at {transport-above-chance} of {sizes} sizes",
)
def test_with_overlap_transport_is_above_chance_and_below_the_others_from_ten_neurons_on(found):
    for mask in PUSHED:
        own, others = found.errors.loc[f"{mask} transport"], found.errors.loc[rivals(mask)]
        assert (own > found.chance).all() and (found.errors.loc[f"{mask} chamfer"] > found.chance).all()
        assert (own < others.min()).loc[10:].all()
        assert (others.drop(f"{mask} chamfer").min() > 2 * found.chance).all()
    assert found.errors.loc["110 transport", 3] > found.errors.loc["110 coverage", 3]


def rivals(mask: str) -> list[str]:
    """The labels that stand beside transport's in a panel."""
    return [attraction.ALONE[mask], f"{mask} coverage", f"{mask} chamfer"]


@states("sizes, most at $N = 3$")
def test_with_overlap_transport_is_farthest_above_chance_at_the_smallest_size(found):
    assert (found.errors.loc["110 transport"] - found.chance).idxmax() == 3


@states(
    "Transport alone places the prototypes: {unpushed-errors}, where Std has {std-errors}, and it specialises: "
    "at $N = 100$ {unpushed-special} instead of",
)
def test_transport_alone_places_the_prototypes_and_specialises(found):
    assert found.errors.loc["010 transport"].max() < found.errors.loc["000"].min() / 100
    assert found.special.loc["010 transport", 100] > 0.9 and found.special.loc["000", 100] < 0.3


@states(
    "with overlap it has {chamfer-largest} at $N = 100$, {chamfer-times-chance} times chance, and at $N = 3$ "
    "{chamfer-smallest}, where overlap alone has",
)
def test_chamfer_with_overlap_is_far_above_chance_and_worse_than_none_at_the_smallest_size(found):
    assert found.errors.loc["110 chamfer", 100] > 5 * found.chance[100]
    assert found.errors.loc["110 chamfer", 3] > found.errors.loc["100", 3]


@states(
    "It is the mean square of the distances along the input whose mean is the *position error*",
    "E measures position and value in one distance. Beside overlap at equal strength it is above chance "
    "in the median at every size; the position "
    "error alone (prototypes and samples matched for it alone) is not: at $N = 3$, 5 and 10 it is below chance's in "
    "{position-nearer} of a hundred runs, E in {whole-nearer}.",
    "At $N = 3$ prototypes are {position-smallest} from the samples, chance's {position-chance-smallest}; the values "
    "there are off by {value-smallest}, chance's, which are on the target's graph by definition, by",
    "At $N = 20$, 50 and 100 positions are below chance's in {position-nearer-largest} runs, and at $N = 100$ they are "
    "farther in the median too",
    "So at small $N$ prototypes are nearer to the data than chance's, and what E has against them are their values.",
)
def test_at_small_sizes_positions_are_nearer_than_chance_where_e_is_contradicted(runs, found):
    parts = found.parts
    assert (parts["E"] > parts["E, chance"]).all()
    near, whole = parts["runs with position below chance"], parts["runs with E below chance"]
    assert (
        (near.loc[[3, 5, 10]] > 60).all()
        and (whole.loc[[3, 5, 10]] < 30).all()
        and (near.loc[[20, 50, 100]] < 40).all()
    )
    assert (parts["position"] < parts["position, chance"]).loc[[3, 5, 10]].all()
    assert parts.loc[100, "position"] > 1.5 * parts.loc[100, "position, chance"]
    verdict = found.verdicts["B2"]
    outcomes = {case.name: verdict.outcome(number) for number, case in enumerate(verdict.cases)}
    assert {outcomes[f"100, N = {size}"] for size in (5, 10)} == {"supported"}
    assert {outcomes[f"100, N = {size}"] for size in (20, 50, 100)} == {"contradicted"}
    assert (parts["value"] > 3 * parts["value, chance"]).loc[[3, 5]].all()
    group = runs[(runs["label"] == "110 transport") & (runs["size"] == 3)]
    x, _, network = stored_networks(group)
    at = prototypes(network.w, network.b)
    loss, error = transport_loss(x, at), torch.from_numpy(np.asarray(position_error(x, at)))
    matched = attraction.matched_samples(x, at)
    torch.testing.assert_close(((matched - at) ** 2).mean(-1), loss)
    torch.testing.assert_close((matched - at).abs().mean(-1), error)


# --- the strength ---


@states("Transport's rows at strengths from 0.01 to 3, thirty of the seeds:")
def test_the_strengths_are_those_named_on_thirty_of_the_seeds(found):
    strengths = attraction.stored_strengths(ROOT / "data")
    assert set(strengths["seed"]) == set(range(2000, 2030)) < SEEDS
    assert set(strengths["mask"]) == set(attraction.REPULSIONS.values())
    assert found.by_strength["strength"].agg(["min", "max"]).tolist() == [0.01, 3.0]


@states(
    "In the two panels without overlap the error is lower at strength 1 than at one hundredth for every size.",
    "With overlap the curves are flatter: from one tenth to 3 no size changes by more than a factor of three, "
    "and none comes below its chance level.",
    "With overlap the best strength of these leaves the median E at {best-strength-times-chance} times "
    "chance, by size. "
    "In @eq-radius a strength that both share stands in the fit's part only",
)
def test_a_strength_that_both_share_helps_without_overlap_and_not_much_with_it(found):
    by = found.by_strength.pivot(index=["mask", "strength"], columns="size", values="median")
    for mask in ("010", "011"):
        assert (by.loc[(mask, 1.0)] < by.loc[(mask, 0.01)]).all()
    for mask in PUSHED:
        upper = by.loc[mask].loc[[0.1, 0.3, 1.0, 3.0]]
        assert (upper.max() / upper.min() < 3).all() and (by.loc[mask].min() > found.chance).all()
    assert (attraction.best_strength(found.by_strength, found.chance) > 1).all()


# --- what is left, and what removes it ---


@pytest.fixture(scope="module")
def held(found) -> pd.DataFrame:
    """What is left where no repulsion falls."""
    return found.left.loc[["κ=1", "κ=10", "κ=100"]]


@states(
    "Without annealing the distance that the forces predict is {forces-over-distance} times the one found: after 2,000 "
    "steps the forces on a prototype, taken at fixed $w$, nearly balance.",
)
def test_without_annealing_the_distance_is_the_one_at_which_the_forces_balance(held):
    assert (held["by the forces"] / held["to its sample"]).between(2 / 3, 3 / 2).all()


@states(
    "That is a balance on the way, not the end of the training. The norm of the whole loss' gradient is still "
    "{unfinished-gradients} in the median ($\\kappa = 1$, by size) and the loss {unfinished-losses}, while its infimum "
    "is 0 for every $\\kappa > 0$",
    "this is a matter of the budget: the training has not ended, and in longer ones prototypes come nearer "
    "(@sec-budget)",
)
def test_at_equal_strength_no_stationary_point_is_reached_and_more_steps_bring_prototypes_nearer(found):
    """An equilibrium would have no gradient, and would not move on."""
    assert (found.unfinished["gradient"] > 5e-4).all() and (found.unfinished["loss"] > 0.015).all()
    x, y, start = starting_batch(10, range(8000, 8010))
    losses, distances, settings = [], [], Settings("110", "transport", steps=12_000)
    recorded = train(x, y, start, settings, record=(2000, 12_000)).recorded
    for step in range(2):
        network = Parameters(*(value[step] for value in recorded))
        at = prototypes(network.w, network.b)
        losses.append(float(total_loss(x, y, network, settings).median()))
        distances.append(float((attraction.matched_samples(x, at) - at).abs().median()))
    assert losses[1] < losses[0] / 2 and distances[1] < distances[0] / 1.5


@states(
    "the median distance at $N = 100$ falls from {distance-equal} to {distance-tenfold} and {distance-hundredfold}, as "
    "$\\kappa$ to the power of minus {fall-largest}; over all sizes the powers are {falls}, below the 1 that "
    "@eq-radius "
    "has at given $w_j$",
)
def test_the_distance_falls_more_slowly_than_one_over_the_balance(found):
    """So “nearly as 1/κ” would be said of powers down to 0.6."""
    powers = attraction.falls(found.left)
    assert (powers < 1).all(axis=None) and powers.min(axis=None) < 0.65
    distance = found.left.xs(100, level="N")["to its sample"]
    assert distance["κ=10"] == pytest.approx(distance["κ=1"] * 10 ** -powers.loc["κ=1 to κ=10", 100])


@states(
    "of the prototypes are within $R_j$, which is far from tight: overlap pushes with {push-over-ceiling} of "
    "its ceiling",
)
def test_without_annealing_nearly_all_are_within_a_radius_that_is_far_from_tight(held):
    assert (held["within R"] > 0.99).all() and (held["push over its ceiling"] < 0.2).all()
    assert (held["R"] > 5 * held["to its sample"]).all()


@states(
    "Weights grow less, too: the median $|w|$ at $N = 100$ is {weight-equal}, {weight-tenfold} and",
)
def test_the_stronger_the_attractor_the_smaller_the_weights(held):
    weights = held["median |w|"].unstack("N")
    assert (weights.loc["κ=1"] > weights.loc["κ=10"]).all() and (weights.loc["κ=10"] > weights.loc["κ=100"]).all()


@states(
    "Annealed, the repulsion ends at nothing, and the prototypes lag behind: {distance-annealed} at $N = 100$, "
    "{annealed-times-forces} times what the last forces ask for",
)
def test_annealed_prototypes_lag_behind_the_last_forces(found):
    lagging = found.left.loc["annealed"]
    assert (lagging["to its sample"] > 2 * lagging["by the forces"]).all()
    assert lagging.loc[100, "to its sample"] < found.left.loc[("κ=1", 100), "to its sample"]


@states(
    "With overlap, at equal strength the curve lies above chance at every size; all four remedies lie below chance at "
    "every size, and the lowest at every size is a tenfold balance with annealing."
)
def test_with_overlap_all_four_remedies_lie_below_chance_and_both_together_lowest(found):
    for mask in PUSHED:
        assert (found.errors.loc[f"{mask} transport"] > found.chance).all()
        remedies = found.errors.loc[[f"{mask} transport{kind}" for kind in (" κ=10", " κ=100", " annealed")]]
        lowest = found.errors.loc[f"{mask} transport κ=10 annealed"]
        assert (remedies < found.chance).all(axis=None) and (lowest < remedies.min()).all()


# --- the verdicts ---


@states(
    *(f"**{key}.** *{claim.says}.*" for key, claim in BEYOND.items()),
    *{claim.stated for claim in BEYOND.values()},
    ledger.BEYOND_KEY,
    "By the first rules B2 did not hold and B4 held in part; the words on B1, B3 and B5 are as they were.",
)
def test_the_chapter_states_the_rules_that_judge(found):
    """The words by the first rules are in the history: `_beyond.md` at commit d1a4318."""
    assert [claim.rule is is_compatible for claim in BEYOND.values()] == 5 * [True] + [False]
    words = [found.verdicts[key].verdict for key in ("B1", "B2", "B3", "B4", "B5")]
    assert words == [DOES_NOT_HOLD, IN_PART, HOLDS, HOLDS, HOLDS]


@states(
    "C10s' own rule with transport is supported in {own-rule-supported} of {own-rule-cases} cases: beside overlap "
    "prototypes are nearer to the data than Std's, whose position error is above chance's itself."
)
def test_by_c10s_own_rule_transport_suffices(found):
    verdict = found.verdicts["C10t"]
    assert verdict.verdict == HOLDS and len(verdict.cases) == 12
    errors = verdict.study.raw["position_error"]
    for size in PAPER_SIZES:
        assert max(np.median(errors[mask, size]) for mask in ("110", "111")) < np.median(errors["000", size])
        assert np.median(errors["000", size]) > np.median(
            found.verdicts["B2"].study.raw["position_error"]["chance", size]
        )


# --- between the training points ---


@states(
    "It does after 2,000 steps, and not in one direction. By intervals that exclude 1, transport alone is "
    "better at $N$ = "
    "{grid-unpushed-better} and worse at $N$ = {grid-unpushed-worse}, beside Std.",
    "Losses that put prototypes where the data are, one to a sample, lower this error between few samples here, and "
    "raise it between many",
)
def test_where_prototypes_stand_at_the_data_few_samples_gain_and_many_lose(found):
    for repulsion, attractor in (
        ("no repulsion", "transport"),
        ("overlap", "transport κ=10"),
        ("overlap", "transport κ=10 annealed"),
    ):
        sides = attraction.clear_sides(found.ratios, repulsion, attractor)
        assert 10 in sides.better and max(sides.better) <= 20 and 100 in sides.worse and min(sides.worse) >= 50


@states(
    "Beside overlap alone, coverage is better at $N$ = {grid-coverage-better} and worse at $N$ = "
    "{grid-coverage-worse}; transport at equal strength worse at $N$ = {grid-equal-worse}; with $\\kappa = 10$ "
    "better at $N$ = {grid-tenfold-better} and worse at $N$ = {grid-tenfold-worse}; with both remedies better "
    "at $N$ = {grid-both-better} and worse at $N$ = {grid-both-worse}",
)
def test_beside_overlap_transport_of_equal_strength_is_better_nowhere_and_the_others_somewhere(found):
    sides = {kind: attraction.clear_sides(found.ratios, "overlap", kind) for kind in attraction.GENERALISING}
    assert sides["transport"].better == [] and sides["transport"].worse
    for kind in ("coverage", "transport κ=10", "transport κ=10 annealed"):
        assert sides[kind].better and sides[kind].worse


@states(
    "At large $N$ all these errors are small: the root of Std's is {grid-std-root} at $N = 100$, transport's",
)
def test_between_many_samples_all_errors_are_small(found):
    assert (found.roots[["N = 50", "N = 100"]] < 0.02).all(axis=None)
