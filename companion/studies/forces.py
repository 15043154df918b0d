"""Forces on prototypes: where each loss drives a neuron, and how far one step of training carries it.

The force on prototype j is -∂L/∂x̂_j at fixed w_j: the neuron moves with its width as it is.
Book: chapter "Forces".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from companion.core.checks import require_number, require_same_shape, require_shapes
from companion.core.data import TARGETS
from companion.core.network import Parameters, activations, output, prototypes, starting_batch
from companion.core.settings import MASK_LABELS, Settings
from companion.core.train import BETAS, LEARNING_RATE
from companion.engine.driver import train
from companion.sweeps.runs import groups_of, stored_networks

FIFTH = 4
"""The neuron that the chapter's pictures move, counted from 0."""
POSITIONS = torch.linspace(-0.5, 1.5, 401, dtype=torch.float64)
"""Where they put its prototype."""
DISTANCES = torch.logspace(-2, 0.3, 139, dtype=torch.float64)
"""Where the picture of a shielded prototype puts it: how far outside the samples."""
FIELD_SETTINGS = {
    f"τ = {temperature:g}, λ = {strength:g}": Settings(strength=strength, temperature=temperature)
    for temperature, strength in ((1e-4, 1.0), (1e-2, 1.0), (1e-2, 10.0))
}
"""Of the picture of all forces, by the titles of its panels."""
PACE_STEPS = (0, 5, 20, 97, 192, 1000)
"""Steps of training after which the chapter says how long the next one is."""
VARIANTS = {
    "forces": 17,
    "steps": 14,
    "outward": 9,
    "two-ways": 9,
    "free-width": 8,
    "blind-spot": 10,
    "not-compatible": 21,
}
"""How many false variants of each proposition its test rejects; `tests/test_forces.py` holds them to be as many."""


