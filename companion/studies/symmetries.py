"""Symmetries: transformations of data and network together, what each of them keeps, and whether training does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from companion.core.data import sample_task
from companion.core.losses import coverage_loss, fit_loss, overlap_loss, separation_loss, total_loss
from companion.core.metrics import expelled_fraction, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes, starting_batch
from companion.core.settings import Settings
from companion.core.train import LEARNING_RATE, Trained, train
from companion.studies.carriers import distance_outside
from companion.sweeps.runs import groups_of

SHIFT, FACTOR = 0.25, 0.6
"""s and α of the transformations that are checked and drawn."""
TOLERANCE = 1e-9
"""A quantity is kept, or scaled, if in no instance it is off by more than this, relative to its size."""


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


def centred_start(size: int, seed: int, settings: Settings = Settings()) -> State:
    """Return a run's start on data moved to the middle of the start's law: x - ½ and y - ½, weights as drawn.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        size, seed: of the run; N at least 2, seed at least 0.
        settings: of its training.
    """
    x, y = sample_task(size, seed)
    return State(x - 0.5, y - 0.5, initial_parameters(size, seed), settings)


def centred_run(
    settings: Settings, size: int, seed: int, engine: Callable[..., Trained] = train
) -> dict[str, float | str]:
    """Return what one run on centred data ends with: metrics, and shares of prototypes left and right of the data.

    Book: chapter "Symmetries", section "Data in the middle".

    Args:
        settings, size, seed: of the run.
        engine: `companion.core.train.train`, or `companion.engine.driver.train`.
    """
    start = centred_start(size, seed, settings)
    trained = engine(*start).parameters
    end = start._replace(parameters=trained)
    shares = {**_shares(start.x, _prototypes(start), "_start"), **_shares(start.x, _prototypes(end))}
    return {
        "mask": settings.mask,
        "size": size,
        "seed": seed,
        **{name: float(share) for name, share in shares.items()},
        "away": float(_away(start.x, _prototypes(end))),
        "reconstruction_error": float(QUANTITIES["E"](end)),
        "specialization_ratio": float(QUANTITIES["specialization"](end)),
    }


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
