"""How far separation reaches, how much room it asks for, and what its strength changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import lambertw

from companion.core.losses import separation_loss
from companion.core.network import starting_batch
from companion.core.settings import Settings
from companion.engine.driver import train
from companion.judging.paired import Interval
from companion.show import words
from companion.studies import collapse
from companion.sweeps.runs import groups_of

LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""τN² at which the bound on the repulsion is compared with what is found."""
LONGER = ((50, 10.0), (100, 1.0))
"""Sizes and temperatures at which networks are trained longer than in the sweep."""
VARIANTS = {"force": 9, "net-force": 10, "even-spacing": 11, "room": 13, "strength": 13}
"""How many false variants of each proposition its test rejects; `tests/test_crowding.py` holds them to be as many."""


def pair_force(distance: ArrayLike, size: int, temperature: float) -> np.ndarray:
    """Return the force of L_sep between two of N prototypes, 4 d e^(-d²/τ) / (N (N - 1) τ).

    Book: chapter "Crowding", equation (pair-force).

    Args:
        distance: d >= 0, shape (...), in units of the input.
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.

    Returns:
        Loss per unit of input, shape (...); positive pushes apart.
    """
    distance = np.asarray(distance, float)
    return 4 * distance * np.exp(-(distance**2) / temperature) / (size * (size - 1) * temperature)


def peak_force(size: int, temperature: float) -> float:
    """Return the greatest force between two of N prototypes, 2 √(2/e) / (N (N - 1) √τ), reached at d = √(τ/2).

    Book: chapter "Crowding", equation (peak-force).

    Args:
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
    """
    return float(2 * np.sqrt(2 / np.e) / (size * (size - 1) * np.sqrt(temperature)))


def share_of_peak(reaches: ArrayLike) -> np.ndarray:
    """Return the force at distance k √τ over its peak, √2 k e^(1/2 - k²); `reaches` is k, shape (...).

    Book: chapter "Crowding", equation (share-of-peak).
    """
    reaches = np.asarray(reaches, float)
    return np.sqrt(2) * reaches * np.exp(0.5 - reaches**2)


def greatest_net_force(spacing: float, size: int, temperature: float) -> float:
    """Return a bound on the net force on any of N prototypes that are pairwise at least D apart, Σ_k f(kD).

    Book: chapter "Crowding", equation (net-force).

    Args:
        spacing: D >= √(τ/2), in units of the input.
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.

    Returns:
        The sum over k = 1 … N - 1 of the pair force at kD; the first of N equally spaced prototypes feels just this.

    Raises:
        ValueError: if spacing is below √(τ/2), where the pair force still rises.
    """
    if spacing**2 < temperature / 2 * (1 - 1e-12):
        raise ValueError(f"spacing: {spacing!r} was given; allowed is at least {np.sqrt(temperature / 2):.6g}, √(τ/2)")
    return float(pair_force(spacing * np.arange(1, size), size, temperature).sum())


def force_at_even_spacing(crowding: float) -> float:
    """Return G(u) = (4/u) Σ_{k>=1} k e^(-k²/u): N - 1 times the bound on the net force at spacing 1/N.

    Book: chapter "Crowding", equation (even-spacing).

    Args:
        crowding: u = τN², above 0.
    """
    k = np.arange(1, int(30 * np.sqrt(crowding)) + 30)  # what is left out is below e^-900
    return float(4 / crowding * (k * np.exp(-(k**2) / crowding)).sum())


def least_repulsion(size: int, room: float, temperature: float) -> float:
    """Return the least L_sep that N prototypes in an interval of length S can have by counting cells.

    Book: chapter "Crowding", equation (least-repulsion).

    Args:
        size: N, at least 2.
        room: S > 0, in units of the input.
        temperature: τ > 0, in units of squared input.

    Returns:
        (N/n - 1) / (e (N - 1)) with n = ⌈S/√τ⌉ cells, or 0 where that is negative.
    """
    cells = np.ceil(room / np.sqrt(temperature))
    return float(max((size / cells - 1) / (np.e * (size - 1)), 0.0))


def room_needed(size: int, repulsion: float, temperature: float) -> float:
    """Return the length that N prototypes whose L_sep is at most ε must exceed, √τ (N / (1 + eε(N - 1)) - 1).

    Book: chapter "Crowding", equation (room).

    Args:
        size: N, at least 2.
        repulsion: ε >= 0.
        temperature: τ > 0, in units of squared input.
    """
    return float(np.sqrt(temperature) * (size / (1 + np.e * repulsion * (size - 1)) - 1))


