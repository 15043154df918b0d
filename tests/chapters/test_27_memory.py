"""What chapter 27 says of the stored readings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from literate import says
from scipy.stats import wilcoxon

from companion.core.data import sample_task
from companion.core.losses import transport_loss
from companion.core.metrics import position_error
from companion.core.network import initial_parameters, predict, prototypes, starting_batch
from companion.core.settings import Settings
from companion.studies import memory, readers
from companion.studies.memory import compared, medians
from companion.studies.readers import CHANCE, EVEN, KKT, KKT_BY_GRADIENT, STD_DECAYED, TARGET, TRANSPORT

pytestmark = pytest.mark.long
states = says("27-memory")
DATA = ROOT / "data"


@states(
    r"\frac{\partial f}{\partial b_j} &= -2 a_j z_{ij} h_{ij}, & \frac{\partial f}{\partial a_j} &= h_{ij}, \\ "
    r"\frac{\partial f}{\partial w_j} &= x_i \frac{\partial f}{\partial b_j}, & \frac{\partial f}{\partial c} &= 1 .",
)
def test_the_network_s_gradients_are_those_of_the_equation():
    (x, _), start = sample_task(7, 8000), initial_parameters(7, 8000)
    z = x[:, None] * start.w + start.b
    h = torch.exp(-(z**2))
    by_b = -2 * start.a * z * h
    found = torch.func.jacrev(lambda *network: predict(x, *network), (0, 1, 2, 3))(*start)
    for gradient, expected in zip(found, (x[:, None] * by_b, by_b, h, torch.ones_like(x)), strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.fixture(scope="module")
def stored():
    return readers.stored_readings(DATA)


@pytest.fixture(scope="module")
def runs(stored):
    return readers.at_one_decay(stored)


@pytest.fixture(scope="module")
def sizes(runs):
    return sorted(runs["size"].unique())


@pytest.fixture(scope="module")
def verdicts(runs):
    return compared(runs)


@pytest.fixture(scope="module")
def position(runs):
    """Median position errors, a row a task and a column a size."""
    return medians(runs, "position_error").set_index(["network", "reader", "size"])["value"].unstack("size")


@pytest.fixture(scope="module")
def left(stored):
    return readers.left_by_decay(stored).loc[f"{readers.DECAY:g}"]


@states(
    "transport's prototypes are nearer at every N.",
    "By the rule, whose chance is one draw a seed: transport's prototypes are nearer than the reconstruction "
    "from Std at every N, and nearer than one that knows the target at N = 5, 10, 20, 50; that one is the nearer at "
    "no N.",
    "So that at $N = 3$ this reader is not told from transport's prototypes holds for four starts:",
)
def test_transport_s_prototypes_are_nearer_than_the_reconstructions_but_for_one_at_3(verdicts, sizes):
    assert readers.nearer_at(verdicts, TRANSPORT, KKT) == sizes
    assert readers.nearer_at(verdicts, TRANSPORT, TARGET) == [5, 10, 20, 50]
    assert readers.nearer_at(verdicts, TRANSPORT, TARGET, "neither") == [3]
    for other in (KKT, TARGET):
        assert readers.nearer_at(verdicts, TRANSPORT, other, "second") == []


@states(
    "the test that compares two readers was changed after the results (below)",
    "By the signed ranks two more pairs were told apart: transport's prototypes were nearer than the reader that knows "
    "the target at N = 3 too, and that reader nearer than the draw at N = 10 too.",
)
def test_two_pairs_were_told_apart_by_the_signed_ranks_alone(runs, verdicts, monkeypatch):
    assert verdicts["p_first"].min() == pytest.approx(len(verdicts) * 0.5**30)  # all thirty seeds on one side
    monkeypatch.setattr(memory, "p_less", lambda low, high: wilcoxon(low - high, alternative="less").pvalue)
    before = compared(runs)
    changed = before[before["nearer"] != verdicts["nearer"]]
    found = list(changed[["first", "second", "size", "nearer"]].itertuples(index=False, name=None))
    assert found == [(TRANSPORT, TARGET, 3, "first"), (TARGET, CHANCE, 10, "first")]
    assert (verdicts.loc[changed.index, "nearer"] == "neither").all()


@states("Medians with exact 95 % intervals.", "medians with exact 95 % intervals over the {seeds} seeds")
def test_the_intervals_end_at_the_tenth_seed_from_either_side(runs):
    kkt = runs[(runs["network"] == KKT[0]) & (runs["reader"] == KKT[1]) & (runs["size"] == 5)]
    table = medians(kkt, "position_error").iloc[0]
    ordered = kkt["position_error"].sort_values().to_numpy()
    assert len(ordered) == 30 and (table["low"], table["high"]) == pytest.approx((ordered[9], ordered[20]))


@states(
    "The reconstruction is nearer than the draw at no N, the draw the nearer at no N; nearer than evenly "
    "spread points, "
    "which know nothing, at no N, farther at N = 20, 50.",
    "and nearer than evenly spread points at no N;",
)
def test_the_reconstruction_is_nearer_than_chance_at_no_n_and_farther_than_even_points_at_20_and_50(verdicts):
    assert readers.nearer_at(verdicts, KKT, CHANCE) == readers.nearer_at(verdicts, KKT, CHANCE, "second") == []
    assert readers.nearer_at(verdicts, KKT, EVEN) == []
    assert readers.nearer_at(verdicts, KKT, EVEN, "second") == [20, 50]


@states("It is nearer than the prototypes of the same weights at every N: decay sends these away.")
def test_the_reconstruction_is_nearer_than_the_prototypes_of_the_same_weights_at_every_n(verdicts, sizes, position):
    assert readers.nearer_at(verdicts, KKT, STD_DECAYED) == sizes
    assert (position.loc[STD_DECAYED] > position.loc[("Std", "prototypes")]).all()


@states("An attacker who also knows the target and the decay is nearer than one draw of chance at N = 3, 5, and")
def test_who_knows_the_target_is_nearer_than_chance_at_3_and_5(verdicts):
    assert readers.nearer_at(verdicts, TARGET, CHANCE) == [3, 5]


@states(
    "In {rank-short} of the networks decay leaves so few distinct neurons that there are fewer independent equations "
    "than unknowns",
    "by the count alone, $3K + 1 < 2N$, {count-short} of the networks at this decay do not determine inputs and "
    "multipliers, not even locally",
)
def test_most_networks_have_fewer_independent_equations_than_unknowns(runs):
    by_count, by_rank = readers.short_of_equations(runs)
    assert 0.8 < by_count <= by_rank < 1


@states(
    "the median number of distinct neurons is {distinct}, and with it the rank {rank}, while the unknowns grow from",
)
def test_the_rank_falls_behind_the_unknowns(left):
    assert (left["rank"] < left["unknowns"]).all() and left["rank"].loc[50] < left["unknowns"].loc[50] / 5
    assert (left["rank"] <= 3 * left["distinct neurons K"] + 1).all()


@states(
    "Not every training ended within its {evaluations} evaluations: at N = 10 only {steady-at-ten} have a "
    "gradient below 1e-8",
)
def test_at_n_10_the_fewest_trainings_end_at_a_stationary_point(left):
    assert left["gradient below 1e-8, share"].idxmin() == 10 and left["gradient below 1e-8, share"].loc[10] < 0.6


@states(
    "Where, in this table, the rank (below) equals the number of unknowns the samples come out to the precision of the "
    "training;"
)
@states("where it is smaller, the residual is as small and the samples are wrong.")
def test_samples_come_out_where_the_rank_equals_the_unknowns_and_are_wrong_where_it_is_smaller():
    known = readers.known_samples()
    rank = known["rank"].str.split(" of ", expand=True).astype(int)
    full = (rank[0] == rank[1]).to_numpy()
    errors = known[["largest error, least squares", "largest error, gradient"]].astype(float).to_numpy()
    assert full.any() and (errors[full] < 1e-5).all()
    assert (~full).any() and (errors[~full] > 0.1).all() and (known["residual"].astype(float) < 1e-5).all()


@states(
    "The network has K = {example-distinct}; its conditions have rank {example-rank}, its samples ten unknowns.",
)
@states("beside them stand others that make the same weights")
def test_other_inputs_make_the_weights_of_the_example():
    sets = readers.others_of_one_network()
    residual, inputs = sets["residual"].astype(float), sets.drop(columns="residual").astype(float)
    assert inputs.shape[1] == 5 and (residual < 1e-7).all()
    others = inputs.drop("training inputs") - inputs.loc["training inputs"]
    assert (others.abs().max(axis=1) > 0.004).all()


@states("no stationary point is reached, only approached. The runs show it:")
def test_most_of_transport_s_trainings_with_decay_do_not_end_at_a_stationary_point(runs):
    table = readers.not_stationary(runs)
    assert (table["below 1e-8, share"] < 0.5).all()
    assert (table["transport, decayed, position error"] < table["Std, decayed, position error"] / 100).all()


@states(
    "Descent by gradients, the field's way, has median position errors of {kkt-gradient-error}, least squares "
    "{kkt-error}, and both leave next to nothing of the weights in the median. That does not clear the search",
)
def test_both_searches_come_as_near_and_leave_next_to_nothing(runs, position):
    pd.testing.assert_series_equal(position.loc[KKT], position.loc[KKT_BY_GRADIENT], rtol=0.15, check_names=False)
    left_over = readers.wide(runs, "residual", "median")
    assert (left_over.loc[[KKT, KKT_BY_GRADIENT]] < 1e-3).all(axis=None)


@states(
    "no nearer than in all ({kkt-error})",
)
def test_where_training_ended_at_a_stationary_point_the_reconstruction_is_no_nearer(runs, position):
    steady = readers.steady_medians(runs)
    assert (steady > 0.9 * position.loc[KKT]).all()


@states(
    "the reconstruction from Std's weights lies little below chance, and the prototypes of decayed Std lie "
    "above chance",
    "chance is the mean of {draws} draws a seed",
)
def test_the_reconstruction_lies_little_below_chance_and_decayed_std_s_prototypes_above(runs, position):
    many = readers.chance_of_many_draws(runs)
    kkt, chance = position.loc[KKT], many.groupby("size")["position_error"].median()
    assert ((kkt < chance) & (kkt > chance / 2)).all() and (position.loc[STD_DECAYED] > chance).all()
    # The mean of many draws of a seed is a steadier opponent than the first of them.
    one = runs[runs["reader"] == CHANCE[1]].groupby("size")["position_error"].std()
    assert (many.groupby("size")["position_error"].std() < one).all()


@states(
    "It is nearer than that chance at {kkt-beats-draws}",
    "Against the mean of {draws} draws of the same seed, a comparison added after the results, the reconstruction is "
    "nearer in {kkt-nearer-draws} of {seeds} seeds (N = 3, 5, 10, 20, 50), by the sign test at {kkt-beats-draws}; one "
    "that knows the target in {target-nearer-draws}, at {target-beats-draws}. Evenly spread points are nearer "
    "than that "
    "mean in {even-nearer-draws}.",
)
def test_against_the_mean_of_many_draws_the_reconstruction_is_nearer_at_5_and_10(runs):
    assert readers.beating_draws(runs, KKT[1]) == [5, 10]
    assert readers.beating_draws(runs, TARGET[1]) == [3, 5, 10, 20]
    table = readers.against_draws(runs)
    assert (table["of"] == 30).all() and (table.loc[EVEN[1], "nearer"] >= 29).all()
    assert table.loc[(KKT[1], 5), "nearer"] >= 25


@states(
    "Its loss asks for that: it writes $x$ into $-b/w$, as an RBF network with its centres at the data has a position "
    "error of 0 by construction. So training objectives are compared here, each with its reader, and not "
    "readers of one "
    "network.",
)
def test_transport_s_loss_has_its_minimum_where_the_prototypes_are_the_inputs_and_an_rbf_network_has_them_there():
    x, y, initial = starting_batch(5, [4000])
    assert float(transport_loss(x, x.flip(-1))) == 0 < float(transport_loss(x, x + 0.01))
    network = readers.centred(x, y, initial, Settings("000", steps=20))
    assert float(position_error(x, prototypes(network.w, network.b))[0]) < 1e-12


@states("transport's prototypes, with decay and without, lie far below all others at every N")
def test_transport_s_prototypes_lie_far_below_all_others_at_every_n(position):
    transport = position.loc[["transport", "transport, decayed"]].xs("prototypes", level="reader").max()
    others = position.drop([("transport", "prototypes"), ("transport, decayed", "prototypes")])
    assert (transport < others.min() / 10).all()


@states(
    "transport's prototypes lie above one half at every N; the reconstruction without the target stays below a tenth, "
    "and the one that knows the target falls from almost one half at N = 3 to a tenth at N = 50."
)
def test_transport_s_prototypes_recover_more_than_half_and_the_reconstruction_less_than_a_tenth(runs):
    share = readers.wide(runs, "recovered_exactly", "mean")
    assert (share.loc[[("transport", "prototypes"), ("transport, decayed", "prototypes")]] > 0.5).all(axis=None)
    assert (share.loc[KKT] < 0.1).all()
    assert 0.4 < share.loc[TARGET, "N = 3"] < 0.5 and 0.09 < share.loc[TARGET, "N = 50"] < 0.11


@states(
    "there more starts do not help, elsewhere they do (@sec-starts)",
    "Where it is below $2N$, in {starts-untold} networks by size, more starts bring the inputs no nearer: the median "
    "position error is {starts-untold-four} from four starts and {starts-untold-most} from {starts-most}",
    "Where it is $2N$, the search was part of the failure: at $N = 5$, in {starts-told} networks, the median "
    "falls from "
    "{starts-told-four} to {starts-told-most}, and on seed 4003 from {starts-one-four} to {starts-one-most}.",
    "Where they do, it was limited by its four starts.",
)
def test_more_starts_help_where_the_rank_is_full_and_not_where_it_is_short():
    """So “the search is not what fails” does not hold."""
    table = readers.starts_table(DATA).loc[KKT[1]]
    short, full = (table.xs(rank, level="rank") for rank in ("below 2N", "2N"))
    assert (short["error, 200 starts"] > 0.9 * short["error, 4 starts"]).all()
    assert (short["found, 200 starts"] > 0.5).all()
    assert full.loc[5, "error, 200 starts"] < full.loc[5, "error, 4 starts"] / 2
    one = readers.starts_of(DATA, KKT, 5).loc[4003]
    assert one["rank", 4] == 10 and one["position_error", 200] < one["position_error", 4] / 10


@states(
    "a residual below 1e-5 is left in {starts-found-by-most} of {seeds} networks instead of "
    "{starts-found-by-four}, and "
    "the median position error falls from {starts-error-four} to {starts-error-most}",
    "It is then nearer than transport's prototypes in {starts-nearer} seeds.",
    "can read three samples better than a prototype shows",
)
def test_with_more_starts_who_knows_the_target_is_nearer_than_transport_in_more_than_half_of_the_seeds(runs):
    known = readers.starts_of(DATA, TARGET, 3)
    found = (known["residual"] < readers.FOUND).sum()
    assert found[200] >= 2 * found[4] and found[4] < len(known) / 2
    error = known["position_error"]
    assert error[200].median() < 1e-6 < 0.01 < error[4].median()
    own = runs[(runs["network"] == TRANSPORT[0]) & (runs["size"] == 3)].set_index("seed")["position_error"]
    assert (error[200] < own).mean() > 0.5


@states(
    "Open to the first attack, by the rule (interval above ½; {auc-intervals} intervals, not corrected for "
    "their number):",
)
@states("Coverage leaks too: less, but enough to tell members from others.")
def test_transport_and_coverage_are_open_to_the_membership_attack_at_every_n(runs, sizes):
    opened = readers.open_to_attack(runs)
    for name in ("transport, prototypes", "coverage, prototypes"):
        assert opened[name] == sizes
    auc = readers.wide(runs, "membership", "median")
    assert (auc.loc[("coverage", "prototypes")] < auc.loc[TRANSPORT]).all()


@states(
    "Left, by the nearest candidate: transport's prototypes stand above 0.9 at every N; coverage's lie "
    "between them and chance; those of Std lie near "
    "one half, as the reconstruction from decayed Std's weights does at the larger N; at N = 5 that is above 0.6.",
    "The reconstruction that knows the target lies near 0.8 at N = 3 and 5 and falls towards one half.",
)
def test_what_the_alternative_text_on_membership_says_is_so(runs):
    auc = readers.wide(runs, "membership", "median").rename(columns=lambda name: int(name.removeprefix("N = ")))
    assert (auc.loc[TRANSPORT] > 0.9).all()
    assert auc.loc[("coverage", "prototypes")].between(0.6, 0.8).all()
    assert auc.loc[("Std", "prototypes")].between(0.45, 0.55).all()
    assert auc.loc[KKT].drop([3, 5]).between(0.45, 0.55).all() and auc.loc[KKT, 3] < 0.6 < auc.loc[KKT, 5]
    known = auc.loc[TARGET]
    assert known[[3, 5]].between(0.75, 0.85).all() and known[5] > known[10] > known[20] > known[50] > 0.5


@pytest.fixture(scope="module")
def by_loss():
    """Median AUC by the loss, a row a network and a column a size."""
    return readers.stored_losses(DATA).groupby(["network", "size"])["loss_membership"].median().unstack("size")


@states(
    "Right, by the loss: Std, coverage, transport and the RBF network all lie near 1 at N = 3 and fall with N, none of "
    "them to one half.",
    "And to tell members from others no prototype is needed: by the loss alone Std's AUC is {loss-std} at N = "
    "3, 5, 10, "
    "20, 50",
    "By the loss Std's members are told with {loss-std} (N = 3, 5, 10, 20, 50), where its prototypes say next "
    "to nothing; "
    "coverage's with {loss-coverage}, transport's with {loss-transport}, and the RBF network's with {loss-rbf}.",
    "at N = 3 and 5 membership is open in all four. What transport adds is *where* the members are, and, from "
    "N = 10 on, "
    "that they are told more surely by its prototypes than by any of these losses",
)
def test_by_the_loss_members_of_all_networks_are_told_and_std_s_prototypes_tell_next_to_nothing(runs, by_loss):
    assert set(by_loss.index) == set(readers.BY_LOSS) and (by_loss[3] > 0.95).all()
    assert (by_loss.diff(axis=1).iloc[:, 1:] < 0).all(axis=None) and (by_loss > 0.5).all(axis=None)
    attacks = readers.loss_attacks(readers.stored_losses(DATA))
    assert (attacks.loc[attacks["size"].isin([3, 5]), "low"] > 0.5).all()
    assert (attacks.loc[attacks["network"] == "Std", "low"] > 0.5).all()
    auc = readers.wide(runs, "membership", "median").rename(columns=lambda name: int(name.removeprefix("N = ")))
    assert (by_loss.loc["Std"] - auc.loc[("Std", "prototypes")]).iloc[:4].min() > 0.1
    assert (auc.loc[TRANSPORT] > by_loss.max()).loc[[10, 20, 50]].all()


def test_the_stored_losses_are_those_of_the_comparison(runs):
    losses = readers.stored_losses(DATA)
    keys = set(losses[["size", "seed"]].itertuples(index=False, name=None))
    assert keys == set(runs[["size", "seed"]].itertuples(index=False, name=None))
    assert len(losses) == len(keys) * len(readers.BY_LOSS) and "torch" in losses.attrs["versions"]


@pytest.mark.slow
def test_the_losses_again_give_the_stored_rows():
    again = readers.by_loss(3, [4000, 4001]).set_index(["network", "seed"])
    kept = readers.stored_losses(DATA)
    kept = kept[kept["size"] == 3].set_index(["network", "seed"]).loc[again.index]
    np.testing.assert_allclose(again["loss_membership"], kept["loss_membership"], atol=0.02)


def test_the_stored_starts_are_those_of_the_comparison(runs):
    more = readers.stored_starts(DATA)
    wanted = product(readers.STARTS_SIZES, sorted(runs["seed"].unique()), (KKT[1], TARGET[1]), readers.STARTS)
    assert set(more[["size", "seed", "reader", "starts"]].itertuples(index=False, name=None)) == set(wanted)
    assert not more[["position_error", "residual"]].isna().any(axis=None)
    left = more.pivot(index=["size", "seed", "reader"], columns="starts", values="residual")
    assert (left.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


@pytest.mark.slow
def test_a_search_from_more_starts_gives_the_stored_rows():
    known = readers.starts_of(DATA, TARGET, 3)["residual"]
    seeds = known.index[known[readers.STARTS[-1]] < readers.FOUND][:2].tolist()
    again = readers.more_starts(3, seeds)
    again = again[(again["reader"] == TARGET[1]) & (again["starts"] == readers.STARTS[-1])]
    assert (again["residual"] < readers.FOUND).all() and (again["position_error"] < 1e-4).all()