def fit_force(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Return the force of the fit, -(4/N) w_j² a_j Σ_i (f(x_i) - y_i) h_ij (x_i - x̂_j).

    Book: chapter "Forces", equation (fit-force).

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or data are not finite.
    """
    require_same_shape(x=x, y=y)
    w, b, a, c = parameters
    responses = activations(x, w, b)
    residual = (output(responses, a, c) - y).unsqueeze(-1)
    return -4 * w**2 * a * (residual * responses * _towards(x, prototypes(w, b))).mean(-2)


def coverage_force(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of coverage, (2/N) Σ_i p_ij (x_i - x̂_j), with p_ij the softmax over j of -(x_i - x̂_j)²/τ.

    Book: chapter "Coverage", equation (coverage-force).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or temperature is not above 0.
    """
    require_shapes({"x": "*runs samples", "prototypes": "*runs neurons"}, x=x, prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    towards = _towards(x, prototypes)
    return 2 * (torch.softmax(-(towards**2) / temperature, -1) * towards).mean(-2)


def separation_force(prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of separation, 4/(N(N-1)τ) Σ_k (x̂_j - x̂_k) exp(-(x̂_j - x̂_k)²/τ).

    Book: chapter "Forces", equation (separation-forces).

    Args:
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Force, positive to the right, shape (..., neurons); 0 for a single neuron.

    Raises:
        ValueError: if temperature is not above 0 or there is no neuron.
    """
    require_same_shape(prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    neurons = prototypes.shape[-1]
    from_others = prototypes.unsqueeze(-1) - prototypes.unsqueeze(-2)
    pushes = from_others * torch.exp(-(from_others**2) / temperature)
    return 4 * pushes.sum(-1) / (max(neurons * (neurons - 1), 1) * temperature)


def overlap_force(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the force of overlap, κ_j (x̂_j - c_j), with κ_j = 4 w_j² S_j / (N · N(N-1)): away from what j shares.

    Book: chapter "Forces", equation (outward).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Force, positive to the right, shape (..., neurons); 0 for a single neuron.

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    shared, neurons = shared_responses(x, w, b), w.shape[-1]
    away = -_towards(x, prototypes(w, b))
    return 4 * w**2 * (shared * away).mean(-2) / max(neurons * (neurons - 1), 1)


def force_field(
    x: torch.Tensor,
    y: torch.Tensor,
    parameters: Parameters,
    moved: tuple[int, torch.Tensor],
    settings: Settings,
) -> dict[str, torch.Tensor]:
    """Return the forces on one neuron of a network as it is moved along the line, its width and all else as they are.

    Book: chapter "Forces", section "All four at once".

    Args:
        x, y: training data, shape (samples,).
        parameters: w, b, a of shape (neurons,), c of shape ().
        moved: which neuron, and where its prototype is put, shape (positions,).
        settings: whose λ and τ are taken; all three structural losses are on, whatever the mask.

    Returns:
        By name, each of shape (positions,): "fit"; "coverage", "separation" and "overlap", each times λ; and "sum".

    Raises:
        ValueError: if shapes do not fit.
    """
    (neuron, positions), strength, temperature = moved, settings.strength, settings.temperature
    x, y = (value.expand(len(positions), -1) for value in (x, y))
    networks = moved_along(parameters, neuron, positions)
    at = prototypes(networks.w, networks.b)
    found = {
        "fit": fit_force(x, y, networks),
        "coverage": strength * coverage_force(x, at, temperature),
        "separation": strength * separation_force(at, temperature),
        "overlap": strength * overlap_force(x, networks.w, networks.b),
    }
    found["sum"] = sum(found.values(), torch.zeros(()))
    return {name: field[:, neuron] for name, field in found.items()}


def moved_along(parameters: Parameters, neuron: int, positions: torch.Tensor) -> Parameters:
    """Return a network once for each place at which one neuron's prototype is put, its width and all else as they are.

    Args:
        parameters: w, b, a of shape (neurons,), c of shape ().
        neuron: which one, counted from 0.
        positions: where its prototype is put, shape (positions,).

    Returns:
        w, b, a of shape (positions, neurons), c of shape (positions,).
    """
    w, b, a = (value.expand(len(positions), -1) for value in parameters[:3])
    b = b.clone()
    b[:, neuron] = -w[:, neuron] * positions
    return Parameters(w, b, a, parameters.c.expand(len(positions)))


def shared_responses(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return q_ij = h_ij Σ_{k≠j} h_ik, by how much neuron j's response to sample i is shared with others.

    Book: chapter "Forces", equation (crowd).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Non-negative numbers, shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    responses = activations(x, w, b)
    # Not the sum over all less one's own: where only neuron j answers, that difference is rounding.
    others = 1 - torch.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    return responses * (responses @ others)


def crowd_centre(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return c_j = Σ_i q_ij x_i / Σ_i q_ij, the mean of the samples weighted by how much neuron j shares them.

    Book: chapter "Forces", equation (crowd).

    Args:
        x: training inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Positions between the lowest and the highest sample, shape (..., neurons); NaN where a neuron shares nothing in
        double precision.

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    shared = shared_responses(x, w, b)
    return (shared * x.unsqueeze(-1)).sum(-2) / shared.sum(-2)


def coverage_bound(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return (2/N) Σ_i d_ij exp(-(d_ij² - m_i²)/τ), which coverage's force on prototype j never exceeds.

    d_ij is its distance to sample i and m_i that of the prototype nearest to the sample.
    Book: chapter "Forces", equation (blind).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).
        temperature: τ > 0.

    Returns:
        Non-negative bound, shape (..., neurons).

    Raises:
        ValueError: if shapes do not fit or temperature is not above 0.
    """
    require_shapes({"x": "*runs samples", "prototypes": "*runs neurons"}, x=x, prototypes=prototypes)
    temperature = require_number("temperature", temperature, positive=True)
    distance = _towards(x, prototypes).abs()
    excess = distance**2 - (distance**2).amin(-1, keepdim=True)
    return 2 * (distance * torch.exp(-excess / temperature)).mean(-2)


def overlap_wins_from(neurons: int, weight: float, responses: float, shield: float, temperature: float) -> float:
    """Return the distance outside the samples from which overlap's push on a prototype exceeds coverage's pull.

    Book: chapter "Forces", equation (wins).

    Args:
        neurons: N, at least 2; as many samples.
        weight: w_j of the prototype's neuron, with 0 < |w_j| < 1/√τ.
        responses: s > 0, the sum of the other neurons' responses to the sample nearest to it.
        shield: r >= 0, within which every sample has some prototype.
        temperature: τ > 0.

    Returns:
        D in units of the input; the statement asks for D > r and D >= √(τ/2) besides.
    """
    count = neurons**2 * (neurons - 1)
    squared = shield**2 / temperature + math.log(count / (2 * weight**2 * responses))
    return math.sqrt(max(0.0, squared) / (1 / temperature - weight**2))


def displacement(w: torch.Tensor, b: torch.Tensor, dw: torch.Tensor, db: torch.Tensor) -> torch.Tensor:
    """Return how far a step (δw, δb) moves the prototypes: -(δb + x̂ δw) / (w + δw), exactly.

    Book: chapter "Forces", equation (step).

    Args:
        w, b: input weights and biases, shape (..., neurons).
        dw, db: the step, shape (..., neurons).

    Returns:
        Displacement, shape (..., neurons); infinite where the step ends at w = 0.

    Raises:
        ValueError: if shapes differ.
    """
    require_same_shape(w=w, b=b, dw=dw, db=db)
    return -(db + prototypes(w, b) * dw) / (w + dw)


def longest_adam_step() -> float:
    """Return K = (1 - β₁)/√((1 - β₂)(1 - β₁²/β₂)): no step of Adam moves a parameter by more than K learning rates.

    Book: chapter "Forces", equation (adam).
    """
    first, second = BETAS
    return (1 - first) / math.sqrt((1 - second) * (1 - first**2 / second))


def five_neurons() -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Return five samples, their targets, and five neurons of w = 5 that stand on them and fit them.

    Book: chapter "Forces", section "All four at once".
    """
    x = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    y, w, c = TARGETS["sine"](x), torch.full_like(x, 5.0), torch.tensor(0.5, dtype=torch.float64)
    b = -w * x
    return x, y, Parameters(w, b, torch.linalg.solve(activations(x, w, b), y - c), c)


def fields(positions: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
    """Return the forces on the fifth of `five_neurons` as it is moved, at each of `FIELD_SETTINGS`, by its title.

    Book: chapter "Forces", section "All four at once".

    Args:
        positions: where its prototype is put, shape (positions,).
    """
    x, y, network = five_neurons()
    return {name: force_field(x, y, network, (FIFTH, positions), of) for name, of in FIELD_SETTINGS.items()}


def field_table(places: Sequence[float]) -> pd.DataFrame:
    """Return what `fields` holds at a few places, as text: a row a setting and loss, a column a place.

    Args:
        places: positions of the fifth prototype.
    """
    rows = {
        (setting, loss): [f"{force:+.1e}" if force else "0" for force in found[loss].tolist()]
        for setting, found in fields(torch.tensor(places, dtype=torch.float64)).items()
        for loss in ("fit", "coverage", "separation", "overlap", "sum")
    }
    return pd.DataFrame(rows, index=[f"at {place:g}" for place in places]).T.rename_axis(["setting", "loss"])


def live_field() -> dict[str, Any]:
    """Return what the page's script computes the field from: `five_neurons`, which one is moved, and where."""
    x, y, network = five_neurons()
    values = {name: value.tolist() for name, value in {"x": x, "y": y, **network._asdict()}.items()}
    return values | {"neuron": FIFTH, "from": float(POSITIONS[0]), "to": float(POSITIONS[-1])}


def crowd_centres(positions: torch.Tensor) -> pd.DataFrame:
    """Return the centre of the samples that the fifth of `five_neurons` shares with others, beside where it stands.

    Book: chapter "Forces", section "Overlap pushes outward".

    Args:
        positions: where its prototype is put, shape (positions,).

    Returns:
        One row a position (the index): the shared samples' centre; the prototype, the position once more.
    """
    x, _, network = five_neurons()
    networks = moved_along(network, FIFTH, positions)
    centre = crowd_centre(x.expand(len(positions), -1), networks.w, networks.b)[:, FIFTH]
    columns = {"the shared samples' centre": centre.numpy(), "the prototype": positions.numpy()}
    return pd.DataFrame(columns, index=positions.numpy())


def balance(centres: pd.DataFrame) -> float:
    """Return the position at which the fifth prototype stands nearest to the centre of what it shares: overlap at rest.

    Args:
        centres: what `crowd_centres` returned.
    """
    distance = (centres["the prototype"] - centres["the shared samples' centre"]).abs()
    return float(centres["the prototype"].iloc[distance.argmin()])


@cache
def first_step(size: int = 100, mask: str = "111", seeds: Sequence[int] = range(1000, 1040)) -> pd.DataFrame:
    """Return how far the first step of Adam moves every prototype.

    Book: chapter "Forces", section "One step of training".

    Args:
        size: N, samples and neurons of a network.
        mask: which losses it is trained with.
        seeds: one network each; a tuple or a range.

    Returns:
        One row a neuron: weight, |w| before the step; reach, 1 + |x̂| before it; moved, the prototype's way; dw and db,
        the step itself.
    """
    x, y, start = starting_batch(size, seeds)
    after = train(x, y, start, Settings(mask, steps=1)).parameters
    dw, db = after.w - start.w, after.b - start.b
    columns = {
        "weight": start.w.abs(),
        "reach": 1 + prototypes(start.w, start.b).abs(),
        "moved": displacement(start.w, start.b, dw, db).abs(),
        "dw": dw,
        "db": db,
    }
    return pd.DataFrame({name: values.flatten().numpy() for name, values in columns.items()})


@cache
def pace(size: int = 100, mask: str = "100", seeds: Sequence[int] = range(1000, 1010)) -> pd.DataFrame:
    """Return how long Adam's steps are as training goes on.

    Book: chapter "Forces", section "One step of training".

    Args:
        size: N, samples and neurons of a network.
        mask: which losses it is trained with.
        seeds: one network each; a tuple or a range.

    Returns:
        One row for each of `PACE_STEPS` (the index, steps done), medians over all neurons: |δw|/η and |δb|/η of the
        next step, and |b - b at the start|.
    """
    x, y, start = starting_batch(size, seeds)
    record = sorted({step for done in PACE_STEPS for step in (done, done + 1)})
    at = train(x, y, start, Settings(mask, steps=record[-1]), record).recorded
    rows = {}
    for done in PACE_STEPS:
        place = record.index(done)
        dw, db = (value[place + 1] - value[place] for value in (at.w, at.b))
        columns = {
            "|δw|/η": dw.abs() / LEARNING_RATE,
            "|δb|/η": db.abs() / LEARNING_RATE,
            "|b - b at the start|": (at.b[place] - start.b).abs(),
        }
        rows[done] = {name: float(values.quantile(0.5)) for name, values in columns.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("steps done")


def moves_by_weight(neurons: pd.DataFrame) -> pd.DataFrame:
    """Return how far a step moves prototypes by their |w|, in ten parts of equal ratio from 0.03 to 10.

    Book: chapter "Forces", section "One step of training".

    Args:
        neurons: what `first_step` returned.

    Returns:
        One row a part, its middle |w| the index: median of the neurons; largest; η(1 + |x̂|)/|w|, median; η/|w|.
    """
    edges = np.logspace(-1.5, 1, 11)
    middles = np.sqrt(edges[1:] * edges[:-1])
    law = LEARNING_RATE * neurons["reach"] / neurons["weight"]
    parts = np.digitize(neurons["weight"], edges) - 1
    columns = {
        "median of the neurons": neurons["moved"].groupby(parts).median(),
        "largest": neurons["moved"].groupby(parts).max(),
        "η(1 + |x̂|)/|w|, median": law.groupby(parts).median(),
    }
    table = pd.DataFrame(columns).reindex(range(len(middles))).set_axis(middles)
    return table.assign(**{"η/|w|": LEARNING_RATE / middles})


def powers_of_the_weight(moves: pd.DataFrame) -> tuple[float, float]:
    """Return the powers of |w| with which the median move goes, by least squares: where |w| < 1, and where |w| > 1.

    Args:
        moves: what `moves_by_weight` returned.
    """
    logs = np.log(moves["median of the neurons"].to_numpy()), np.log(moves.index.to_numpy())
    small, large = (np.polyfit(logs[1][part], logs[0][part], 1)[0] for part in (logs[1] < 0, logs[1] > 0))
    return float(small), float(large)


def bounded_moves(neurons: pd.DataFrame) -> pd.Series:
    """Return each move over what the chapter's third part allows it; infinite bounds, where |w| <= Kη, are left out.

    Book: chapter "Forces", section "One step of training".

    Args:
        neurons: what `first_step` returned.
    """
    longest = longest_adam_step() * LEARNING_RATE
    bounded = neurons[neurons["weight"] > longest]
    return bounded["moved"] * (bounded["weight"] - longest) / (longest * bounded["reach"])


def two_ways(runs: pd.DataFrame) -> pd.DataFrame:
    """Return both ways out of overlap, with overlap and without: medians over seeds of median |w| and share outside.

    Book: chapter "Forces", section "Overlap pushes outward".

    Args:
        runs: masks 000 and 100, weights included.

    Returns:
        One row a size (the index, N): a column a measure and mask, such as "expelled, 100 Ovl"; median |w| before.
    """
    chosen = runs[runs["mask"].isin(["000", "100"])]
    chosen = chosen.assign(width=[np.median(np.abs(w)) for w in chosen["w"]])
    medians = chosen.groupby(["size", "mask"])[["width", "expelled_fraction"]].median().unstack("mask")
    names = {"width": "median |w|", "expelled_fraction": "expelled"}
    columns = [f"{names[column]}, {MASK_LABELS[mask]}" for column, mask in medians.columns]
    seeds = sorted(chosen["seed"].unique())
    before = [np.median(starting_batch(size, seeds)[2].w.abs().median(1).values) for size in medians.index]
    return medians.set_axis(columns, axis=1).rename_axis("N").assign(**{"median |w| before": before})


SHIELDED_TEMPERATURE = 1e-4
"""τ of the chapter's picture of a shielded prototype: the nominal one."""


def shielded_network() -> tuple[torch.Tensor, Parameters]:
    """Return the samples of `five_neurons` and its network with the fourth prototype at 0.8, between the last two."""
    x, _, network = five_neurons()
    fourth = moved_along(network, FIFTH - 1, torch.tensor([0.8], dtype=torch.float64))
    return x, Parameters(*(value[0] for value in fourth))


def pull_and_push(distances: torch.Tensor) -> pd.DataFrame:
    """Return how strongly coverage pulls and overlap pushes the fifth prototype where the others shield it.

    Book: chapter "Forces", section "Coverage's blind spot".

    Args:
        distances: how far to the right of the last sample it is put, shape (places,).

    Returns:
        One row a distance D (the index): coverage's pull; its bound; overlap's push; none of them negative.
    """
    samples, network = shielded_network()
    networks = moved_along(network, FIFTH, samples.max() + distances)
    x, at = samples.expand(len(distances), -1), prototypes(networks.w, networks.b)
    strengths = {
        "coverage's pull": coverage_force(x, at, SHIELDED_TEMPERATURE).abs(),
        "its bound": coverage_bound(x, at, SHIELDED_TEMPERATURE),
        "overlap's push": overlap_force(x, networks.w, networks.b),
    }
    columns = {name: values[:, FIFTH].numpy() for name, values in strengths.items()}
    return pd.DataFrame(columns, index=pd.Index(distances.numpy(), name="D"))


def shield() -> float:
    """Return r, within which each sample of `shielded_network` has one of the four prototypes that stay."""
    x, network = shielded_network()
    at = prototypes(network.w, network.b)[:FIFTH]
    return float((x[:, None] - at).abs().amin(1).max())


def proved_from() -> float:
    """Return the distance from which the proposition says that overlap's push exceeds coverage's pull there."""
    x, network = shielded_network()
    responses = float(activations(x, network.w, network.b)[-1, :FIFTH].sum())
    return overlap_wins_from(len(x), float(network.w[FIFTH]), responses, shield(), SHIELDED_TEMPERATURE)


def expelled_prototypes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how coverage and overlap drive the prototypes outside the samples' range at the end of training.

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a prototype outside: size; push, overlap's force outward; pull, coverage's force inward; nearest,
        whether it is the nearest one to some sample.
    """
    parts: list[pd.DataFrame] = []
    for (size, temperature), group in groups_of(runs, "size", "temperature"):
        x, _, network = stored_networks(group)
        at = prototypes(network.w, network.b)
        right, left = (at > x.amax(1, keepdim=True)).double(), (at < x.amin(1, keepdim=True)).double()
        nearest = (x[..., None] - at[:, None]).abs().argmin(-1)
        columns = {
            "push": (right - left) * overlap_force(x, network.w, network.b),
            "pull": (left - right) * coverage_force(x, at, temperature),
            "nearest": torch.zeros_like(at, dtype=torch.bool).scatter(1, nearest, True),
        }
        outside = (right + left) > 0
        parts.append(pd.DataFrame({name: values[outside].numpy() for name, values in columns.items()} | {"size": size}))
    return pd.concat(parts, ignore_index=True)


def who_wins(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many expelled prototypes coverage holds against overlap, and which.

    Book: chapter "Forces", section "Coverage's blind spot".

    Args:
        runs: runs with overlap and coverage, weights included.

    Returns:
        One row a size (the index, N): numbers of prototypes.
    """
    outside = expelled_prototypes(runs)
    held = outside["push"] <= outside["pull"]
    columns = {
        "expelled": outside["push"].notna(),
        "push above 0": outside["push"] > 0,
        "pull exactly 0": outside["pull"] == 0,
        "push exceeds pull": outside["push"] > outside["pull"],
        "pull holds, nearest to a sample": held & outside["nearest"],
        "pull holds, shielded": held & ~outside["nearest"],
    }
    return pd.DataFrame(columns).groupby(outside["size"].rename("N")).sum()


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Forces", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs = pd.read_parquet(data / "replication.parquet")
    variants = {f"variants-{name}": f"{count}" for name, count in VARIANTS.items()}
    return variants | _numbers_of_a_step() | _numbers_of_the_pictures() | _numbers_of_the_runs(runs)


def _numbers_of_a_step() -> dict[str, str]:
    """Those of the section "One step of training"."""
    neurons, longest = first_step(), longest_adam_step()
    small, large = powers_of_the_weight(moves_by_weight(neurons))
    allowed = bounded_moves(neurons)
    return {
        "step-neurons": f"{len(neurons)}",
        "step-power-at-small-weights": f"{small:.2f}",
        "step-power-at-large-weights": f"{large:.2f}",
        "adam-constant": f"{longest:.2f}",
        "longest-step": f"{longest * LEARNING_RATE:.3f}",
        "bounded-neurons": f"{len(allowed)}",
        "most-of-the-bound": f"{allowed.max():.0%}",
        "unbounded-neurons": f"{len(neurons) - len(allowed)}",
        "farthest-move": f"{neurons['moved'].max():.1f}",
        **{f"pace-{done}": f"{length:.2f}" for done, length in pace()["|δb|/η"].items()},
    }


def _numbers_of_the_pictures() -> dict[str, str]:
    """Those of the fifth neuron as it is moved."""
    centres = crowd_centres(POSITIONS)
    centre = centres["the shared samples' centre"]
    strengths = pull_and_push(DISTANCES)
    silent = strengths["overlap's push"][strengths["coverage's pull"] == 0]
    return {
        "lowest-centre": f"{centre.min():.2f}",
        "highest-centre": f"{centre.max():.2f}",
        "balance": f"{balance(centres):.2f}",
        "shield": f"{shield():.2f}",
        "overlap-proved-from": f"{proved_from():.3f}",
        "coverage-silent-from": f"{silent.index[0]:.2f}",
        "push-where-silent": f"{silent.iloc[0]:.1e}",
    }


def _numbers_of_the_runs(runs: pd.DataFrame) -> dict[str, str]:
    """Those of stored runs of masks 000, 100 and 110."""
    ways, total = two_ways(runs), who_wins(runs[runs["mask"] == "110"]).sum()
    held = total["pull holds, nearest to a sample"], total["pull holds, shielded"]
    return {
        "sizes": f"{len(ways)}",
        "sizes-with-narrower-bumps": f"{(ways['median |w|, 100 Ovl'] > ways['median |w|, 000 Std']).sum()}",
        "sizes-with-more-outside": f"{(ways['expelled, 100 Ovl'] > ways['expelled, 000 Std']).sum()}",
        "expelled": f"{total['expelled']}",
        "share-pushed-more": f"{total['push exceeds pull'] / total['expelled']:.1%}",
        "share-without-pull": f"{total['pull exactly 0'] / total['expelled']:.0%}",
        "pushed-outward": f"{total['push above 0']}",
        "held-nearest": f"{held[0]}",
        "held": f"{sum(held)}",
    }


def _towards(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """x_i - x̂_j, shape (..., samples, neurons)."""
    return x.unsqueeze(-1) - prototypes.unsqueeze(-2)
