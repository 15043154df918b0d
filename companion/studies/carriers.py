"""What the fit holds: the force it can exert, and which neurons carry the values that it has reached."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from companion.core.checks import require_finite, require_integer, require_same_runs
from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.losses import fit_loss
from companion.core.network import Parameters, activations, predict, prototypes, starting_batch
from companion.judging.paired import RESAMPLES, Interval
from companion.studies.forces import fit_force
from companion.sweeps.runs import groups_of, stored_networks

HURT = 0.01
"""A deletion hurts if the root mean squared error rises by more than this: a hundredth of the target's range."""
CARRIED = 0.99
"""Share of all contributions that the carriers of a run account for."""
KINDS = ("expelled", "near", "far")
"""Sets of neurons that are deleted: all expelled ones, those within one bump width 1/|w| of the data, those beyond."""


def fit_force_bound(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Return 2 √(2/e) |w_j a_j| √L_fit, which the fit's force on a prototype cannot exceed wherever it is.

    Book: chapter "What the fit holds", equation (fitbound).

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        Bounds, shape (..., neurons).
    """
    error = fit_loss(predict(x, *parameters), y).sqrt().unsqueeze(-1)
    return 2 * math.sqrt(2 / math.e) * (parameters.w * parameters.a).abs() * error


def fit_force_bound_outside(x: torch.Tensor, y: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Return 4 w_j² |a_j| √L_fit D_j exp(-w_j² D_j²), a bound for prototypes at D_j >= 1/(√2 |w_j|) outside the data.

    Book: chapter "What the fit holds", equation (fitfar).

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        Bounds, shape (..., neurons); NaN for prototypes that are nearer or inside.
    """
    w, b, a, _ = parameters
    error = fit_loss(predict(x, *parameters), y).sqrt().unsqueeze(-1)
    away = distance_outside(x, prototypes(w, b))
    bound = 4 * w**2 * a.abs() * error * away * torch.exp(-(w**2) * away**2)
    return torch.where(math.sqrt(2) * w.abs() * away >= 1, bound, torch.nan)


def distance_outside(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return D_j, the distance of each prototype from [min x_i, max x_i].

    Book: chapter "What the fit holds", section "The fit's force is bounded by its error".

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons).

    Returns:
        Distances of at least 0, shape (..., neurons); 0 inside.

    Raises:
        ValueError: if shapes do not fit.
    """
    require_same_runs(x=x, prototypes=prototypes)
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return torch.maximum(low - prototypes, prototypes - high).clamp(min=0)


def delete(parameters: Parameters, removed: torch.Tensor) -> Parameters:
    """Return a network without some of its neurons: their output weights are 0, which is the same to f.

    Book: chapter "What the fit holds", section "Deleting a distant neuron costs little".

    Args:
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        removed: which neurons, booleans of shape (..., neurons).
    """
    return parameters._replace(a=torch.where(removed, 0.0, parameters.a))


def deletion_bound(x: torch.Tensor, parameters: Parameters, removed: torch.Tensor) -> torch.Tensor:
    """Return √(mean_i (Σ_{j in S} |a_j| h_ij)²): deleting the neurons S changes √L_fit by no more.

    Book: chapter "What the fit holds", equation (deletion).

    Args:
        x: training inputs, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        removed: S, booleans of shape (..., neurons).

    Returns:
        Bound a run, shape (...).
    """
    carried = (activations(x, parameters.w, parameters.b) * (parameters.a.abs() * removed).unsqueeze(-2)).sum(-1)
    return (carried**2).mean(-1).sqrt()


def deletion_bound_outside(x: torch.Tensor, parameters: Parameters, removed: torch.Tensor) -> torch.Tensor:
    """Return Σ_{j in S} |a_j| exp(-w_j² D_j²), which is not below `deletion_bound` and needs distances alone.

    Book: chapter "What the fit holds", equation (deletionfar).

    Args:
        x: training inputs, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        removed: S, booleans of shape (..., neurons).

    Returns:
        Bound a run, shape (...).
    """
    away = distance_outside(x, prototypes(parameters.w, parameters.b))
    return (parameters.a.abs() * torch.exp(-(parameters.w**2) * away**2) * removed).sum(-1)


def contributions(x: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Return m_j = |a_j| mean_i h_ij, a neuron's mean contribution to the training outputs, signs apart.

    Book: chapter "What the fit holds", equation (contribution).

    Args:
        x: training inputs, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...).

    Returns:
        Contributions of at least 0, in units of the value, shape (..., neurons).
    """
    return parameters.a.abs() * activations(x, parameters.w, parameters.b).mean(-2)


def effective_number(contributions: ArrayLike) -> np.ndarray | float:
    """Return K = (Σ_j m_j)² / Σ_j m_j², the number of equal contributions that would be as unequal.

    Book: chapter "What the fit holds", equation (effective).

    Args:
        contributions: m of at least 0, shape (..., neurons).

    Returns:
        K in [1, neurons], shape (...), a float for one run; NaN where all contributions are 0.

    Raises:
        ValueError: if a contribution is not finite.
    """
    m = np.asarray(contributions, dtype=np.float64)
    require_finite(contributions=m)
    top = m.max(-1, keepdims=True)
    # Relative to the largest one, so that squares of tiny contributions are not lost.
    part = np.divide(m, top, out=np.full_like(m, np.nan), where=top > 0)
    number = part.sum(-1) ** 2 / (part**2).sum(-1)
    return number if number.ndim else float(number)


def carrier_count(contributions: ArrayLike, share: float = CARRIED) -> np.ndarray | int:
    """Return the least number of neurons whose contributions add up to `share` of all.

    Book: chapter "What the fit holds", section "How many neurons carry the fit".

    Args:
        contributions: m of at least 0, not all 0, shape (..., neurons).
        share: in (0, 1).

    Returns:
        Count in 1 … neurons, shape (...); an int for one run.
    """
    ordered = -np.sort(-np.asarray(contributions, dtype=np.float64), axis=-1)
    reached = np.cumsum(ordered, axis=-1) < share * ordered.sum(-1, keepdims=True)
    count = reached.sum(-1) + 1
    return count if count.ndim else int(count)


def growth_exponent(values: Mapping[int, ArrayLike]) -> Interval:
    """Return γ of a number that grows like N^γ: the slope of log median on log N, by least squares.

    Book: chapter "What the fit holds", section "How many neurons carry the fit".

    Args:
        values: by size N, a positive number of each run.

    Returns:
        γ and the ends of its 95 % interval: percentile bootstrap, 2,000 resamples of the runs of each size, seed 0.
    """
    rng = np.random.default_rng(0)
    log_size = np.log(list(values))
    drawn = []
    for runs in values.values():
        numbers = np.asarray(runs, dtype=np.float64)
        again = numbers[rng.integers(len(numbers), size=(RESAMPLES, len(numbers)))]
        drawn.append(np.log([np.median(numbers), *np.median(again, axis=1)]))
    slopes = np.polyfit(log_size, np.array(drawn), 1)[0]
    return Interval(float(slopes[0]), *map(float, np.percentile(slopes[1:], [2.5, 97.5])))


def rest_error(x: ArrayLike, y: ArrayLike, prototypes: ArrayLike, values: ArrayLike) -> float:
    """Return E of a run's k remaining neurons: the mean distance of the matching of all k to k of the N originals.

    Book: chapter "What the fit holds", equation (resterror).

    Args:
        x, y: training points of one run, shape (samples,).
        prototypes, values: x̂ and f(x̂) of the neurons that remain, shape (k,) with k <= samples.

    Returns:
        E of the rest; NaN if none remains. With k = samples it is `companion.core.metrics.reconstruction_error`.
    """
    x, y, prototypes, values = (np.asarray(given, dtype=np.float64) for given in (x, y, prototypes, values))
    if not prototypes.size:
        return math.nan
    cost = np.hypot(x[:, None] - prototypes, y[:, None] - values)
    return float(cost[linear_sum_assignment(cost)].mean())


@cache
def rest_chance(size: int, seed: int, rest: int, draws: int = 5, target: str = "sine") -> float:
    """Return the chance level of `rest_error`: the first `rest` of each set of prototypes that `chance_level` draws.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        size, seed: of the run; N at least 2, seed at least 0.
        rest: number of neurons that remain, 0 … N.
        draws: random sets, at least 1; the first ones of `companion.judging.chance.chance_level` are the same.
        target: a name in `companion.core.data.TARGETS`.

    Returns:
        Mean over the draws; NaN if none remains.
    """
    draws = require_integer("draws", draws, least=1)
    x, y = sample_task(size, seed, target)
    drawn = x.new_tensor(random_stream(size, seed, purpose=2).uniform(0.0, 1.0, (draws, size)))[:, :rest]
    return float(np.mean([rest_error(x, y, *row) for row in zip(drawn, TARGETS[target](drawn), strict=True)]))


def carried(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many neurons carry each run's fit, before training and after.

    Book: chapter "What the fit holds", section "How many neurons carry the fit".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run: mask, size, seed; effective (K after training) and start (K before it); count (neurons that
        carry 99 %); outside (expelled neurons' share of all contributions).
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, _, parameters = stored_networks(group)
        _, _, start = starting_batch(size, group["seed"].tolist())
        m = contributions(x, parameters).numpy()
        outside = distance_outside(x, prototypes(parameters.w, parameters.b)).numpy() > 0
        columns = {
            "effective": effective_number(m),
            "start": effective_number(contributions(x, start).numpy()),
            "count": carrier_count(m),
            "outside": (m * outside).sum(-1) / m.sum(-1),
        }
        parts.append(pd.DataFrame({"mask": mask, "size": size, "seed": group["seed"].to_numpy(), **columns}))
    return pd.concat(parts, ignore_index=True)


def deletions(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what deleting each kind of expelled neuron does to each run's fit; nothing else is changed or trained.

    Book: chapter "What the fit holds", section "What deletion does to the fit".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run and kind of `KINDS`: mask, size, seed, kind; deleted (how many neurons); before and after, the
        root mean squared error on the training points; refitted, the same with the output bias c set anew to its
        least-squares value; bound, what √L_fit can change by.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, y, parameters = stored_networks(group)
        before = fit_loss(predict(x, *parameters), y).sqrt()
        for kind, removed in _kinds(x, parameters).items():
            residual = predict(x, *delete(parameters, removed)) - y
            columns = {
                "deleted": removed.sum(-1),
                "before": before,
                "after": (residual**2).mean(-1).sqrt(),
                "refitted": residual.std(-1, correction=0),
                "bound": deletion_bound(x, parameters, removed),
            }
            names = {"mask": mask, "size": size, "seed": group["seed"].to_numpy(), "kind": kind}
            parts.append(pd.DataFrame({**names, **{name: value.numpy() for name, value in columns.items()}}))
    return pd.concat(parts, ignore_index=True)


def rests(runs: pd.DataFrame, draws: int = 5) -> pd.DataFrame:
    """Return what the neurons inside reconstruct once the expelled ones are deleted.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        runs: one row a run, weights included.
        draws: random sets of the chance level.

    Returns:
        One row a run: mask, size, seed; rest (neurons that remain); whole (E before deletion); error (E of the rest,
        values by the whole network); own (the same, values by what remains of it); chance (of as many). The last
        three are NaN where none remains.
    """
    rows = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, y, parameters = stored_networks(group)
        positions = prototypes(parameters.w, parameters.b)
        removed = _kinds(x, parameters)["expelled"]
        values, own = predict(positions, *parameters), predict(positions, *delete(parameters, removed))
        for row, seed in enumerate(group["seed"].tolist()):
            kept = ~removed[row]
            rest = int(kept.sum())
            data = x[row], y[row], positions[row][kept]
            row_errors = rest_error(*data, values[row][kept]), rest_error(*data, own[row][kept])
            rows.append((mask, size, seed, rest, *row_errors, rest_chance(size, seed, rest, draws)))
    table = pd.DataFrame(rows, columns=["mask", "size", "seed", "rest", "error", "own", "chance"])
    whole = runs[["mask", "size", "seed", "reconstruction_error"]].rename(columns={"reconstruction_error": "whole"})
    return table.merge(whole, on=["mask", "size", "seed"])


def forces(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how strong the fit's force is in each run, and what its error allows, before training and after.

    Book: chapter "What the fit holds", section "The fit's force is bounded by its error".

    Args:
        runs: one row a run, weights included.

    Returns:
        Two rows a run, when "start" and "end": mask, size, seed, when; error (√L_fit); force and bound, each the median
        over the run's neurons of its size.
    """
    parts = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, y, trained = stored_networks(group)
        _, _, start = starting_batch(size, group["seed"].tolist())
        for when, parameters in {"start": start, "end": trained}.items():
            columns = {
                "error": fit_loss(predict(x, *parameters), y).sqrt(),
                "force": fit_force(x, y, parameters).abs().quantile(0.5, dim=-1),
                "bound": fit_force_bound(x, y, parameters).quantile(0.5, dim=-1),
            }
            names = {"mask": mask, "size": size, "seed": group["seed"].to_numpy(), "when": when}
            parts.append(pd.DataFrame({**names, **{name: value.numpy() for name, value in columns.items()}}))
    return pd.concat(parts, ignore_index=True)


def _kinds(x: torch.Tensor, parameters: Parameters) -> dict[str, torch.Tensor]:
    """Which neurons are of each kind of `KINDS`, booleans of shape (runs, neurons)."""
    away = distance_outside(x, prototypes(parameters.w, parameters.b))
    far = away * parameters.w.abs() > 1
    return dict(zip(KINDS, (away > 0, (away > 0) & ~far, far), strict=True))
