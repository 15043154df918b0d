"""Weights that remember: stationary points, their reconstruction on known solutions, and the stored comparison."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT

from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.losses import chamfer_loss, coverage_loss, overlap_loss, separation_loss, total_loss, transport_loss
from companion.core.metrics import position_error
from companion.core.network import (
    Parameters,
    activations,
    initial_parameters,
    predict,
    prototypes,
    starting_batch,
)
from companion.core.settings import Settings
from companion.judging.chance import chance_level
from companion.studies import memory, readers
from companion.studies.stationarity import (
    METHODS,
    Search,
    attempts,
    condition_rank,
    distinct_neurons,
    gradients,
    membership,
    multipliers,
    other_samples,
    reconstruct,
    recovered,
    scale_conditions,
    smaller,
    stationarity_residual,
    train_to_stationarity,
)

DECAY = 1e-4
KNOWN = ((2, 2, 3), (2, 4, 3), (2, 4, 4), (3, 4, 0))
"""Samples, neurons and seed of trainings whose conditions determine their samples."""
CLOSE = 1e-5
"""How near those are found: training ends at a residual of some 1e-7, whose digits are the processor's, and a solution
is up to fifteen times as far from the samples."""


def flat(parameters: Parameters) -> np.ndarray:
    return np.concatenate([np.asarray(value).ravel() for value in parameters])


def task(samples: int, neurons: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """The book's task, or random values for three samples, and the stationary point that its training reaches."""
    x, y = sample_task(samples, seed)
    if samples > 2:
        y = torch.tensor(np.random.default_rng(seed).uniform(0, 1, samples))
    return x, y, train_to_stationarity(x, y, initial_parameters(neurons, seed), DECAY).parameters


# --- the conditions ---


