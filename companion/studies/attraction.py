"""When an attractor balances a repulsion: forces that do not vanish at a distance, and the radius they hold within.

Then what the runs with each attractor show. A row of theirs is named by its label, such as "110 transport κ=10": the
mask, what pulls where its middle bit is on, and what helps it (`companion.core.settings.Settings.label`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from companion.core.checks import require_number, require_same_shape, require_shapes
from companion.core.data import TARGETS
from companion.core.losses import total_loss
from companion.core.metrics import position_error
from companion.core.network import Parameters, predict, prototypes
from companion.core.settings import MASK_LABELS, MASKS, Attractor, Settings
from companion.judging import beyond, paired
from companion.judging.baselines import ORACLE, baseline_summary
from companion.judging.chance import chance_level, chance_summary, split_error
from companion.judging.verdicts import Verdict
from companion.show import words
from companion.studies.carriers import fit_force_bound
from companion.studies.forces import coverage_force, fit_force, overlap_force
from companion.sweeps.runs import groups_of, stored_networks, summary

PEAK = 2 * math.sqrt(2 / math.e)
"""Twice the slope of exp(-z²) where it is steepest, 2 √(2/e): both repulsions are sums of such slopes."""


def matched_samples(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return x_π(j), the sample that transport matches with each prototype: the one of its rank.

    Book: chapter "A compatible attractor", equation (transport).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Samples, shape (..., neurons).

    Raises:
        ValueError: if shapes differ.
    """
    require_same_shape(x=x, prototypes=prototypes)
    ranks = prototypes.argsort(dim=-1, stable=True).argsort(dim=-1)
    return x.sort(dim=-1).values.gather(-1, ranks)


