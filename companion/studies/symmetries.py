"""Symmetries: transformations of data and network together, what each of them keeps, and whether training does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from companion.core.data import sample_task
from companion.core.losses import coverage_loss, fit_loss, overlap_loss, separation_loss, total_loss
from companion.core.metrics import expelled_fraction, match, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes, starting_batch
from companion.core.settings import MASK_LABELS, Settings
from companion.core.train import LEARNING_RATE, Trained, train
from companion.engine import driver
from companion.judging.claims import ACTIVE
from companion.show import words
from companion.studies.carriers import distance_outside
from companion.sweeps.runs import groups_of, summary

SHIFT, FACTOR = 0.25, 0.6
"""s and α of the transformations that are checked and drawn."""
TOLERANCE = 1e-9
"""A quantity is kept, or scaled, if in no instance it is off by more than this, relative to its size."""
GAP_MASKS, GAP_SIZE, GAP_SEEDS, GAP_STEPS = ("000", "101"), 5, range(1000, 1010), (1, 10, 100, 2000)
"""The trainings whose gap is measured."""
MIDDLE_MASKS, MIDDLE_SIZE, MIDDLE_SEEDS = ("000", "010", "100", "111"), 20, range(1000, 1050)
"""The runs that are trained once more on data in the middle."""
MOVES = {"x and y": (0.5, 0.5), "x alone": (0.5, 0.0), "y alone": (0.0, 0.5)}
"""What is taken from x and y of these runs' data: both are moved to the middle, and each alone."""
AS_STORED = "neither"
"""The name of the runs on the data as they are."""
VARIANTS = {"kept": 13, "turn": 9, "adam": 8, "shears": 8, "startlaw": 8, "middle": 8}
"""How many false variants of each proposition its test rejects; `tests/test_symmetries.py` holds them to be as many."""


class State(NamedTuple):
    """Data, network and settings: x, y of shape (..., samples), parameters, and what a training of them would be."""

    x: torch.Tensor
    y: torch.Tensor
    parameters: Parameters
    settings: Settings


# --- the transformations ---


def permute_neurons(state: State) -> State:
    """Return the state with its neurons in another order: a random one, of seed 0."""
    w, b, a, c = state.parameters
    order = torch.randperm(w.shape[-1], generator=torch.Generator().manual_seed(0))
    return state._replace(parameters=Parameters(w[..., order], b[..., order], a[..., order], c))


def permute_samples(state: State) -> State:
    """Return the state with its samples in another order: a random one, of seed 0."""
    order = torch.randperm(state.x.shape[-1], generator=torch.Generator().manual_seed(0))
    return state._replace(x=state.x[..., order], y=state.y[..., order])


def flip_signs(state: State) -> State:
    """Return the state with (w_j, b_j) -> (-w_j, -b_j) for every other neuron."""
    w, b, a, c = state.parameters
    sign = torch.where(torch.arange(w.shape[-1]) % 2 == 0, -1.0, 1.0).to(w)
    return state._replace(parameters=Parameters(sign * w, sign * b, a, c))


def flip_values(state: State) -> State:
    """Return the state with y -> 1 - y: a -> -a, c -> 1 - c."""
    w, b, a, c = state.parameters
    return state._replace(y=1 - state.y, parameters=Parameters(w, b, -a, 1 - c))


def negate_inputs(state: State) -> State:
    """Return the state with x -> -x, the reflection about 0: w -> -w."""
    return state._replace(x=-state.x, parameters=state.parameters._replace(w=-state.parameters.w))


def negate_both(state: State) -> State:
    """Return the state with x -> -x and y -> -y, the half turn about 0: w -> -w, a -> -a, c -> -c."""
    w, b, a, c = state.parameters
    return state._replace(x=-state.x, y=-state.y, parameters=Parameters(-w, b, -a, -c))


def reflect(state: State) -> State:
    """Return the state with x -> 1 - x, the reflection about ½: (w, b) -> (-w, b + w)."""
    w, b, a, c = state.parameters
    return state._replace(x=1 - state.x, parameters=Parameters(-w, b + w, a, c))


def half_turn(state: State) -> State:
    """Return the state with x -> 1 - x and y -> 1 - y together, which maps the sine target into itself."""
    return reflect(flip_values(state))


def shift(state: State, by: float = SHIFT) -> State:
    """Return the state with x -> x + s: b -> b - w s."""
    w, b, a, c = state.parameters
    return state._replace(x=state.x + by, parameters=Parameters(w, b - w * by, a, c))