def reach(resistance: ArrayLike, size: int, temperature: float, strength: float = 1.0) -> np.ndarray:
    """Return the distance beyond which separation's force between two prototypes is below a resistance.

    Book: chapter "Crowding", equation (reach).

    Args:
        resistance: F > 0, in units of loss per unit of input, shape (...).
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
        strength: λ > 0.

    Returns:
        The d >= √(τ/2) with λ f(d) = F, by Lambert's W on its branch -1, shape (...); NaN where F is above λ times
        the peak force, so that separation overcomes it at no distance.
    """
    level = np.asarray(resistance, float) * size * (size - 1) * np.sqrt(temperature) / (4 * strength)
    with np.errstate(invalid="ignore"):
        squared = -lambertw(np.where(2 * np.e * level**2 <= 1, -2 * level**2, np.nan), -1).real / 2
        return np.sqrt(temperature * squared)


def winning_strength(size: int, temperature: float, fit: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Return the λ above which separation's peak is beyond any force of the fit, N (N - 1) √τ |w_j a_j| √L_fit.

    Book: chapter "Crowding", equation (winning).

    Args:
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
        fit: L_fit, shape (...).
        weights: the product w_j a_j of a neuron, shape (...).

    Returns:
        Strengths, shape (...).
    """
    return size * (size - 1) * np.sqrt(temperature) * np.abs(weights) * np.sqrt(fit)


def even_spacing(crowdings: ArrayLike) -> pd.DataFrame:
    """Return the bound on the net force at even spacing, and its first term.

    Book: chapter "Crowding", equation (even-spacing).

    Args:
        crowdings: u = τN², above 0, shape (levels,).

    Returns:
        One row a level (the index, u): G(u); its first term.
    """
    u = np.asarray(crowdings, float)
    columns = {"G(u)": [force_at_even_spacing(level) for level in u], "its first term": 4 / u * np.exp(-1 / u)}
    return pd.DataFrame(columns, index=pd.Index(u, name="u"))


def least_found(size: int, temperature: float, starts: int = 5, seed: int = 0) -> float:
    """Return the lowest L_sep that is found for prototypes in [0, 1], from even and from random places, by L-BFGS-B.

    Args:
        size: N, at least 2.
        temperature: τ > 0, in units of squared input.
        starts: how many random places, besides the even ones.
        seed: theirs.
    """

    def repulsion(places: np.ndarray) -> tuple[float, np.ndarray]:
        distance = places[:, None] - places
        near = np.exp(-(distance**2) / temperature) / (size * (size - 1))
        return near.sum() - 1 / (size - 1), -4 * (distance * near).sum(1) / temperature

    random = np.random.default_rng(seed).uniform(0, 1, (starts, size))
    found = (
        minimize(repulsion, start, jac=True, bounds=[(0, 1)] * size, method="L-BFGS-B")
        for start in [np.linspace(0, 1, size), *random]
    )
    return min(float(result.fun) for result in found)


@cache
def tightness(size: int = 20, draws: int = 200) -> pd.DataFrame:
    """Return how far the proven bound on L_sep of prototypes in [0, 1] lies below the least that is found.

    Book: chapter "Crowding", section "Room".

    Args:
        size: N, at least 2.
        draws: how many random places the mean is of.

    Returns:
        One row a τN² (the index): the bound; least found; random, mean.
    """
    drawn = torch.from_numpy(np.random.default_rng(0).uniform(size=(draws, size)))
    temperatures = np.array(LEVELS) / size**2
    columns = {
        "the bound": [least_repulsion(size, 1.0, temperature) for temperature in temperatures],
        "least found": [least_found(size, temperature) for temperature in temperatures],
        "random, mean": [separation_loss(drawn, temperature).mean().item() for temperature in temperatures],
    }
    return pd.DataFrame(columns, index=pd.Index(LEVELS, name="τN²"))


def looseness(bounds: pd.DataFrame) -> pd.Series:
    """Return the least found over the bound, where the bound is above 0.

    Args:
        bounds: what `tightness` returned.
    """
    positive = bounds[bounds["the bound"] > 0]
    return positive["least found"] / positive["the bound"]


def reaches(resistances: Mapping[str, float], strengths: Sequence[float]) -> pd.DataFrame:
    """Return how far separation reaches against some resistances, in √τ: the same at any N and τ.

    Book: chapter "Crowding", section "Strength".

    Args:
        resistances: by name, each over the peak force at λ = 1.
        strengths: λ > 0.

    Returns:
        One row a strength (its text, the index) and a column a resistance; NaN where it is overcome at no distance.
    """
    against = peak_force(2, 1.0) * np.array(list(resistances.values()))
    rows = {f"{strength:g}": reach(against, 2, 1.0, strength) for strength in strengths}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(resistances)).rename_axis("λ")


def needed_and_taken(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the room that each run's middle half needs for the repulsion that it has, and the room that it takes.

    Book: chapter "Crowding", section "The room they take".

    Args:
        runs: one row a run, weights included.

    Returns:
        One row a run: temperature, needed, taken.
    """
    rows: list[dict[str, float]] = []
    for w, b, temperature in zip(runs["w"], runs["b"], runs["temperature"], strict=True):
        places = -b / w
        low, high = np.quantile(places, [0.25, 0.75])
        inner = np.sort(places[(places >= low) & (places <= high)])
        repulsion = separation_loss(torch.from_numpy(inner), temperature).item()
        needed = room_needed(len(inner), repulsion, temperature)
        rows.append({"temperature": temperature, "needed": needed, "taken": inner[-1] - inner[0]})
    return pd.DataFrame(rows)


def room_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the room that the middle half of prototypes needs and takes, medians over seeds.

    Book: chapter "Crowding", section "The room they take".

    Args:
        runs: runs of one size, weights included.

    Returns:
        One row a temperature (its text, the index, τ): N√τ; room needed (proven); room taken.
    """
    table = needed_and_taken(runs).groupby("temperature")[["needed", "taken"]].median()
    table.insert(0, "N√τ", runs["size"].iloc[0] * np.sqrt(table.index))
    table.index = pd.Index([f"{temperature:g}" for temperature in table.index], name="τ")
    return table.rename(columns={"needed": "room needed (proven)", "taken": "room taken"})


@cache
def longer(seeds: Sequence[int] = range(1000, 1008), steps: Sequence[int] = (2000, 8000)) -> pd.DataFrame:
    """Return the length of the middle half over N√τ of networks trained with separation alone, some of them longer.

    Book: chapter "Crowding", section "The room they take".

    Args:
        seeds: one network each; a tuple or a range.
        steps: of training; a tuple or a range.

    Returns:
        One row a size and temperature of `LONGER` (the index, N and τ): a column a number of steps, medians over seeds.
    """
    rows: dict[tuple[int, str], list[float]] = {}
    for size, temperature in LONGER:
        x, y, start = starting_batch(size, seeds)
        lengths: list[float] = []
        for number in steps:
            end = train(x, y, start, Settings("001", temperature=temperature, steps=number)).parameters
            middle = np.median(collapse.middle_length(-end.b / end.w))
            lengths.append(float(middle / (size * np.sqrt(temperature))))
        rows[size, f"{temperature:g}"] = lengths
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[f"{number} steps" for number in steps])
    return table.set_index(pd.MultiIndex.from_tuples(list(rows), names=["N", "τ"]))


def winning_strengths(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the λ beyond which separation's peak wins over the fit at τN² = 1, for the networks that Std ends with.

    Book: chapter "Crowding", section "What the strength changes".

    Args:
        runs: a temperature sweep, weights included; Std does not depend on the temperature, and its lowest is taken.

    Returns:
        One row a size (the index, N): typical neuron, most firmly held; medians over seeds.
    """
    ends = runs[(runs["mask"] == "000") & (runs["temperature"] == runs["temperature"].min())]
    rows: dict[int, dict[str, float]] = {}
    for (size,), group in groups_of(ends.sort_values("size", kind="stable"), "size"):
        columns = group["fit_mse"], group["w"], group["a"]
        needed = [winning_strength(size, size**-2.0, fit, w * a) for fit, w, a in zip(*columns, strict=True)]
        rows[size] = {
            "typical neuron": float(np.median([np.median(one) for one in needed])),
            "most firmly held": float(np.median([one.max() for one in needed])),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("N")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Crowding", by name.

    Args:
        data: the folder of the stored runs.
    """
    sweep, strong = (pd.read_parquet(data / f"{name}.parquet") for name in ("temperature", "strength"))
    return (
        {f"variants-{name}": f"{count}" for name, count in VARIANTS.items()}
        | {"even-force-at-a-tenth": f"{force_at_even_spacing(0.1):.1g}"}
        | {"looseness": words.span(looseness(tightness()), ".1f")}
        | _numbers_of_the_collapse(data, sweep)
        | _numbers_of_the_room(sweep)
        | _numbers_of_the_strength(strong, sweep)
    )


def _numbers_of_the_collapse(data: Path, sweep: pd.DataFrame) -> dict[str, str]:
    """Those of the sections "How good is the collapse?" and "Where it fails"."""
    quality = collapse.stored(data / "collapse.json")[1]
    found = {name: Interval(*quality.loc[name]) for name in quality.index}
    ours, theirs = collapse.ratios(collapse.grid(sweep)), collapse.independent(data / "independent.json")
    pairs, onsets = collapse.between_pairs(ours), pd.Series(collapse.onset(*ours), ours.sizes)
    return {
        "factor-on-crowding": f"{found['residual_2'].value:.2f}",
        "factor-on-temperature": f"{found['residual_0'].value:.1f}",
        "factor-of-all": f"{found['spread'].value:.1f}",
        "factor-of-seeds": f"{found['noise'].value:.2f}",
        "best-exponent": words.interval(found["best_exponent"], ".2f"),
        "growth-exponent": words.interval(found["growth_exponent"], ".3f"),
        "largest-factor-between-sizes": f"{collapse.between_sizes(collapse.at_levels(ours)).max():.1f}",
        "farthest-pair": f"{pairs.max():.2f}",
        "nearest-pair": f"{pairs.min():.2f}",
        "onset-of-hundred-over-ten": f"{onsets[100] / onsets[10]:.1f}",
        "independent-factor": f"{10 ** float(collapse.residual(*theirs, 2.0)):.2f}",
        "independent-best-exponent": f"{collapse.best_exponent(*theirs):.2f}",
        "independent-growth-exponent": f"{collapse.growth_exponent(*theirs):.2f}",
    }


def _numbers_of_the_room(sweep: pd.DataFrame) -> dict[str, str]:
    """Those of the section "The room they take"."""
    halves = collapse.middle_halves(sweep)
    taken = collapse.where_taken(collapse.room_taken(halves))
    return {
        "least-room": f"{taken.min():.2f}",
        "most-room": f"{taken.max():.2f}",
        "length-growth": words.interval(collapse.growth(halves), ".2f"),
    }


def _numbers_of_the_strength(strong: pd.DataFrame, sweep: pd.DataFrame) -> dict[str, str]:
    """Those of the section "What the strength changes"."""
    onsets = collapse.onsets_by_strength(collapse.by_strength(strong, sweep))
    added, strongest = collapse.added_by_strength(onsets), onsets[onsets.index >= 1]
    hundredfold, weak, winning = onsets.loc[1.0] / onsets.loc[100.0], onsets.loc[0.01], winning_strengths(sweep)
    weaker, nominal = onsets.loc[0.1], onsets.loc[1.0]
    return {
        "predicted-least": f"{np.log(10):.1f}",
        "predicted-most": f"{2 * np.log(10):.1f}",
        "steps-of-strength": f"{added.size}",
        "added-least": f"{added.min(axis=None):.2f}",
        "added-most": f"{added.max(axis=None):.2f}",
        "earliest-strong-onset": f"{strongest.min(axis=None):.1f}",
        "latest-strong-onset": f"{strongest.max(axis=None):.1f}",
        "hundredfold-at-ten": f"{hundredfold[10]:.2f}",
        "hundredfold-at-hundred": f"{hundredfold[100]:.2f}",
        "nominal-onset-at-ten": f"{nominal[10]:.2f}",
        "nominal-onset-at-hundred": f"{nominal[100]:.1f}",
        "weaker-onset-at-ten": f"{weaker[10]:.2f}",
        "weaker-onset-at-hundred": f"{weaker[100]:.1f}",
        "weak-onset-at-ten": f"{weak[10]:.0f}",
        "weak-onset-at-hundred": f"{weak[100]:.0f}",
        "typical-at-ten": f"{winning.loc[10, 'typical neuron']:.2f}",
        "typical-at-hundred": f"{winning.loc[100, 'typical neuron']:.2f}",
        "firmest-at-ten": f"{winning.loc[10, 'most firmly held']:.1f}",
        "firmest-at-hundred": f"{winning.loc[100, 'most firmly held']:.1f}",
    }