def transport_force(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Return the force of transport, (2/N) (x_π(j) - x̂_j): a spring to the matched sample.

    Book: chapter "A compatible attractor", equation (springs).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons) with neurons = samples.

    Returns:
        Force, positive to the right, shape (..., neurons).

    Raises:
        ValueError: if shapes differ.
    """
    return 2 * (matched_samples(x, prototypes) - prototypes) / prototypes.shape[-1]


def chamfer_force(x: torch.Tensor, prototypes: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the force of Chamfer: coverage's, and the mirror's (2/N) (m_j - x̂_j), m_j = Σ_i q_ji x_i.

    The weights q_ji are the softmax over the samples of -(x_i - x̂_j)²/τ.
    Book: chapter "A compatible attractor", equation (springs).

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
    towards = x.unsqueeze(-1) - prototypes.unsqueeze(-2)
    mirror = 2 * (torch.softmax(-(towards**2) / temperature, -2) * towards).sum(-2) / prototypes.shape[-1]
    return coverage_force(x, prototypes, temperature) + mirror


def attraction_floor(distance: float, neurons: int) -> float:
    """Return 2D/N: at D outside the samples' range, transport's and Chamfer's pull is at least that.

    Book: chapter "A compatible attractor", equation (floor).

    Args:
        distance: D >= 0, from the samples' range.
        neurons: N, at least 1.
    """
    return 2 * distance / neurons


def overlap_ceiling(w: torch.Tensor) -> torch.Tensor:
    """Return 2 √(2/e) |w_j| / N, which overlap's force on a prototype does not exceed anywhere.

    Book: chapter "A compatible attractor", equation (ceilings).

    Args:
        w: input weights, shape (..., neurons).
    """
    return PEAK * w.abs() / w.shape[-1]


def separation_ceiling(neurons: int, temperature: float) -> float:
    """Return 2 √(2/e) / (N √τ), which separation's force on a prototype does not exceed anywhere.

    Book: chapter "A compatible attractor", equation (ceilings).

    Args:
        neurons: N, at least 1.
        temperature: τ > 0.
    """
    return PEAK / (neurons * math.sqrt(temperature))


def radius(
    x: torch.Tensor, y: torch.Tensor, parameters: Parameters, settings: Settings, repulsion: float = 1.0
) -> torch.Tensor:
    """Return R_j, the distance within which transport or Chamfer holds a prototype wherever its forces balance.

    Book: chapter "A compatible attractor", equation (radius): the sum of `repulsive_radius` and `fit_radius`.

    Args:
        x, y: training data, shape (..., samples).
        parameters: w, b, a of shape (..., neurons), c of shape (...); neurons = samples.
        settings: whose λ > 0, κ > 0, τ and mask are taken; its first and last bits say which repulsions push.
        repulsion: ρ >= 0.

    Returns:
        Radii, shape (..., neurons), in units of the input.

    Raises:
        ValueError: if λ or κ is 0, ρ is below 0, or shapes do not fit.
    """
    return repulsive_radius(parameters.w, settings, repulsion) + fit_radius(x, y, parameters, settings)


def repulsive_radius(w: torch.Tensor, settings: Settings, repulsion: float = 1.0) -> torch.Tensor:
    """Return the part of R_j that the repulsions ask for, that of the structural forces alone.

    Book: chapter "A compatible attractor", equation (radius).

    Args:
        w: input weights, shape (..., neurons).
        settings, repulsion: as in `radius`.

    Returns:
        Radii, shape (..., neurons), in units of the input.

    Raises:
        ValueError: if κ is 0 or ρ is below 0.
    """
    switches, neurons = MASKS[settings.mask], w.shape[-1]
    push = torch.zeros_like(w)
    if switches.overlap:
        push = push + overlap_ceiling(w)
    if switches.separation:
        push = push + separation_ceiling(neurons, settings.temperature)
    repulsion, balance = require_number("repulsion", repulsion), settings.balance
    return repulsion * push * neurons / (2 * require_number("balance", balance, positive=True))


def fit_radius(x: torch.Tensor, y: torch.Tensor, parameters: Parameters, settings: Settings) -> torch.Tensor:
    """Return the part of R_j that the fit's force asks for.

    Book: chapter "A compatible attractor", equation (radius).

    Args and Raises: those of `radius`.

    Returns:
        Radii, shape (..., neurons), in units of the input.
    """
    require_same_shape(x=x, w=parameters.w)
    strength, balance = (
        require_number(name, getattr(settings, name), positive=True) for name in ("strength", "balance")
    )
    return fit_force_bound(x, y, parameters) * parameters.w.shape[-1] / (2 * strength * balance)


def balance_for(distance: float, weight: float) -> float:
    """Return κ = √(2/e) W / δ, which holds every prototype with |w_j| <= W within δ of the data against overlap alone.

    Book: chapter "A compatible attractor", equation (enough).

    Args:
        distance: δ > 0, in units of the input.
        weight: W > 0.
    """
    distance = require_number("distance", distance, positive=True)
    return PEAK / 2 * require_number("weight", weight, positive=True) / distance


def grid_error(parameters: Parameters, points: int = 1001, target: str = "sine") -> torch.Tensor:
    """Return the mean squared error of networks on an even grid of [0, 1], where they were not trained.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        parameters: w, b, a of shape (..., neurons), c of shape (...).
        points: of the grid, both ends included.
        target: a name in `companion.core.data.TARGETS`.

    Returns:
        Error a network, shape (...).
    """
    grid = torch.linspace(0, 1, points, dtype=parameters.w.dtype, device=parameters.w.device)
    x = grid.expand(*parameters.w.shape[:-1], -1)
    return ((predict(x, *parameters) - TARGETS[target](x)) ** 2).mean(-1)


# --- the runs ---

E = "reconstruction_error"
REPULSIONS = {"no repulsion": "010", "separation": "011", "overlap": "110", "separation and overlap": "111"}
"""What pushes beside an attractor, and the mask of both."""
ALONE = {mask: f"{mask[0]}0{mask[2]}" for mask in REPULSIONS.values()}
"""Each of these masks without its attractor."""
REMEDIES = {
    "": "κ = 1",
    " κ=10": "κ = 10",
    " κ=100": "κ = 100",
    " annealed": "annealed",
    " κ=10 annealed": "κ = 10, annealed",
}
"""What follows "transport" in a label, at equal strength and with what removes the rest, and how pictures name it."""
GENERALISING = (*Attractor, "transport κ=10", "transport κ=10 annealed")
"""What follows the mask in the labels whose networks are compared between the training points."""
EDGE = 10.0
"""The largest initial weight."""
NEAR = 0.1
"""A distance to bring prototypes within, in units of the input."""
OF_THE_RUNS = ("strength", "temperature", "steps", "engine", "dtype", "learning_rate", "target")
"""Columns that say how the runs were made."""

VARIANTS = {"springs": 9, "ceilings": 9, "balance": 10, "minimum": 8}
"""How many false variants of each proposition its test in `tests/test_attraction.py` rejects."""

Panels = dict[str, tuple[str, pd.DataFrame]]
"""Panels as `companion.show.charts.against` takes them."""


@cache
def stored_runs(data: Path) -> pd.DataFrame:
    """Return the experiment's runs with their labels, the networks, and the fit's root mean squared error as `rmse`.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        data: the folder of the stored runs.
    """
    runs = beyond.labelled_runs(data.parent, [*beyond.COLUMNS, *OF_THE_RUNS, *Parameters._fields, "x", "y"])
    return runs.assign(rmse=np.sqrt(runs["fit_mse"]))


@cache
def stored_strengths(data: Path) -> pd.DataFrame:
    """Return the runs with transport at strengths other than 1, without their networks.

    Args:
        data: the folder of the stored runs.
    """
    return pd.read_parquet(data / "attractors-strength.parquet", columns=["mask", "size", "seed", E, *OF_THE_RUNS])


def medians(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric's medians over seeds, a row a label and a column a size.

    Args:
        runs: one row a run, with labels.
        metric: a column, such as "specialization_ratio".
    """
    return runs.pivot_table(index="label", columns="size", values=metric, aggfunc="median")