def scale_inputs(state: State, factor: float = FACTOR) -> State:
    """Return the state with x -> αx: w -> w/α; the temperature stays."""
    w, b, a, c = state.parameters
    return state._replace(x=factor * state.x, parameters=Parameters(w / factor, b, a, c))


def scale_inputs_and_temperature(state: State, factor: float = FACTOR) -> State:
    """Return the state with x -> αx and τ -> α²τ: w -> w/α."""
    scaled = state.settings.but(temperature=factor**2 * state.settings.temperature)
    return scale_inputs(state, factor)._replace(settings=scaled)


def scale_both(state: State, factor: float = FACTOR) -> State:
    """Return the state with x -> αx, y -> αy and τ -> α²τ: w -> w/α, a -> αa, c -> αc."""
    state = scale_inputs_and_temperature(state, factor)
    w, b, a, c = state.parameters
    return state._replace(y=factor * state.y, parameters=Parameters(w, b, factor * a, factor * c))


TRANSFORMATIONS: dict[str, Callable[[State], State]] = {
    "neurons in another order": permute_neurons,
    "samples in another order": permute_samples,
    "signs (w, b) → (-w, -b)": flip_signs,
    "y → 1 - y": flip_values,
    "x → -x": negate_inputs,
    "x → -x, y → -y": negate_both,
    "x → 1 - x": reflect,
    "x → 1 - x, y → 1 - y": half_turn,
    "x → x + s": shift,
    "x → αx": scale_inputs,
    "x → αx, τ → α²τ": scale_inputs_and_temperature,
    "x → αx, y → αy, τ → α²τ": scale_both,
}
"""The transformations, by what they do to data; each changes the parameters so that the network follows."""
SIGNED = (
    "neurons in another order",
    "samples in another order",
    "signs (w, b) → (-w, -b)",
    "y → 1 - y",
    "x → -x",
    "x → -x, y → -y",
)
"""Those that are signed permutations of the parameters and shifts of them by constants."""
TRAINED = (*SIGNED, "x → 1 - x", "x → 1 - x, y → 1 - y", "x → x + s", "x → αx, τ → α²τ")
"""Those that keep the losses of `GAP_MASKS`."""


# --- what they keep ---


def _reconstruction_error(state: State) -> np.ndarray | float:
    positions = prototypes(state.parameters.w, state.parameters.b)
    return reconstruction_error(state.x, state.y, positions, predict(positions, *state.parameters))


def _activations(state: State) -> torch.Tensor:
    return activations(state.x, state.parameters.w, state.parameters.b)


def _prototypes(state: State) -> torch.Tensor:
    return prototypes(state.parameters.w, state.parameters.b)


QUANTITIES: dict[str, Callable[[State], torch.Tensor | np.ndarray | float]] = {
    "fit": lambda state: fit_loss(predict(state.x, *state.parameters), state.y),
    "overlap": lambda state: overlap_loss(_activations(state)),
    "coverage": lambda state: coverage_loss(state.x, _prototypes(state), state.settings.temperature),
    "separation": lambda state: separation_loss(_prototypes(state), state.settings.temperature),
    "total L": lambda state: total_loss(state.x, state.y, state.parameters, state.settings.but(mask="111")),
    "E": _reconstruction_error,
    "specialization": lambda state: specialization_ratio(_activations(state)),
    "expelled": lambda state: expelled_fraction(state.x, _prototypes(state)),
}
"""The losses (the total one of mask 111, λ = 1) and the metrics, each a number a run."""


def random_states(runs: int = 200, size: int = 6, seed: int = 0, temperature: float = 0.05) -> State:
    """Return random data and networks, x and y uniform in [0, 1]; every |w| is above ½, so that no prototype is huge.

    Book: chapter "Symmetries", section "What is kept".

    Args:
        runs, size: shapes are (runs, size).
        seed: of the draws.
        temperature: τ; wide enough that separation and coverage see more than the nearest.
    """
    rng = np.random.default_rng(seed)
    x, y, b, a = (rng.uniform(low, 1.0, (runs, size)) for low in (0.0, 0.0, -1.0, -1.0))
    w = rng.uniform(0.5, 8.0, (runs, size)) * rng.choice([-1.0, 1.0], (runs, size))
    c = rng.uniform(-1.0, 1.0, runs)
    x, y, w, b, a, c = (torch.from_numpy(values) for values in (x, y, w, b, a, c))
    return State(x, y, Parameters(w, b, a, c), Settings(temperature=temperature))