def test_gradients_are_autograd_s():
    parameters = initial_parameters(5, 1)
    x = torch.linspace(-0.5, 1.5, 7, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda *given: predict(x, *given), tuple(parameters))
    expected = torch.cat([part.reshape(7, -1) for part in jacobian], dim=1).T
    np.testing.assert_allclose(gradients(parameters, x), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_gradient_norm_is_that_of_the_book_s_losses_with_decay(strength):
    x, y = sample_task(4, 2)
    found = train_to_stationarity(x, y, initial_parameters(4, 2), 1e-2, strength)
    parameters = Parameters(*(value.clone().requires_grad_() for value in found.parameters))
    loss = total_loss(x, y, parameters, Settings("010", "transport", strength=strength, temperature=DECAY))
    (loss + 1e-2 / 2 * sum((value**2).sum() for value in parameters)).backward()
    norm = float(torch.cat([value.grad.reshape(-1) for value in parameters]).norm())
    assert norm == pytest.approx(found.gradient_norm, rel=1e-3, abs=1e-12)
    assert strength or norm < 1e-8


def test_a_stationary_point_is_made_up_of_its_samples_gradients_and_no_false_multipliers_make_it_up():
    x, y, parameters = task(2, 2, 3)
    right = multipliers(parameters, x, y, DECAY)
    assert np.linalg.norm(stationarity_residual(parameters, x, right)) < 1e-6
    for factor in (-1, 0.5, len(x)):  # the sign, the factor 2 and the mean forgotten
        assert np.linalg.norm(stationarity_residual(parameters, x, factor * right)) > 0.1


def test_a_sample_twice_leaves_the_trace_of_one():
    x, y = sample_task(2, 3)
    twice = torch.tensor([0, 1, 1])
    found = train_to_stationarity(x[twice], y[twice], initial_parameters(2, 3), DECAY)
    single = multipliers(found.parameters, x[twice], y[twice], DECAY)
    merged = np.array([single[0], single[1] + single[2]])
    assert np.linalg.norm(stationarity_residual(found.parameters, x, merged)) < 1e-6
    candidates = reconstruct(found.parameters, 2, Search(10))
    np.testing.assert_allclose(np.sort(candidates.x), np.sort(x), atol=CLOSE)


def test_a_sample_that_is_met_exactly_leaves_no_trace():
    x, y, parameters = task(2, 2, 3)
    more = torch.cat([x, x.new_tensor([0.9])])
    met = torch.cat([y, predict(x.new_tensor([0.9]), *parameters)])
    weights = multipliers(parameters, more, met, DECAY)
    assert abs(weights[2]) < 1e-9 * abs(weights[:2]).min()  # its residual is a rounding, and another on each processor
    assert np.linalg.norm(stationarity_residual(parameters, more, weights * 3 / 2)) < 1e-6  # the mean is over three


# --- reconstruction on known solutions ---


@pytest.mark.parametrize(("samples", "neurons", "seed"), KNOWN)
def test_reconstruction_finds_the_samples_of_a_known_solution(samples, neurons, seed):
    x, y, parameters = task(samples, neurons, seed)
    right = multipliers(parameters, x, y, DECAY)
    assert condition_rank(parameters, x, right) == 2 * samples
    found = reconstruct(parameters, samples, Search(10))
    order, place = np.argsort(found.x), np.argsort(x.numpy())
    np.testing.assert_allclose(found.x[order], x.numpy()[place], atol=CLOSE)
    np.testing.assert_allclose(found.multipliers[order], right[place], rtol=1e-4)


def test_reconstruction_by_gradients_finds_them_too():
    x, _, parameters = task(2, 4, 3)
    found = reconstruct(parameters, 2, Search(10, method="gradient"))
    np.testing.assert_allclose(np.sort(found.x), np.sort(x), atol=CLOSE)


def test_a_network_beside_the_stationary_point_gives_other_samples():
    x, _, parameters = task(2, 2, 3)
    moved = parameters._replace(a=parameters.a * 1.01)
    assert np.abs(np.sort(reconstruct(moved, 2, Search(10)).x) - np.sort(x)).max() > 1e-4


def test_knowing_the_target_and_the_decay_determines_more():
    x, y = sample_task(3, 0)
    found = train_to_stationarity(x, y, initial_parameters(3, 0), DECAY).parameters
    assert condition_rank(found, x, multipliers(found, x, y, DECAY)) < 6
    target = lambda at: TARGETS["sine"](torch.tensor(at)).numpy()  # noqa: E731
    errors = [
        np.abs(np.sort(reconstruct(found, 3, Search(10, **known)).x) - np.sort(x)).max()
        for known in ({}, {"decay": DECAY, "target": target}, {"decay": 2 * DECAY, "target": target})
    ]
    assert errors[1] < 1e-8 < 1e-3 < min(errors[0], errors[2])


def test_the_random_starts_are_not_the_training_data():
    """NumPy pads a seed with zeros: a stream of [N, seed] would be the data's [N, seed, 0]."""
    dead = Parameters(*(torch.zeros(4, dtype=torch.float64) for _ in range(3)), torch.tensor(0.0, dtype=torch.float64))
    for size, seed in ((4, 0), (4, 7)):
        x, _ = sample_task(size, seed)
        assert np.abs(np.sort(reconstruct(dead, size, Search(1, seed)).x) - np.sort(x)).max() > 0.01


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: reconstruct(p, 2, Search(method="guess")), "method: 'guess' was given"),
        (lambda p: reconstruct(p, 1), "size: 1 was given"),
        (lambda p: reconstruct(p, 2, Search(starts=0)), "starts: 0 was given"),
        (lambda p: reconstruct(p, 2, Search(decay=1.0)), "target: one without decay"),
        (lambda p: reconstruct(p, 2, Search(target=np.sin)), "target: one without decay was given"),
        (
            lambda p: reconstruct(p, 2, Search(method="gradient", decay=1.0, target=np.sin)),
            "target: .* or with 'gradient'",
        ),
        (lambda p: reconstruct(p, 2, Search(seed=-1)), "seed: -1 was given"),
        (lambda p: train_to_stationarity([0.1], [0.2], p, 0.0), "decay: 0.0 was given"),
        (lambda p: train_to_stationarity([0.1], [0.2, 0.3], p, 1.0), r"x \(1,\), y \(2,\)"),
        (lambda p: train_to_stationarity([0.1], [0.2], p, 1.0, strength=1.0), "1 samples, 2 neurons"),
        (lambda p: train_to_stationarity([0.1], [np.nan], p, 1.0), "y: 1 of 1 values"),
        (lambda p: gradients(Parameters(*(value[None] for value in p)), [0.1]), "one run"),
        (lambda p: recovered([0.1], [0.1], 0.0), "tolerance: 0.0 was given"),
    ],
)
def test_bad_input_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call(initial_parameters(2, 0))


# --- proposition: the count ---