def chance_medians(runs: pd.DataFrame) -> pd.Series:
    """Return chance's median E by size, for the seeds of some runs."""
    return chance_summary(runs).set_index("size")["median"]


def by_attractor(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `medians` in the order of repulsions and attractors.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        table: what `medians` returned.

    Returns:
        One row a repulsion and attractor, "none" the first (the index); a column "N = …" a size.
    """
    labels = {
        (name, attractor): ALONE[mask] if attractor == "none" else f"{mask} {attractor}"
        for name, mask in REPULSIONS.items()
        for attractor in ("none", *Attractor)
    }
    rows = table.loc[list(labels.values())].set_axis(
        pd.MultiIndex.from_tuples(labels, names=["repulsion", "attractor"])
    )
    return _by_size(rows)


def error_table(errors: pd.DataFrame, chance: pd.Series) -> pd.DataFrame:
    """Return the medians of E as text, chance below them: three decimals, or four below 0.01.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        errors: what `medians` returned of E.
        chance: what `chance_medians` returned.

    Returns:
        The rows and columns of `by_attractor`, and a row of chance.
    """
    table = by_attractor(errors)
    table.loc[("–", "chance"), :] = chance.to_numpy()
    return table.map(lambda value: f"{value:.3f}" if value >= 0.01 else f"{value:.4f}")


def attractor_panels(runs: pd.DataFrame) -> Panels:
    """Return median E against N with each attractor and without any, beside chance, a panel a repulsion.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        runs: one row a run, with labels.
    """
    named = {
        name: {ALONE[mask]: "no attractor"} | {f"{mask} {one}": str(one) for one in Attractor}
        for name, mask in REPULSIONS.items()
    }
    return _panels(runs, named)


def remedy_panels(runs: pd.DataFrame) -> Panels:
    """Return median E against N of transport, at equal strength and with each remedy, beside two baselines.

    Book: chapter "A compatible attractor", section "What is left, and what removes it".

    Args:
        runs: one row a run, with labels.
    """
    pushed = {name: mask for name, mask in REPULSIONS.items() if mask in beyond.BESIDE.values()}
    named = {
        name: {f"{mask} transport{kind}": text for kind, text in REMEDIES.items()} for name, mask in pushed.items()
    }
    return _panels(runs, named)


def _panels(runs: pd.DataFrame, named: Mapping[str, Mapping[str, str]]) -> Panels:
    """Panels of E against N by their titles: the labels given, under the names given, chance and no training."""
    columns = {"median": "value", "size": "x"}
    labels = {label for curves in named.values() for label in curves}
    errors = summary(runs[runs["label"].isin(labels)], E, ("label", "size")).rename(columns=columns)
    levels = baseline_summary(runs, names=("untrained", ORACLE)).rename(columns={**columns, "level": "curve"})
    levels["curve"] = levels["curve"].replace(ORACLE, "chance")
    return {
        title: (
            "N",
            pd.concat(
                [*(errors[errors["label"] == label].assign(curve=name) for label, name in curves.items()), levels]
            )[["x", "value", "low", "high", "curve"]],
        )
        for title, curves in named.items()
    }


def _by_size(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns, sizes, are named for readers."""
    return table.rename(columns=lambda size: f"N = {size}").rename_axis(columns=None)


# --- the strength ---


def by_strength(strengths: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median E of transport at each strength that attractor and repulsions share.

    Book: chapter "A compatible attractor", section "The strength".

    Args:
        strengths: runs with transport at strengths other than 1.
        runs: runs with labels; those with transport at strength 1 are taken, of the same seeds.

    Returns:
        One row a mask, size and strength: mask, size, strength, median.
    """
    keys = ["mask", "size", "strength"]
    at_one = runs["label"].isin([f"{mask} transport" for mask in REPULSIONS.values()])
    nominal = runs[at_one & runs["seed"].isin(strengths["seed"])]
    both = pd.concat([strengths[[*keys, E]], nominal[[*keys, E]]])
    return both.groupby(keys)[E].median().rename("median").reset_index()


def strength_panels(table: pd.DataFrame) -> Panels:
    """Return median E of transport against the strength, a panel a repulsion.

    Book: chapter "A compatible attractor", section "The strength".

    Args:
        table: what `by_strength` returned.
    """
    curves = [f"N = {size}" for size in table["size"]]
    drawn = table.assign(x=table["strength"], value=table["median"], curve=curves, low=np.nan, high=np.nan)
    columns = ["x", "value", "low", "high", "curve"]
    return {name: ("strength λ", drawn.loc[drawn["mask"] == mask, columns]) for name, mask in REPULSIONS.items()}


def best_strength(table: pd.DataFrame, chance: pd.Series) -> pd.Series:
    """Return by size the lowest median E that any strength gives overlap with transport, over chance's.

    Args:
        table: what `by_strength` returned.
        chance: what `chance_medians` returned.
    """
    return table[table["mask"] == "110"].groupby("size")["median"].min() / chance


# --- what is left, and the remedies ---


def left_over(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how far prototypes are from their own samples beside overlap and transport, and what their forces ask for.

    Book: chapter "A compatible attractor", section "What is left, and what removes it".

    Args:
        runs: one row a run, with labels and networks.

    Returns:
        One row a remedy and size (the index, "transport" and N), of all prototypes of its runs: the medians of the
        distance to its sample, of N/(2κ) times the other forces ("by the forces") and of R; the share within R; the
        medians of |w| and of overlap's push over its ceiling.
    """
    found = {
        (kind.strip() or "κ=1", size): _left_over(group)
        for kind in REMEDIES
        for (size,), group in groups_of(runs[runs["label"] == f"110 transport{kind}"].sort_values("size"), "size")
    }
    return pd.DataFrame(found).T.rename_axis(["transport", "N"])


def _left_over(runs: pd.DataFrame) -> dict[str, float]:
    """One row of `left_over`, of the runs of one label and size."""
    x, y, network = stored_networks(runs)
    settings, size = Settings("110", balance=runs["balance"].iloc[0]), x.shape[-1]
    repulsion = 1 / runs["steps"].iloc[0] if runs["anneal"].iloc[0] else 1.0  # of the last step
    at = prototypes(network.w, network.b)
    own = (matched_samples(x, at) - at).abs()
    push = overlap_force(x, network.w, network.b)
    others = (fit_force(x, y, network) + repulsion * push).abs()
    bound = radius(x, y, network, settings, repulsion)
    return {
        "to its sample": float(own.median()),
        "by the forces": float((size * others / (2 * settings.balance)).median()),
        "R": float(bound.median()),
        "within R": float((own <= bound).double().mean()),
        "median |w|": float(network.w.abs().median()),
        "push over its ceiling": float((push.abs() / overlap_ceiling(network.w)).median()),
    }


class Unfinished(NamedTuple):
    """How far from a stationary point some runs ended: medians over them."""

    loss: float
    gradient: float
    """The norm of the whole loss' gradient by w, b, a and c."""


def unfinished(runs: pd.DataFrame, label: str = "110 transport") -> pd.DataFrame:
    """Return the loss and its gradient's norm where the runs of one label ended, a row a size (the index, N).

    Book: chapter "A compatible attractor", section "What is left, and what removes it".

    Args:
        runs: one row a run, with labels and networks.
        label: of runs without annealing.
    """
    found = {}
    for (size,), group in groups_of(runs[runs["label"] == label].sort_values("size"), "size"):
        x, y, network = stored_networks(group)
        row = group.iloc[0]
        settings = Settings(row["mask"], row["attractor"], balance=row["balance"])
        leaves = Parameters(*(value.clone().requires_grad_() for value in network))
        loss = total_loss(x, y, leaves, settings)
        slopes = torch.autograd.grad(loss.sum(), leaves)
        norms = torch.stack([slope.reshape(len(group), -1).square().sum(-1) for slope in slopes]).sum(0).sqrt()
        found[size] = Unfinished(float(loss.detach().median()), float(norms.median()))._asdict()
    return pd.DataFrame(found).T.rename_axis("N")


def two_errors(runs: pd.DataFrame, label: str = "110 transport") -> pd.DataFrame:
    """Return E of one label beside its two parts, each beside chance, and how many runs are nearer than chance.

    The position error is that of its own best matching, prototypes and samples both sorted; the value error, the mean
    |y_i - f(x̂_π(i))|, that of E's matching. A run's chance is the mean over the draws of its seed.
    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        runs: one row a run, with labels and networks.
        label: whose runs.

    Returns:
        One row a size (the index, N): medians of E, the position error and the value error, with chance's after each;
        runs with E below chance, and with the position error below chance.
    """
    found = {}
    for (size,), group in groups_of(runs[runs["label"] == label].sort_values("size"), "size"):
        x, y, network = stored_networks(group)
        at, seeds = prototypes(network.w, network.b), group["seed"].tolist()
        own = np.asarray(position_error(x, at))
        value = np.asarray(split_error(x, y, at, predict(at, *network)).value)
        whole = group[E].to_numpy()
        by_chance, of_value = (chance_level(size, seeds, metric=name).mean(1) for name in (E, "value_error"))
        of_position = chance_level(size, seeds, metric="position_error").mean(axis=1)
        found[size] = {
            "E": np.median(whole),
            "E, chance": np.median(by_chance),
            "position": np.median(own),
            "position, chance": np.median(of_position),
            "value": np.median(value),
            "value, chance": np.median(of_value),
            "runs with E below chance": (whole < by_chance).sum(),
            "runs with position below chance": (own < of_position).sum(),
        }
    return pd.DataFrame(found).T.rename_axis("N")


def parts_table(parts: pd.DataFrame) -> pd.DataFrame:
    """Return the parts of E as text, a row a quantity and a column a size.

    Book: chapter "A compatible attractor", section "The experiment".

    Args:
        parts: what `two_errors` returned.
    """
    runs = parts.columns.str.startswith("runs")
    texts = pd.concat([parts.loc[:, ~runs].map("{:.3f}".format), parts.loc[:, runs].map("{:.0f}".format)], axis=1)
    return _by_size(texts.T)


def falls(left: pd.DataFrame) -> pd.DataFrame:
    """Return p of distance ∝ κ^-p between one balance and ten times that, a row a pair and a column a size.

    Book: chapter "A compatible attractor", section "What is left, and what removes it".

    Args:
        left: what `left_over` returned.
    """
    distance = left["to its sample"].unstack("N")
    pairs = (("κ=1", "κ=10"), ("κ=10", "κ=100"))
    return pd.DataFrame({f"{a} to {b}": np.log10(distance.loc[a] / distance.loc[b]) for a, b in pairs}).T


def over_chance(errors: pd.DataFrame, chance: pd.Series) -> pd.DataFrame:
    """Return the median E of transport over chance's, without and with each remedy.

    Book: chapter "A compatible attractor", section "What is left, and what removes it".

    Args:
        errors: what `medians` returned of E.
        chance: what `chance_medians` returned.

    Returns:
        One row a repulsion (its mask's label) and remedy (the index); a column "N = …" a size.
    """
    rows = {
        (MASK_LABELS[alone], kind.strip() or "κ=1"): errors.loc[f"{beside} transport{kind}"] / chance
        for alone, beside in beyond.BESIDE.items()
        for kind in REMEDIES
    }
    return _by_size(pd.DataFrame(rows).T.rename_axis(["repulsion", "transport"]))


def outcomes(verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """Return what came out of each case, a row a case and a column a statement that an attractor is compatible.

    Book: chapter "A compatible attractor", section "The verdicts".

    Args:
        verdicts: what `companion.judging.beyond.judge_beyond` returned.
    """
    asked = {key: verdicts[key] for key, claim in beyond.BEYOND.items() if claim.rule is beyond.is_compatible}
    return pd.DataFrame(
        {
            key: {case.name: verdict.outcome(number) for number, case in enumerate(verdict.cases)}
            for key, verdict in asked.items()
        }
    ).rename_axis("case")


# --- between the training points ---


def grid_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every network's error on a grid of [0, 1], without an attractor and with those that are compared.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        runs: one row a run, with labels and networks; every label and size with the same seeds.

    Returns:
        One row a label and size (the index), a column a seed: the mean squared error.
    """
    compared = [*ALONE.values(), *(f"{mask} {kind}" for mask in REPULSIONS.values() for kind in GENERALISING)]
    found = {
        key: pd.Series(grid_error(stored_networks(group)[2]).numpy(), index=group["seed"])
        for key, group in groups_of(runs[runs["label"].isin(compared)], "label", "size")
    }
    return pd.DataFrame(found).T.rename_axis(["label", "size"])


def grid_ratios(grid: pd.DataFrame) -> pd.DataFrame:
    """Return by how much the error on the grid differs from that without an attractor, seed by seed.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        grid: what `grid_errors` returned.

    Returns:
        One row a repulsion, attractor and size: repulsion, attractor, size, value (the typical ratio: the exponential
        of the median difference of the logarithms), low and high (the ends of its 95 % interval).
    """
    logs: dict[tuple[str, int], np.ndarray] = dict(zip(grid.index, np.log(grid.to_numpy()), strict=True))
    rows = []
    for (name, mask), kind in product(REPULSIONS.items(), GENERALISING):
        for size in [size for label, size in logs if label == f"{mask} {kind}"]:
            found = paired.median_difference(logs[f"{mask} {kind}", size], logs[ALONE[mask], size])
            rows.append((name, kind, size, *map(math.exp, found)))
    return pd.DataFrame(rows, columns=["repulsion", "attractor", "size", *paired.Interval._fields])


def ratio_table(ratios: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios with their intervals as text, a row a repulsion and attractor and a column a size.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        ratios: what `grid_ratios` returned.
    """
    found = (paired.Interval(*row) for row in ratios[["value", "low", "high"]].to_numpy())
    texts = ratios.assign(text=[words.interval(one, ".2f") for one in found])
    return _by_size(texts.set_index(["repulsion", "attractor", "size"])["text"].unstack("size", sort=False))


def grid_table(grid: pd.DataFrame) -> pd.DataFrame:
    """Return the roots of the median errors on the grid, a row a repulsion and attractor and a column a size.

    Book: chapter "A compatible attractor", section "Does it generalise differently?".

    Args:
        grid: what `grid_errors` returned.
    """
    roots, rows = grid.median(axis=1).pow(0.5).unstack("size"), {}
    for name, mask in REPULSIONS.items():
        labels = {"none": ALONE[mask], **{kind: f"{mask} {kind}" for kind in GENERALISING}}
        rows |= {(name, kind): roots.loc[label] for kind, label in labels.items() if label in roots.index}
    return _by_size(pd.DataFrame(rows).T.rename_axis(["repulsion", "attractor"]))


class Sides(NamedTuple):
    """Sizes at which an interval of a ratio lies wholly below 1, and wholly above."""

    better: list[int]
    worse: list[int]


def clear_sides(ratios: pd.DataFrame, repulsion: str, attractor: str) -> Sides:
    """Return at which sizes an attractor's error on the grid is clearly lower, and clearly higher, than without it.

    Args:
        ratios: what `grid_ratios` returned.
        repulsion, attractor: which rows of it.
    """
    rows = ratios[(ratios["repulsion"] == repulsion) & (ratios["attractor"] == attractor)]
    return Sides(rows.loc[rows["high"] < 1, "size"].tolist(), rows.loc[rows["low"] > 1, "size"].tolist())


# --- the chapter's numbers ---


class Results(NamedTuple):
    """What the chapter's sentences are about; each is what the function of its name, or the one given, returns."""

    errors: pd.DataFrame
    """`medians` of E."""
    special: pd.DataFrame
    """`medians` of the specialization ratio."""
    chance: pd.Series
    """`chance_medians`."""
    by_strength: pd.DataFrame
    left: pd.DataFrame
    """`left_over`."""
    verdicts: dict[str, Verdict]
    """`companion.judging.beyond.judge_beyond`."""
    ratios: pd.DataFrame
    """`grid_ratios`."""
    roots: pd.DataFrame
    """`grid_table`."""
    parts: pd.DataFrame
    """`two_errors`."""
    unfinished: pd.DataFrame


@cache
def results(data: Path) -> Results:
    """Return what the chapter's sentences are about, of the stored runs.

    Args:
        data: the folder of the stored runs.
    """
    runs = stored_runs(data)
    grid = grid_errors(runs)
    return Results(
        medians(runs, E),
        medians(runs, "specialization_ratio"),
        chance_medians(runs),
        by_strength(stored_strengths(data), runs),
        left_over(runs),
        beyond.judge_beyond(data.parent),
        grid_ratios(grid),
        grid_table(grid),
        two_errors(runs),
        unfinished(runs),
    )


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "A compatible attractor", by name.

    Args:
        data: the folder of the stored runs.
    """
    found = results(data)
    return {
        **_of_errors(found),
        **_of_the_parts(found),
        **_of_what_is_left(found),
        **_of_verdicts(found),
        **_of_the_grid(found),
        **{f"variants-{name}": f"{count}" for name, count in VARIANTS.items()},
    }


def _of_the_parts(found: Results) -> dict[str, str]:
    parts, small = found.parts, found.parts.loc[[3, 5, 10]]
    return {
        "position-nearer": words.listed([f"{count:.0f}" for count in small["runs with position below chance"]]),
        "whole-nearer": words.listed([f"{count:.0f}" for count in small["runs with E below chance"]]),
        "position-smallest": f"{parts.loc[3, 'position']:.2f}",
        "position-chance-smallest": f"{parts.loc[3, 'position, chance']:.2f}",
        "value-smallest": f"{parts.loc[3, 'value']:.2f}",
        "value-chance-smallest": f"{parts.loc[3, 'value, chance']:.2f}",
        "position-largest": f"{parts.loc[100, 'position']:.3f}",
        "position-chance-largest": f"{parts.loc[100, 'position, chance']:.3f}",
        "position-nearer-largest": words.listed(
            [f"{count:.0f}" for count in parts["runs with position below chance"].loc[[20, 50, 100]]]
        ),
    }


def _of_errors(found: Results) -> dict[str, str]:
    errors, special, chance = found.errors, found.special, found.chance
    least, most = chance.index[0], chance.index[-1]
    equal, tenfold, both = (f"110 transport{kind}" for kind in ("", " κ=10", " κ=10 annealed"))
    return {
        "chance-largest": f"{chance[most]:.2f}",
        "overlap-largest": f"{errors.loc['100', most]:.2f}",
        "overlap-smallest": f"{errors.loc['100', least]:.2f}",
        "overlap-special": f"{special.loc['100', most]:.2f}",
        "coverage-largest": f"{errors.loc['110 coverage', most]:.2f}",
        "chamfer-largest": f"{errors.loc['110 chamfer', most]:.2f}",
        "chamfer-times-chance": f"{errors.loc['110 chamfer', most] / chance[most]:.0f}",
        "chamfer-smallest": f"{errors.loc['110 chamfer', least]:.2f}",
        "transport-largest": f"{errors.loc[equal, most]:.2f}",
        "transport-smallest": f"{errors.loc[equal, least]:.2f}",
        "transport-above-chance": f"{(errors.loc[equal] > chance).sum()}",
        "sizes": f"{len(chance)}",
        "tenfold-largest": f"{errors.loc[tenfold, most]:.3f}",
        "both-largest": f"{errors.loc[both, most]:.4f}",
        "both-special": f"{special.loc[both, most]:.2f}",
        "unpushed-errors": words.span(errors.T["010 transport"], ".4f"),
        "unpushed-special": f"{special.loc['010 transport', most]:.2f}",
        "std-errors": words.span(errors.T["000"], ".2f"),
        "std-special": f"{special.loc['000', most]:.2f}",
        "best-strength-times-chance": words.span(best_strength(found.by_strength, chance), ".1f"),
        "enough-balance": f"{balance_for(NEAR, EDGE):.0f}",
    }


def _of_what_is_left(found: Results) -> dict[str, str]:
    held = found.left.drop(index=["annealed", "κ=10 annealed"], level="transport")
    distance, forces, weight = (
        found.left.xs(found.chance.index[-1], level="N")[name]
        for name in ("to its sample", "by the forces", "median |w|")
    )
    return {
        "forces-over-distance": words.span(held["by the forces"].div(held["to its sample"]), ".2f"),
        "distance-equal": f"{distance['κ=1']:.3f}",
        "distance-tenfold": f"{distance['κ=10']:.3f}",
        "distance-hundredfold": f"{distance['κ=100']:.4f}",
        "within-radius": words.span(held["within R"], ".1%"),
        "push-over-ceiling": words.span(held["push over its ceiling"], ".0%"),
        "weight-equal": f"{weight['κ=1']:.1f}",
        "weight-tenfold": f"{weight['κ=10']:.1f}",
        "weight-hundredfold": f"{weight['κ=100']:.1f}",
        "distance-annealed": f"{distance['annealed']:.4f}",
        "fall-largest": words.listed([f"{power:.2f}" for power in falls(found.left)[found.chance.index[-1]]]),
        "falls": words.span(falls(found.left).to_numpy().ravel(), ".2f"),
        "unfinished-losses": words.span(found.unfinished["loss"], ".3f"),
        "unfinished-gradients": words.span(found.unfinished["gradient"], ".1g"),
        "annealed-times-forces": f"{distance['annealed'] / forces['annealed']:.0f}",
    }


def _of_verdicts(found: Results) -> dict[str, str]:
    tenfold, own = found.verdicts["B3"], found.verdicts["C10t"]
    return {
        "equal-supported": f"{found.verdicts['B2'].supported.sum()}",
        "tenfold-supported": f"{tenfold.supported.sum()}",
        "tenfold-cases": f"{len(tenfold.cases)}",
        "own-rule-supported": f"{own.supported.sum()}",
        "own-rule-cases": f"{len(own.cases)}",
    }


def _of_the_grid(found: Results) -> dict[str, str]:
    def sizes(at: Iterable[int]) -> str:
        return ", ".join(map(str, at))

    unpushed = clear_sides(found.ratios, "no repulsion", "transport")
    coverage, equal, tenfold, both = (
        clear_sides(found.ratios, "overlap", kind)
        for kind in ("coverage", "transport", "transport κ=10", "transport κ=10 annealed")
    )
    roots = found.roots.iloc[:, -1].loc["no repulsion"]
    return {
        "grid-unpushed-better": sizes(unpushed.better),
        "grid-unpushed-worse": sizes(unpushed.worse),
        "grid-coverage-better": sizes(coverage.better),
        "grid-coverage-worse": sizes(coverage.worse),
        "grid-equal-worse": sizes(equal.worse),
        "grid-tenfold-better": sizes(tenfold.better),
        "grid-tenfold-worse": sizes(tenfold.worse),
        "grid-both-better": sizes(both.better),
        "grid-both-worse": sizes(both.worse),
        "grid-std-root": f"{roots['none']:.4f}",
        "grid-transport-root": f"{roots['transport']:.4f}",
    }