def what_is_kept(
    state: State, transformations: dict[str, Callable[[State], State]] = TRANSFORMATIONS, factor: float = FACTOR
) -> pd.DataFrame:
    """Return what each transformation does to each loss and metric, found by evaluating it on every instance.

    Book: chapter "Symmetries", section "What is kept".

    Args:
        state: instances, such as `random_states()`.
        transformations: by name.
        factor: the α of those that scale.

    Returns:
        A row a transformation and a column a quantity: "kept", "× α" or "× α²" where that holds in every instance up to
        `TOLERANCE`, relative to the quantity's size, and "not kept" where none of them does.
    """
    before = {name: np.asarray(quantity(state)) for name, quantity in QUANTITIES.items()}
    rows = {}
    for row, transformation in transformations.items():
        moved = transformation(state)
        rows[row] = {
            name: _verdict(before[name], np.asarray(quantity(moved)), factor) for name, quantity in QUANTITIES.items()
        }
    return pd.DataFrame(rows).T.rename_axis("transformation")


def _verdict(before: np.ndarray, after: np.ndarray, factor: float) -> str:
    """Whether the second are the first, times a power of `factor`."""
    for power, word in ((0, "kept"), (1, "× α"), (2, "× α²")):
        expected = factor**power * before
        if (np.abs(after - expected) <= TOLERANCE * np.abs(before).max()).all():
            return word
    return "not kept"


def rematched(state: State, transformation: Callable[[State], State]) -> float:
    """Return the share of instances whose best matching is another one after a transformation.

    Book: chapter "Symmetries", section "What is kept".

    Args:
        state: instances, such as `random_states()`.
        transformation: one that keeps the order of neurons and samples.
    """
    pairs = zip(_matchings(state), _matchings(transformation(state)), strict=True)
    return float(np.mean([(before != after).any() for before, after in pairs]))


def _matchings(state: State) -> list[np.ndarray]:
    """The matched neurons of each instance."""
    positions = _prototypes(state)
    values = predict(positions, *state.parameters)
    return [match(*run).neuron for run in zip(state.x, state.y, positions, values, strict=True)]


def small_network() -> State:
    """Return a network of three neurons with five samples of its own curve, small enough to be drawn.

    Book: chapter "Symmetries", section "What is kept".
    """
    x = torch.tensor([0.05, 0.25, 0.5, 0.7, 0.95], dtype=torch.float64)
    drawn = [4.0, -5.0, 3.0], [-0.8, 3.5, -3.6], [0.9, -0.5, 0.4], 0.3
    parameters = Parameters(*(torch.tensor(values, dtype=torch.float64) for values in drawn))
    return State(x, predict(x, *parameters), parameters, Settings())


# --- whether training does ---


def training_gap(
    state: State, transformation: Callable[[State], State], engine: Callable[..., Trained] = train
) -> Parameters:
    """Return how far training and a transformation are from commuting: T(trained) minus trained(T).

    Book: chapter "Symmetries", equation (gap).

    Args:
        state: where training starts.
        transformation: T.
        engine: `companion.core.train.train`, or `companion.engine.driver.train`.

    Returns:
        Differences of w, b, a, shape (..., neurons), and of c, shape (...).
    """

    def trained(start: State) -> State:
        return start._replace(parameters=engine(*start).parameters)

    image, other = transformation(trained(state)).parameters, trained(transformation(state)).parameters
    return Parameters(*(first - second for first, second in zip(image, other, strict=True)))


def first_step_gaps(by: float = SHIFT, factor: float = FACTOR) -> dict[str, tuple[str, float]]:
    """Return by how much a first Adam step fails to commute with each transformation that mixes or scales coordinates.

    Exact where ε = 0 and no gradient is 0; with Adam's ε it is off by a share of the order of ε over the gradient.
    Book: chapter "Symmetries", equation (firststep).

    Args:
        by: s of the shift.
        factor: α > 0 of the scale.

    Returns:
        By transformation the parameter, and the size of its gap in every neuron: |s| η, η, and η |1 - 1/α|.
    """
    return {
        "x → x + s": ("b", abs(by) * LEARNING_RATE),
        "x → 1 - x": ("b", LEARNING_RATE),
        "x → αx": ("w", LEARNING_RATE * abs(1 - 1 / factor)),
    }


