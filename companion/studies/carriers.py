"""What the fit holds: the force it can exert, and which neurons carry the values that it has reached."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from companion.core.checks import require_finite, require_integer, require_shapes
from companion.core.data import TARGETS, random_stream, sample_task
from companion.core.losses import fit_loss
from companion.core.network import Parameters, activations, predict, prototypes, starting_batch
from companion.core.settings import MASK_LABELS
from companion.judging.baselines import baseline_summary
from companion.judging.claims import ACTIVE, FREE
from companion.judging.paired import Interval
from companion.show import words
from companion.studies.forces import fit_force
from companion.sweeps.runs import RESAMPLES, groups_of, stored_networks, summary

HURT = 0.01
"""A deletion hurts if the root mean squared error rises by more than this: a hundredth of the target's range."""
CARRIED = 0.99
"""Share of all contributions that the carriers of a run account for."""
KINDS = ("expelled", "near", "far")
"""Sets of neurons that are deleted: all expelled ones, those within one bump width 1/|w| of the data, those beyond."""
TITLES = {"far": "far ones deleted", "near": "near ones deleted", "expelled": "all expelled deleted"}
"""The kinds as pictures and tables name them, in their order."""
BEFORE = "before training"
"""The name of the starts where they stand beside the masks."""
VARIANTS = {"fitbound": 11, "fitfar": 11, "deletion": 8, "deletionfar": 8}
"""How many false variants of each proposition its test rejects; `tests/test_carriers.py` holds them to be as many."""
SEEDS_OF_FORCES = range(1000, 1050)
"""Seeds of the runs whose forces the chapter measures."""


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
    require_shapes({"x": "*runs samples", "prototypes": "*runs neurons"}, x=x, prototypes=prototypes)
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
        least-squares value; bound, what √L_fit can change by; hurt and hurt_refitted, whether after and refitted are
        above before by more than `HURT`.
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
    table = pd.concat(parts, ignore_index=True)
    hurt, refitted = (table[name] - table["before"] > HURT for name in ("after", "refitted"))
    return table.assign(hurt=hurt, hurt_refitted=refitted)