def crowd(live: int, copies: int, dead: int, seed: int) -> Parameters:
    """Neurons of which `copies` repeat others, every second with the sign turned, and `dead` have w = b = 0."""
    draw = np.random.default_rng(seed)
    w, b, a = draw.uniform(1, 4, live), draw.uniform(-2, 2, live), draw.uniform(-1, 1, live + copies + dead)
    again = np.arange(copies) % live
    sign = np.where(np.arange(copies) % 2 == 0, -1.0, 1.0)
    w, b = (np.concatenate([part, sign * part[again], np.zeros(dead)]) for part in (w, b))
    return Parameters(*(torch.tensor(part) for part in (w, b, a)), torch.tensor(0.3, dtype=torch.float64))


def check_count(bound=lambda live, copies, dead: 3 * live + 1) -> None:
    """The rank never exceeds the bound, and reaches it where there are samples enough."""
    for seed, (live, copies, dead) in enumerate([(1, 0, 0), (1, 1, 0), (1, 2, 2), (2, 1, 0), (2, 3, 1), (3, 0, 2)]):
        parameters = crowd(live, copies, dead, seed)
        draw = np.random.default_rng(seed + 50)
        for samples in (2, 12):
            x, weights = draw.uniform(0, 1, samples), draw.normal(size=samples)
            rank = condition_rank(parameters, x, weights)
            assert rank <= min(2 * samples, bound(live, copies, dead))
        assert rank == bound(live, copies, dead)
        assert distinct_neurons(parameters) == live


def test_proposition_count():
    check_count()
    # With as many inputs as conditions, all inputs will do.
    parameters = crowd(2, 3, 1, 4)
    draw = np.random.default_rng(9)
    made = gradients(parameters, draw.uniform(0, 1, 12)) @ draw.normal(size=12)
    for _ in range(5):
        others = gradients(parameters, draw.uniform(0, 1, 12))
        weights = np.linalg.lstsq(others, made, rcond=1e-13)[0]
        assert np.linalg.norm(others @ weights - made) < 1e-6 * np.linalg.norm(made)


FALSE_COUNTS = {
    "without the bias": lambda live, copies, dead: 3 * live,
    "two a neuron": lambda live, copies, dead: 2 * live + 1,
    "copies count": lambda live, copies, dead: 3 * (live + copies) + 1,
    "the dead count": lambda live, copies, dead: 3 * live + 1 + dead,
    "half": lambda live, copies, dead: (3 * live + 1) / 2,
    "twice": lambda live, copies, dead: 2 * (3 * live + 1),
    "four a neuron": lambda live, copies, dead: 4 * live + 1,
    "all neurons": lambda live, copies, dead: 3 * (live + copies + dead) + 1,
}


@pytest.mark.parametrize("bound", FALSE_COUNTS.values(), ids=FALSE_COUNTS)
def test_proposition_count_fails_for_a_false_variant(bound):
    with pytest.raises(AssertionError):
        check_count(bound)


def test_where_the_count_falls_short_other_samples_have_made_the_same_weights():
    x, y = sample_task(5, 3)
    parameters = train_to_stationarity(x, y, initial_parameters(5, 3), DECAY).parameters
    weights = multipliers(parameters, x, y, DECAY)
    rank, live = condition_rank(parameters, x, weights), distinct_neurons(parameters)
    assert rank <= 3 * live + 1 < 10
    before = np.linalg.norm(stationarity_residual(parameters, x, weights))
    others = other_samples(parameters, x, weights, 0.05)
    after = np.linalg.norm(stationarity_residual(parameters, others.x, others.multipliers))
    assert after == pytest.approx(others.residual) and after < max(10 * before, 1e-7)
    assert np.abs(others.x - x.numpy()).max() > 0.01


# --- proposition: what a loss of the prototypes leaves ---


def along_the_scale(w, b, slope_w, slope_b):
    """What a gradient has along (w_j, b_j) -> s (w_j, b_j)."""
    return w * slope_w + b * slope_b


def scale_equation(w, b, a, z, h, weights):
    """Both sides' difference in the equation of the scale; z and h of shape (neurons, samples)."""
    return w**2 + b**2 + 2 * a * (weights * z**2 * h).sum(1)