@cache
def gaps() -> pd.DataFrame:
    """Return the largest gap of any parameter after some steps of training, of small networks from the book's starts.

    Book: chapter "Symmetries", section "Adam commutes with signs and orders".

    Returns:
        One row a transformation of `TRAINED`, mask, steps and seed, with their gap.
    """
    rows = [
        (name, mask, steps, seed, _largest_gap(name, Settings(mask, steps=steps), seed))
        for name in TRAINED
        for mask in GAP_MASKS
        for steps in GAP_STEPS
        for seed in GAP_SEEDS
    ]
    return pd.DataFrame(rows, columns=["transformation", "mask", "steps", "seed", "gap"])


def _largest_gap(name: str, settings: Settings, seed: int) -> float:
    """The largest gap of any parameter of one training."""
    start = State(*sample_task(GAP_SIZE, seed), initial_parameters(GAP_SIZE, seed), settings)
    gap = training_gap(start, TRANSFORMATIONS[name], driver.train)
    return max(float(part.abs().max()) for part in gap)


def parameter_sizes() -> dict[str, float]:
    """Return the median size of a parameter after the trainings whose gap is measured, by mask.

    Book: chapter "Symmetries", section "Adam commutes with signs and orders".
    """
    start = starting_batch(GAP_SIZE, GAP_SEEDS)
    trained = {mask: driver.train(*start, Settings(mask)).parameters for mask in GAP_MASKS}
    return {
        mask: float(torch.cat([part.flatten() for part in end]).abs().quantile(0.5)) for mask, end in trained.items()
    }


def gap_table(gaps: pd.DataFrame) -> pd.DataFrame:
    """Return "median (greatest)" of the gaps over seeds, a row a transformation and mask, a column a number of steps.

    Args:
        gaps: what `gaps` returned.
    """
    rows = {}
    for (name, mask), group in groups_of(gaps, "transformation", "mask"):
        rows[name, MASK_LABELS[mask]] = {
            f"{steps} step{'s' if steps > 1 else ''}": f"{part['gap'].median():.1g} ({part['gap'].max():.1g})"
            for (steps,), part in groups_of(group, "steps")
        }
    return pd.DataFrame(rows).T.rename_axis(["transformation", "mask"])


# --- left and right ---


def start_beyond(distance: float, w_bound: float = 10.0, b_bound: float = 1.0) -> float:
    """Return the probability that a prototype starts above t, and that it starts below -t: B / (4 W t).

    Book: chapter "Symmetries", equation (startlaw).

    Args:
        distance: t, at least B / W.
        w_bound, b_bound: W and B of w ~ U(-W, W) and b ~ U(-B, B), as
            `companion.core.network.initial_parameters` draws them.

    Returns:
        Probability in [0, 1/4].

    Raises:
        ValueError: if t is smaller than B / W.
    """
    if not distance * w_bound >= b_bound:
        raise ValueError(f"distance: {distance!r} was given; allowed are numbers of at least {b_bound / w_bound}")
    return b_bound / (4 * w_bound * distance)


def centred_start(size: int, seed: int, settings: Settings = Settings(), moved: str = "x and y") -> State:
    """Return a run's start on data moved to the middle of the start's law, x - ½, y - ½ or both, weights as drawn.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        size, seed: of the run; N at least 2, seed at least 0.
        settings: of its training.
        moved: one of `MOVES`.
    """
    (x, y), (by_x, by_y) = sample_task(size, seed), MOVES[moved]
    return State(x - by_x, y - by_y, initial_parameters(size, seed), settings)


def moved_run(start: State, engine: Callable[..., Trained] = train) -> dict[str, float]:
    """Return what one run ends with: metrics, and shares of prototypes left and right of the data.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        start: of one run, such as `centred_start` returns.
        engine: `companion.core.train.train`, or `companion.engine.driver.train`.
    """
    end = start._replace(parameters=engine(*start).parameters)
    shares = {**_shares(start.x, _prototypes(start), "_start"), **_shares(start.x, _prototypes(end))}
    return {
        **{name: float(share) for name, share in shares.items()},
        "away": float(_away(start.x, _prototypes(end))),
        "reconstruction_error": float(QUANTITIES["E"](end)),
        "specialization_ratio": float(QUANTITIES["specialization"](end)),
    }


def centred_run(
    settings: Settings, size: int, seed: int, engine: Callable[..., Trained] = train, moved: str = "x and y"
) -> dict[str, float | str]:
    """Return what one run on moved data ends with, under its settings.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        settings, size, seed: of the run.
        engine: as in `moved_run`.
        moved: one of `MOVES`.
    """
    found = moved_run(centred_start(size, seed, settings, moved), engine)
    return {"moved": moved, "mask": settings.mask, "size": size, "seed": seed, **found}