def single_deletions(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how often the deletion of one neuron hurts the fit, all others and c as they are.

    Book: chapter "What the fit holds", section "One neuron at a time".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a mask, size and kind ("inside" the samples' range, "near" and "far" as in `KINDS`): mask, size, kind;
        neurons, how many there are in all runs; hurt, the share of them whose deletion raises the root mean squared
        error by more than `HURT`, NaN of none.
    """
    rows = []
    for (mask, size), group in groups_of(runs, "mask", "size"):
        x, y, parameters = stored_networks(group)
        residual = (predict(x, *parameters) - y).unsqueeze(-1)
        without = residual - activations(x, parameters.w, parameters.b) * parameters.a.unsqueeze(-2)
        rise = (without**2).mean(-2).sqrt() - (residual**2).mean(-2).sqrt()
        kinds = _kinds(x, parameters)
        for kind, chosen in {"inside": ~kinds["expelled"], "near": kinds["near"], "far": kinds["far"]}.items():
            hurt = (rise[chosen] > HURT).double().mean()
            rows.append((mask, size, kind, int(chosen.sum()), float(hurt)))
    return pd.DataFrame(rows, columns=["mask", "size", "kind", "neurons", "hurt"])


def single_table(singles: pd.DataFrame) -> pd.DataFrame:
    """Return how often one neuron's deletion hurts, and of how many neurons, as text: a row a mask and kind.

    Book: chapter "What the fit holds", section "One neuron at a time".

    Args:
        singles: what `single_deletions` returned.
    """
    texts = [f"{hurt:.3f} of {count}" for hurt, count in zip(singles["hurt"], singles["neurons"], strict=True)]
    table = singles.assign(text=texts).pivot(index=["mask", "kind"], columns="size", values="text")
    return table.rename(index=MASK_LABELS, level="mask").rename(columns="N = {}".format).rename_axis(columns=None)


def rests(runs: pd.DataFrame, draws: int = 5) -> pd.DataFrame:
    """Return what the neurons inside reconstruct once the expelled ones are deleted.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        runs: one row a run, weights included.
        draws: random sets of the chance level.

    Returns:
        One row a run: mask, size, seed; rest (neurons that remain) and share (of all); whole (E before deletion);
        error (E of the rest, values by the whole network); own (the same, values by what remains of it); chance (of
        as many); ratio (error over chance). The last four are NaN where none remains.
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
    table = table.assign(share=table["rest"] / table["size"], ratio=table["error"] / table["chance"])
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


# --- the chapter's examples ---


def moving_neuron(places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Return five samples of the sine, and networks with four prototypes on samples and the fifth at each place.

    Book: chapter "What the fit holds", section "The fit's force is bounded by its error".

    Args:
        places: positions of the fifth prototype, shape (places,).

    Returns:
        x and y of shape (places, 5); parameters of as many networks of five neurons.
    """
    samples = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    heights = 0.5 * (1 + torch.sin(2 * torch.pi * samples))
    runs = len(places), -1
    positions = torch.cat([samples[:4].expand(runs), places[:, None]], dim=1)
    w = torch.full_like(positions, 5.0)
    a = torch.tensor([0.3, 0.6, 0.1, -0.4, 0.5], dtype=torch.float64).expand(runs)
    return samples.expand(runs), heights.expand(runs), Parameters(w, -w * positions, a, torch.full_like(places, 0.2))


def neuron_outside(widths: torch.Tensor) -> tuple[torch.Tensor, Parameters, torch.Tensor]:
    """Return a hundred even samples of [0, 1], networks of one neuron with a = 1 beyond their end, and its deletion.

    Book: chapter "What the fit holds", section "Deleting a distant neuron costs little".

    Args:
        widths: distances of the prototype from the last sample, in bump widths 1/|w|, shape (distances,).

    Returns:
        x of shape (distances, 100); parameters of as many networks with w = 5; which neurons go (all), booleans of
        shape (distances, 1).
    """
    line = torch.linspace(0, 1, 100, dtype=torch.float64).expand(len(widths), -1)
    one = torch.ones_like(widths)[:, None]
    network = Parameters(5 * one, -(5 + widths[:, None]), one, torch.zeros_like(widths))
    return line, network, one.bool()


# --- the chapter's tables ---


def inside_untrained(runs: pd.DataFrame) -> pd.Series:
    """Return the median share of prototypes that lie inside the samples' range before training, by size.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        runs: one row a run; its sizes and seeds are taken.
    """
    expelled = baseline_summary(runs, "expelled_fraction", ("untrained",)).set_index("size")["median"]
    return (1 - expelled).rename("before training")


def medians(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column's median over seeds with its 95 % bootstrap interval, a row a mask and size.

    Args:
        frame: one row a run: mask, size and the column.

    Returns:
        mask, size, value, low and high, as `companion.show.charts.masks_by_size` draws them.
    """
    found = summary(frame, column).rename(columns={"median": "value"})
    return found[["mask", "size", "value", "low", "high"]]


def wide(frame: pd.DataFrame, column: str, statistic: str = "median") -> pd.DataFrame:
    """Return a statistic of a column over seeds, a row a mask and a column a size.

    Args:
        frame: one row a run: mask, size and the column.
        statistic: its name in pandas, such as "mean".
    """
    return frame.groupby(["mask", "size"])[column].agg(statistic).unstack("size")


def force_medians(forces: pd.DataFrame) -> pd.DataFrame:
    """Return medians over seeds of √L_fit, of the bound of the fit's force and of the force, at the least and most N.

    Book: chapter "What the fit holds", section "The fit's force is bounded by its error".

    Args:
        forces: what `forces` returned.

    Returns:
        One row a mask and size N: "error, start", "error, end", and so for bound and force.
    """
    ends = forces[forces["size"].isin([forces["size"].min(), forces["size"].max()])]
    found = ends.groupby(["mask", "size", "when"])[["error", "bound", "force"]].median().unstack("when")
    pairs = [(name, when) for name in ("error", "bound", "force") for when in ("start", "end")]
    return pd.DataFrame({f"{name}, {when}": found[name, when] for name, when in pairs}).rename_axis(["mask", "N"])


def with_starts(carried: pd.DataFrame) -> pd.DataFrame:
    """Return K of each trained network and, as one more mask, of the starts, which all masks of a seed share.

    Args:
        carried: what `carried` returned.

    Returns:
        One row a run: mask (or `BEFORE`), size, effective.
    """
    one = carried[carried["mask"] == carried["mask"].iloc[0]]
    starts = one[["size"]].assign(mask=BEFORE, effective=one["start"])
    return pd.concat([carried[["mask", "size", "effective"]], starts], ignore_index=True)


def growth(carried: pd.DataFrame) -> dict[str, Interval]:
    """Return the exponent with which K grows with N, of each mask and `BEFORE` training.

    Book: chapter "What the fit holds", section "How many neurons carry the fit".

    Args:
        carried: what `carried` returned.
    """
    by_mask = groups_of(with_starts(carried), "mask")
    return {
        mask: growth_exponent({size: part["effective"].to_numpy() for (size,), part in groups_of(group, "size")})
        for (mask,), group in by_mask
    }


def effective_table(carried: pd.DataFrame) -> pd.DataFrame:
    """Return the median K with its interval, as text, a row a mask and a column a size, and the exponent of its growth.

    Book: chapter "What the fit holds", section "How many neurons carry the fit".

    Args:
        carried: what `carried` returned.
    """
    found = medians(with_starts(carried), "effective")
    table = words.labelled(
        found.assign(text=_with_interval(found, ".3g")).pivot(index="mask", columns="size", values="text")
    )
    exponents = growth(carried)
    table["exponent"] = [words.interval(exponents[mask], ".2f") for mask in sorted(exponents)]
    return table


def best_constant(runs: pd.DataFrame) -> pd.Series:
    """Return the root mean squared error of the best constant, the median over seeds at each size.

    Book: chapter "What the fit holds", section "What deletion does to the fit".

    Args:
        runs: one row a run, its data included.
    """
    return runs["y"].map(np.std).groupby(runs["size"]).median().rename("best constant")


def errors_table(done: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the median errors before and after a deletion, as text, a row a mask and a column a size.

    Book: chapter "What the fit holds", section "What deletion does to the fit".

    Args:
        done: rows of `deletions` in which some neuron was deleted.
        kind: one of `KINDS`.

    Returns:
        "before → after [95 % interval] (with c set anew)".
    """
    part = done[done["kind"] == kind]
    others = part.groupby(["mask", "size"])[["before", "refitted"]].median()
    found = medians(part, "after").join(others, on=["mask", "size"])
    found["text"] = [
        f"{before:.2g} → {after} ({refitted:.2g})"
        for before, after, refitted in zip(
            found["before"], _with_interval(found, ".2g"), found["refitted"], strict=True
        )
    ]
    return words.labelled(found.pivot(index="mask", columns="size", values="text"))


def hurt_table(done: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return how often a deletion hurts, and of how many runs, as text, a row a mask and a column a size.

    Book: chapter "What the fit holds", section "What deletion does to the fit".

    Args:
        done: rows of `deletions` in which some neuron was deleted.
        kind: one of `KINDS`.
    """
    part = done[done["kind"] == kind]
    return words.labelled(wide(part, "hurt", "mean").map("{:.2f} of ".format) + wide(part, "hurt", "size").astype(str))


def rest_medians(rests: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the runs in which some neuron remains, a row a mask and size.

    Args:
        rests: what `rests` returned.

    Returns:
        rest, whole, error, own and chance.
    """
    some = rests[rests["rest"] > 0]
    return some.groupby(["mask", "size"])[["rest", "whole", "error", "own", "chance"]].median()


def over_chance(rests: pd.DataFrame) -> pd.DataFrame:
    """Return the median ratio of the rest's error to its chance level with its interval, as `medians` does.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        rests: what `rests` returned; runs in which none remains have no ratio.
    """
    return medians(rests[rests["rest"] > 0], "ratio")


def above_chance(rests: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the masks and sizes at which the rest's error is above chance: the ratio's interval is above 1.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        rests: what `rests` returned.
    """
    ratio = over_chance(rests)
    above = ratio[ratio["low"] > 1]
    return list(zip(above["mask"], above["size"], strict=True))


def rest_table(rests: pd.DataFrame) -> pd.DataFrame:
    """Return what the rest reconstructs, a row a mask and size N.

    Book: chapter "What the fit holds", section "What the rest reconstructs".

    Args:
        rests: what `rests` returned.

    Returns:
        Medians where some neuron remains; the ratio to chance with its interval, as text; runs in which none remains.
    """
    names = {"rest": "remain", "whole": "E, whole", "error": "E of the rest", "own": "by its own values"}
    table = rest_medians(rests).rename(columns=names)
    ratio = over_chance(rests)
    table["over chance"] = pd.Series(_with_interval(ratio, ".2f"), pd.MultiIndex.from_frame(ratio[["mask", "size"]]))
    table["none remain"] = (rests["rest"] == 0).groupby([rests["mask"], rests["size"]]).sum()
    return table.rename(index=MASK_LABELS, level="mask").rename_axis(["mask", "N"])


def _with_interval(found: pd.DataFrame, form: str) -> list[str]:
    """Rows of `medians` as text."""
    ends = zip(found["value"], found["low"], found["high"], strict=True)
    return [words.interval(Interval(*row), form) for row in ends]


# --- the chapter's numbers ---


class Results(NamedTuple):
    """What `forces`, `carried`, `deletions` … and `best_constant` returned of the stored runs."""

    forces: pd.DataFrame
    carried: pd.DataFrame
    deletions: pd.DataFrame
    singles: pd.DataFrame
    rests: pd.DataFrame
    constant: pd.Series


@cache
def results(data: Path) -> Results:
    """Return all that the chapter measures of the stored runs; a quarter of a minute."""
    runs = pd.read_parquet(data / "powered.parquet").sort_values(["mask", "size", "seed"], ignore_index=True)
    few = runs[runs["seed"].isin(SEEDS_OF_FORCES)]
    done = deletions(runs), single_deletions(runs), rests(runs)
    return Results(forces(few), carried(runs), *done, best_constant(runs))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "What the fit holds", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        **{f"variants-{name}": f"{count}" for name, count in VARIANTS.items()},
        "hurts-above": f"{HURT:g}",
        **_single_numbers(found.singles),
        **_force_numbers(found.forces),
        **_carrier_numbers(found.carried),
        **_deletion_numbers(found.deletions, found.constant),
        **_rest_numbers(found.rests),
    }


def _force_numbers(forces: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "The fit's force is bounded by its error", at the largest N."""
    found = force_medians(forces).xs(forces["size"].max(), level="N")
    return {
        "error-divided-by": words.span(found["error, start"] / found["error, end"], ".0f"),
        "bound-divided-by": words.span(found["bound, start"] / found["bound, end"], ".0f"),
        "force-at-the-end": words.span(found["force, end"], ".1g"),
    }


def _carrier_numbers(carried: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "How many neurons carry the fit", at the largest N but for the last two."""
    fewest, most = carried["size"].min(), carried["size"].max()
    effective, count, outside = (wide(carried, name)[most] for name in ("effective", "count", "outside"))
    start = carried.loc[carried["size"] == most, "start"].median()
    exponents = growth(carried)
    least = carried[(carried["mask"] == "100") & (carried["size"] == fewest)]
    alone = least[least["count"] == 1]
    table = {
        "k-before": f"{start:.1f}",
        "k-before-rounded": f"{start:.0f}",
        "exponent-before": f"{exponents[BEFORE].value:.2f}",
        "overlap-one-carries": f"{len(alone) / len(least):.0%}",
        "overlap-one-carries-outside": f"{(alone['outside'] > CARRIED).mean():.0%}",
    }
    for name, masks in {"overlap": list(ACTIVE), "others": list(FREE)}.items():
        table |= {
            f"k-{name}": words.span(effective[masks], ".1f"),
            f"k-{name}-rounded": words.span(effective[masks], ".0f"),
            f"count-{name}": words.span(count[masks], ".0f"),
            f"exponent-{name}": words.span([exponents[mask].value for mask in masks], ".2f"),
            f"outside-{name}": words.span(outside[masks], ".0%"),
        }
    return table


def _deletion_numbers(deletions: pd.DataFrame, constant: pd.Series) -> dict[str, str]:
    """Numbers of the section "What deletion does to the fit": over all runs, and at the largest N."""
    done = deletions[deletions["deleted"] > 0]
    most = deletions["size"].max()
    table = {"constant-error": f"{constant[most]:.2f}"}
    for kind in KINDS:
        part = done[done["kind"] == kind]
        table[f"{kind}-hurt"] = f"{part['hurt'].mean():.0%}"
        table[f"{kind}-hurt-refitted"] = f"{part['hurt_refitted'].mean():.0%}"
    far, expelled = (done[done["kind"] == kind] for kind in ("far", "expelled"))
    spared, after = 1 - wide(far, "hurt", "mean")[most], wide(expelled, "after")[most]
    near = wide(deletions[deletions["kind"] == "near"], "deleted")[most]
    names = {"std": "000", "cov": "010", "sep": "001", "ovl": "100"}
    table |= {f"far-spared-{name}": f"{spared[mask]:.0%}" for name, mask in names.items()}
    pairs = {"near-alone": ["000", "010"], "near-separated": ["001", "011"], "near-overlap": list(ACTIVE)}
    table |= {name: words.span(near[masks], ".0f") for name, masks in pairs.items()}
    return table | {
        "all-far-ovl": f"{1 - spared['100']:.0%}",
        "std-error-after": f"{after['000']:.2f}",
        "overlap-error-after": words.span(after[list(ACTIVE)], ".2f"),
        "overlap-expelled-hurt": words.span(wide(expelled, "hurt", "mean").loc[list(ACTIVE), most], ".0%"),
    }


def _single_numbers(singles: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "One neuron at a time": by mask at the largest and the smallest N."""
    table = {}
    for name, size, form in (("most", singles["size"].max(), ".1%"), ("fewest", singles["size"].min(), ".0%")):
        hurt = singles[singles["size"] == size].pivot(index="mask", columns="kind", values="hurt")
        table |= {f"one-{kind}-hurts-at-{name}": words.span(hurt[kind], form) for kind in hurt}
    most = singles[singles["size"] == singles["size"].max()].set_index(["mask", "kind"])["hurt"]
    table["one-far-ovl"] = f"{most['100', 'far']:.1%}"
    return table


def _rest_numbers(rests: pd.DataFrame) -> dict[str, str]:
    """Numbers of the section "What the rest reconstructs": over all masks and sizes, and at the largest N."""
    most, above = rests["size"].max(), above_chance(rests)
    ratio = wide(rests[rests["rest"] > 0], "ratio")
    found = rest_medians(rests).xs(most, level="size")
    return {
        "combinations": f"{ratio.size}",
        "rest-above-chance": f"{len(above)}",
        "rest-above-chance-at": words.at_sizes((MASK_LABELS[mask], size) for mask, size in above),
        "rest-over-chance-overlap": words.span(ratio.loc[list(ACTIVE), most], ".2f"),
        "rest-over-chance-std": f"{ratio.loc['000', most]:.1f}",
        "rest-over-chance-cov": f"{ratio.loc['010', most]:.1f}",
        "own-values-times": words.span(found["own"] / found["error"], ".2g"),
    }