def check_scale(loss, along=along_the_scale, equation=scale_equation) -> None:
    """The gradient of a loss has no part along a neuron's scale, and the equation says what then stays of the rest."""
    x, _ = sample_task(6, 3)
    w, b, a, c = (value.clone().requires_grad_() for value in initial_parameters(6, 3))
    slope_w, slope_b = torch.autograd.grad(loss(x, w, b), (w, b))
    found = along(w, b, slope_w, slope_b)
    assert float(found.detach().abs().max()) < 1e-10 * float((w * slope_w).detach().abs().max())
    # At any θ and multipliers, the conditions of w_j and b_j along the scale are the equation's difference.
    parameters = initial_parameters(6, 3)
    weights = np.random.default_rng(2).normal(size=6)
    kept = scale_conditions(parameters, stationarity_residual(parameters, x, weights))[:6]
    w, b, a = (value.numpy() for value in parameters[:3])
    z = w[:, None] * x.numpy() + b[:, None]
    np.testing.assert_allclose(equation(w, b, a, z, np.exp(-(z**2)), weights), kept, rtol=1e-9, atol=1e-12)


OF_PROTOTYPES = {
    "coverage": lambda x, w, b: coverage_loss(x, prototypes(w, b), 1e-2),
    "chamfer": lambda x, w, b: chamfer_loss(x, prototypes(w, b), 1e-2),
    "transport": lambda x, w, b: transport_loss(x, prototypes(w, b)),
    "separation": lambda x, w, b: separation_loss(prototypes(w, b), 1e-2),
}


def test_proposition_scale():
    for loss in OF_PROTOTYPES.values():
        check_scale(loss)
    # So these conditions hold at a stationary point with transport, and the others do not.
    x, y = sample_task(3, 5)
    found = train_to_stationarity(x, y, initial_parameters(3, 5), 1e-3, 1.0)
    residual = stationarity_residual(found.parameters, x, multipliers(found.parameters, x, y, 1e-3))
    kept = np.abs(scale_conditions(found.parameters, residual)).max()
    assert kept < 1e-3 * np.abs(residual).max()


OVERLAP = {"loss": lambda x, w, b: overlap_loss(activations(x, w, b))}
TRANSPORT = {"loss": OF_PROTOTYPES["transport"]}
FALSE_SCALES = {
    "overlap": OVERLAP,
    "another prototype": {"loss": lambda x, w, b: transport_loss(x, (1 - b) / w)},
    "the sign of b": TRANSPORT | {"along": lambda w, b, slope_w, slope_b: w * slope_w - b * slope_b},
    "w alone": TRANSPORT | {"along": lambda w, b, slope_w, slope_b: w * slope_w},
    "w²": TRANSPORT | {"along": lambda w, b, slope_w, slope_b: w**2 * slope_w + b * slope_b},
    "half the constant": TRANSPORT
    | {"equation": lambda w, b, a, z, h, weights: w**2 + b**2 + a * (weights * z**2 * h).sum(1)},
    "twice the constant": TRANSPORT
    | {"equation": lambda w, b, a, z, h, weights: w**2 + b**2 + 4 * a * (weights * z**2 * h).sum(1)},
    "z for z²": TRANSPORT | {"equation": lambda w, b, a, z, h, weights: w**2 + b**2 + 2 * a * (weights * z * h).sum(1)},
    "the sign of the sum": TRANSPORT
    | {"equation": lambda w, b, a, z, h, weights: w**2 + b**2 - 2 * a * (weights * z**2 * h).sum(1)},
}


@pytest.mark.parametrize("variant", FALSE_SCALES.values(), ids=FALSE_SCALES)
def test_proposition_scale_fails_for_a_false_variant(variant):
    with pytest.raises(AssertionError):
        check_scale(**variant)


def test_the_book_prints_how_many_false_variants_are_rejected():
    assert {"count": len(FALSE_COUNTS), "scale": len(FALSE_SCALES)} == readers.VARIANTS
    assert min(readers.VARIANTS.values()) >= 6


# --- the checks added after the results ---


def test_fewer_starts_are_the_first_of_more():
    _, _, parameters = task(2, 4, 3)
    few, more = (list(attempts(parameters, 2, Search(starts, 3))) for starts in (2, 4))
    for one, other in zip(few, more, strict=False):
        np.testing.assert_array_equal(one.x, other.x)
    found = reconstruct(parameters, 2, Search(4, 3))
    assert found.residual == min(one.residual for one in more)