def sides(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many prototypes are left and right of the samples' range, before training and after.

    Book: chapter "Symmetries", section "Left and right in the stored runs".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run: mask, size, seed; left_start, right_start, left, right, each a share of the run's prototypes;
        away, the median distance of the expelled ones from the samples' range after training, NaN where none is.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, w, b = (torch.from_numpy(np.stack(group[name].to_numpy())) for name in ("x", "w", "b"))
        _, _, start = starting_batch(size, group["seed"].tolist())
        first, last = prototypes(start.w, start.b), prototypes(w, b)
        columns = {**_shares(x, first, "_start"), **_shares(x, last), "away": _away(x, last)}
        columns = {name: values.numpy() for name, values in columns.items()}
        parts.append(pd.DataFrame({"mask": mask, "size": size, "seed": group["seed"].to_numpy(), **columns}))
    return pd.concat(parts, ignore_index=True)


def _shares(x: torch.Tensor, positions: torch.Tensor, when: str = "") -> dict[str, torch.Tensor]:
    """Shares of prototypes left and right of the samples' range, shape (...), under names that end in `when`."""
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return {
        f"left{when}": (positions < low).double().mean(-1),
        f"right{when}": (positions > high).double().mean(-1),
    }


def _away(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Median distance of the expelled prototypes from the samples' range, shape (...); NaN where none is expelled."""
    outside = distance_outside(x, positions)
    return torch.where(outside > 0, outside, torch.nan).nanquantile(0.5, dim=-1)


def means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column's mean over seeds with a normal 95 % interval (1.96 standard errors), a row a mask and size.

    Args:
        frame: one row a run: mask, size and the column.

    Returns:
        mask, size, value, low and high, as `companion.show.charts.masks_by_size` draws them.
    """
    found = summary(frame, column)
    half = 1.96 * found["sem"]
    return found[["mask", "size"]].assign(value=found["mean"], low=found["mean"] - half, high=found["mean"] + half)


def share_table(sides: pd.DataFrame) -> pd.DataFrame:
    """Return mean shares of prototypes, a row a side and mask (or "before training"), a column a size.

    Book: chapter "Symmetries", section "Left and right in the stored runs".

    Args:
        sides: what `sides` returned.
    """
    rows = {}
    for side in ("left", "right"):
        rows[side, "before training"] = sides.groupby("size")[f"{side}_start"].mean()
        for (mask,), group in groups_of(sides, "mask"):
            rows[side, MASK_LABELS[mask]] = group.groupby("size")[side].mean()
    return pd.DataFrame(rows).T.rename(columns="N = {}".format).rename_axis(["side", "mask"])


def left_of_expelled(sides: pd.DataFrame) -> pd.Series:
    """Return the share of the expelled prototypes that are on the left, by mask and size: a ratio of means.

    Book: chapter "Symmetries", section "Left and right in the stored runs".

    Args:
        sides: what `sides` returned.
    """
    shares = sides.groupby(["mask", "size"])[["left", "right"]].mean()
    return shares["left"] / shares.sum(axis=1)


@cache
def moved_runs() -> pd.DataFrame:
    """Return what the runs of `MIDDLE_MASKS` end with on moved data.

    Book: chapter "Symmetries", section "Data in the middle".

    Returns:
        One row a run: what `centred_run` returns.
    """
    design = product(MOVES, MIDDLE_MASKS, MIDDLE_SEEDS)
    rows = [centred_run(Settings(mask), MIDDLE_SIZE, seed, driver.train, moved) for moved, mask, seed in design]
    return pd.DataFrame(rows)


def as_stored(runs: pd.DataFrame, sides: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that `moved_runs` repeats, as they are stored, with their sides.

    Args:
        runs: one row a run.
        sides: what `sides` returned for them.
    """
    chosen = runs["mask"].isin(MIDDLE_MASKS) & (runs["size"] == MIDDLE_SIZE) & runs["seed"].isin(MIDDLE_SEEDS)
    return runs[chosen].merge(sides, on=["mask", "size", "seed"])


def by_origin(stored: pd.DataFrame, moved: pd.DataFrame) -> pd.DataFrame:
    """Return what the same runs end with on data on [0, 1] and on data of which x, y or both are moved to the middle.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        stored: what `as_stored` returned.
        moved: what `moved_runs` returned.

    Returns:
        One row a mask (its bits) and what is moved (`AS_STORED`, or of `MOVES`): mean shares left and right, before and
        after training; their sum after it; medians of the expelled prototypes' distance and of E; the mean
        specialization ratio.
    """
    both = pd.concat([stored.assign(moved=AS_STORED), moved])
    groups = both.groupby(["mask", "moved"], sort=False)
    return pd.DataFrame(
        {
            "left, start": groups["left_start"].mean(),
            "right, start": groups["right_start"].mean(),
            "left, end": groups["left"].mean(),
            "right, end": groups["right"].mean(),
            "expelled, end": groups["left"].mean() + groups["right"].mean(),
            "distance": groups["away"].median(),
            "E, median": groups["reconstruction_error"].median(),
            "specialization, mean": groups["specialization_ratio"].mean(),
        }
    )


# --- the chapter's numbers ---


class Results(NamedTuple):
    """What `sides` and `by_origin` returned of the stored runs."""

    sides: pd.DataFrame
    by_origin: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter measures of the stored runs, and of those that are trained once more."""
    columns = ["mask", "size", "seed", "x", "w", "b", "reconstruction_error", "specialization_ratio"]
    runs = pd.read_parquet(data / "powered.parquet", columns=columns)
    runs = runs.sort_values(["mask", "size", "seed"], ignore_index=True)
    found = sides(runs)
    return Results(found, by_origin(as_stored(runs, found), moved_runs()))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Symmetries", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        **{f"variants-{name}": f"{count}" for name, count in VARIANTS.items()},
        "tolerance": f"{TOLERANCE:g}",
        "scaled-rematched": f"{rematched(random_states(), scale_inputs):.0%}",
        "starts-above-1": f"{start_beyond(1.0):g}",
        "starts-inside": f"{0.5 - start_beyond(1.0):g}",
        "starts-above-half": f"{start_beyond(0.5) - start_beyond(1.0):g}",
        **_gap_numbers(gaps()),
        **_side_numbers(found.sides),
        **_origin_numbers(found.by_origin),
    }


def _gap_numbers(gaps: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "Adam commutes with signs and orders"."""
    signed = gaps[gaps["transformation"].isin(SIGNED) & (gaps["steps"] == 100)]
    shifted = gaps[(gaps["transformation"] == "x → x + s") & (gaps["steps"] == 2000)]
    return {
        "signs-agree-to": f"{signed['gap'].max():.0e}",
        "shift": f"{SHIFT:g}",
        "shift-gap-first": f"{SHIFT * LEARNING_RATE:g}",
        "shift-parameters": words.listed(f"{size:.1f}" for size in parameter_sizes().values()),
        "shift-gap-last": words.listed(f"{gap:.1g}" for gap in shifted.groupby("mask")["gap"].median()),
    }


def _side_numbers(sides: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "Left and right in the stored runs", at the largest N but for the first."""
    at = sides[sides["size"] == sides["size"].max()].groupby("mask")[["left_start", "right_start", "left", "right"]]
    shares = at.mean()
    return {
        "expelled-left": words.span(left_of_expelled(sides), ".0%"),
        "starts-left": f"{shares.loc['000', 'left_start']:.2f}",
        "starts-right": f"{shares.loc['000', 'right_start']:.3f}",
        "overlap-left": words.span(shares.loc[list(ACTIVE), "left"], ".2f"),
        "overlap-right": words.span(shares.loc[list(ACTIVE), "right"], ".3f"),
        "std-left": f"{shares.loc['000', 'left']:.2f}",
        "std-right": f"{shares.loc['000', 'right']:.3f}",
        "ovl-left": f"{shares.loc['100', 'left']:.2f}",
        "ovl-right": f"{shares.loc['100', 'right']:.3f}",
    }


def _origin_numbers(by_origin: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "Data in the middle"."""
    table = {}
    for moved, word in {AS_STORED: "stored", "x and y": "centred", "x alone": "x-alone", "y alone": "y-alone"}.items():
        found = by_origin.xs(moved, level="moved")
        expelled, error = found["expelled, end"], found["E, median"]
        for name, mask in {"std": "000", "ovl": "100"}.items():
            table |= {f"{name}-expelled-{word}": f"{expelled[mask]:.2f}", f"{name}-error-{word}": f"{error[mask]:.2f}"}
        if moved in (AS_STORED, "x and y"):
            table[f"ovl-distance-{word}"] = f"{found.loc['100', 'distance']:.1f}"
    middle = by_origin.xs("x and y", level="moved")
    sides = {f"ovl-{side}-centred": f"{middle.loc['100', f'{side}, end']:.2f}" for side in ("left", "right")}
    return table | sides