def test_an_rbf_network_keeps_its_centres_at_the_data_and_learns():
    x, y, initial = starting_batch(5, [8000, 8001])
    network = readers.centred(x, y, initial, Settings("000", steps=300))
    torch.testing.assert_close(prototypes(network.w, network.b), x)
    assert not torch.equal(network.w, initial.w)
    before, after = (((predict(x, *one) - y) ** 2).mean(-1) for one in (initial._replace(b=-initial.w * x), network))
    assert (after < before / 10).all()


def test_membership_by_loss_is_the_rank_of_the_numbers():
    assert smaller([0.1, 0.3], [0.2, 0.6]) == 0.75
    assert smaller([1.0, 1.0], [1.0]) == 0.5 and smaller([0.0], [1.0]) == 1


def test_chance_of_many_draws_begins_with_the_comparison_s_draw_and_is_the_mean():
    x, _ = sample_task(5, 4000)
    first = memory.candidates_of("chance", memory.Case(5, 4000, None, DECAY)).x
    one = float(chance_level(5, [4000], 1, metric="position_error").mean())
    assert one == pytest.approx(position_error(x, first))
    assert chance_level(5, [4000], 200, metric="position_error").mean() == pytest.approx(
        np.mean([position_error(x, drawn) for drawn in random_stream(5, 4000, purpose=2).uniform(0, 1, (200, 5))])
    )


# --- measures ---


def test_recovered_counts_one_to_one():
    assert recovered([0.1, 0.2, 0.9], [0.105, 0.5, 0.21], 0.02) == pytest.approx(2 / 3)
    assert recovered([0.1, 0.11], [0.105, 5.0], 0.02) == 0.5  # one candidate serves one sample
    assert recovered([0.1, 0.2], [0.2, 0.1], 1e-9) == 1


def test_membership_is_the_rank_of_the_nearest_distances():
    draw = np.random.default_rng(0)
    x, fresh = draw.uniform(0, 1, 20), draw.uniform(0, 1, 500)
    assert membership(x, fresh, x) == 1
    assert membership(x, x, draw.uniform(0, 1, 20)) == 0.5
    assert membership([0.1, 0.3], [0.2, 0.6], [0.1]) == 0.75
    assert (
        abs(np.mean([membership(draw.uniform(0, 1, 20), fresh, draw.uniform(0, 1, 20)) for _ in range(50)]) - 0.5)
        < 0.05
    )


# --- the stored comparison ---


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/memory.parquet")


@pytest.fixture(scope="module")
def main(stored) -> pd.DataFrame:
    return stored[stored["decay"] == DECAY]


def test_the_stored_comparison_is_complete(stored, main):
    given = yaml.safe_load((ROOT / "data/memory.yaml").read_text(encoding="utf-8"))
    seeds = range(given["first_seed"], given["first_seed"] + given["seeds"])
    keys = set(main[["size", "seed", "network", "reader"]].itertuples(index=False, name=None))
    assert keys == {(size, seed, *task) for size in given["sizes"] for seed in seeds for task in memory.TASKS}
    assert len(main) == len(keys) and given["decay"] == DECAY and set(stored["starts"]) == {given["starts"]}
    further = stored[stored["decay"] != DECAY]
    assert len(further) == len(given["others"]) * len(given["sizes"]) * len(seeds)
    assert {"companion", "python", "torch", "numpy", "scipy"} <= set(stored.attrs["versions"])
    assert (ROOT / "data/memory.parquet").stat().st_size < 5e6


def test_the_dictionary_names_every_column_of_the_comparison(stored):
    text = (ROOT / "data/README.md").read_text(encoding="utf-8").split("`memory.parquet` holds")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", text)) >= set(stored.columns)


def test_measures_recomputed_from_the_stored_candidates_agree(stored):
    for row in stored.iloc[::7].itertuples():
        again = memory.nearness(memory.Case(row.size, row.seed, None, row.decay), row.candidates)
        for name in ("position_error", "recovered", "recovered_exactly", "membership"):
            assert again[name] == pytest.approx(getattr(row, name), abs=1e-12)
        if row.network == "none":
            assert again["reconstruction_error"] == pytest.approx(row.reconstruction_error, abs=1e-12)


def test_readers_search_as_their_names_say(monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "reconstruct", lambda parameters, samples, search: asked.append((samples, search)))
    case = memory.Case(3, 4000, initial_parameters(3, 4000), 1e-3)
    for reader in memory.READERS:
        memory.candidates_of(reader, case, starts=7)
        assert asked[-1][1]._replace(target=None) == memory.search_of(reader, case, 7)._replace(target=None)
    assert {samples for samples, _ in asked} == {3}
    plain, by_gradient, with_target, by_scale = (search for _, search in asked)
    assert plain == Search(7, 4000) and by_gradient == Search(7, 4000, METHODS[1])
    assert by_scale == Search(7, 4000, scale=True)
    assert with_target._replace(target=None) == Search(7, 4000, decay=1e-3)
    np.testing.assert_allclose(with_target.target(np.array([0.25, 0.75])), [1, 0], atol=1e-15)


def test_readers_of_no_network_need_none_and_the_others_are_refused_without_one():
    case = memory.Case(4, 7, None, DECAY)
    np.testing.assert_allclose(memory.candidates_of("evenly spread", case).x, [0.125, 0.375, 0.625, 0.875])
    drawn = memory.candidates_of("chance", case)
    assert drawn.x.shape == (4,) and drawn.multipliers.size == 0 and np.isnan(drawn.residual)
    for reader in ("prototypes", *memory.READERS):
        with pytest.raises(ValueError, match=f"none of a network was given to '{reader}'"):
            memory.candidates_of(reader, case)


def test_a_neuron_that_died_is_read_as_the_middle():
    w, b, a, c = initial_parameters(3, 1)
    w[1] = b[1] = 0.0
    found = memory.candidates_of("prototypes", memory.Case(3, 1, Parameters(w, b, a, c), DECAY)).x
    np.testing.assert_array_equal(found, [float(-b[0] / w[0]), 0.5, float(-b[2] / w[2])])


def test_every_task_names_a_network_and_a_reader():
    for network, reader in memory.TASKS:
        assert network in memory.NETWORKS or network == "none"
        assert (reader in ("chance", "evenly spread")) == (network == "none")
        assert reader in ("prototypes", "chance", "evenly spread", *memory.READERS)
    assert {task for pair in memory.PAIRS for task in pair} <= set(memory.TASKS)


@pytest.mark.slow
def test_a_run_again_gives_the_stored_row(main):
    again = memory.sweep(3, [4000])
    keys = ["network", "reader"]
    kept = main[(main["size"] == 3) & (main["seed"] == 4000)].set_index(keys)
    again = again.set_index(keys).loc[kept.index]
    # What a reader of an indeterminate reconstruction finds turns on the last bit; prototypes of live networks do not.
    for rows in ("Std", "coverage", "transport", "none"):
        np.testing.assert_allclose(
            again.loc[rows, "reconstruction_error"], kept.loc[rows, "reconstruction_error"], rtol=1e-6
        )
    assert (again.loc["Std, decayed", "distinct"] == kept.loc["Std, decayed", "distinct"]).all()


def test_stored_ranks_stay_within_the_count(stored):
    """But where two neurons differ by less than counts as apart, and by more than the rank's tolerance."""
    std = stored[(stored["network"] == "Std, decayed") & (stored["gradient_norm"] < 1e-8)]
    assert len(std) > 100 and (std["rank"] <= 2 * std["size"]).all()
    assert (std["rank"] <= 3 * std["distinct"] + 1).mean() > 0.95


def test_the_rule_says_which_is_nearer():
    rows = []
    for task_, size, level in [(task, 3, 0.5) for task in memory.TASKS]:
        level = {"transport": 0.1, "none": 0.5}.get(task_[0], level)
        rows += [
            {"network": task_[0], "reader": task_[1], "size": size, "seed": seed, "position_error": level + 1e-4 * seed}
            for seed in range(30)
        ]
    found = memory.compared(pd.DataFrame(rows)).set_index(["first", "second"])["nearer"]
    assert found[("transport", "prototypes"), ("Std, decayed", "KKT")] == "first"
    assert found[("Std, decayed", "KKT"), ("none", "chance")] == "neither"
    turned = pd.DataFrame(rows)
    turned["position_error"] = 1 - turned["position_error"]
    turned = memory.compared(turned).set_index(["first", "second"])["nearer"]
    assert turned[("transport", "prototypes"), ("Std, decayed", "KKT")] == "second"
