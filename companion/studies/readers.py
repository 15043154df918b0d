"""What "Weights that remember" shows of the stored readings: who is nearer, what decay leaves, and two checks.

`python -m companion.studies.readers`, from the book's folder, makes `data/memory-starts.parquet` and
`data/memory-loss.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from companion.core.data import fresh_samples, sample_task
from companion.core.losses import fit_loss
from companion.core.metrics import position_error
from companion.core.network import Parameters, initial_parameters, predict, starting_batch
from companion.core.settings import Settings
from companion.core.train import BETAS, EPSILON, train
from companion.judging.chance import chance_level
from companion.judging.paired import holm
from companion.show.words import at_sizes, p_value, span
from companion.studies.memory import FRESH, NETWORKS, Case, medians, search_of
from companion.studies.stationarity import (
    METHODS,
    SINGULAR,
    TRAINING_EVALUATIONS,
    Search,
    Stationary,
    attempts,
    condition_rank,
    distinct_neurons,
    multipliers,
    other_samples,
    reconstruct,
    smaller,
    stationarity_residual,
    train_to_stationarity,
)
from companion.sweeps.runs import groups_of, write_runs
from companion.version import library_versions

Task = tuple[str, str]
"""A network and its reader, as `companion.studies.memory.TASKS` has them."""
TRANSPORT: Task = ("transport", "prototypes")
TRANSPORT_DECAYED: Task = ("transport, decayed", "prototypes")
STD_DECAYED: Task = ("Std, decayed", "prototypes")
KKT: Task = ("Std, decayed", "KKT")
KKT_BY_GRADIENT: Task = ("Std, decayed", "KKT by gradient")
TARGET: Task = ("Std, decayed", "KKT, target known")
CHANCE: Task = ("none", "chance")
EVEN: Task = ("none", "evenly spread")
DRAWS = 200
"""Draws a seed whose mean is chance in the second comparison."""
MANY_DRAWS: Task = ("none", f"chance, mean of {DRAWS} draws")
SHOWN: dict[str, Task] = {
    "transport: prototypes": TRANSPORT,
    "transport, decayed: prototypes": TRANSPORT_DECAYED,
    "Std, decayed: KKT": KKT,
    "Std, decayed: KKT, target known": TARGET,
    "Std, decayed: prototypes": STD_DECAYED,
    "chance": MANY_DRAWS,
}
"""The curves of the chapter's first panel, by their names."""
RECOVERED = SHOWN | {"chance": CHANCE}
"""Those of the second: of many draws no share is kept."""
ATTACKS: dict[str, Task] = {
    "transport": TRANSPORT,
    "coverage": ("coverage", "prototypes"),
    "Std": ("Std", "prototypes"),
    "Std, decayed: KKT": KKT,
    "Std, decayed: KKT, target known": TARGET,
}
"""The curves of the membership figure's first panel, by their names."""
LOSS = "loss"
"""The attack by |f(x) - y|, in a reader's place."""
VARIANTS = {"count": 8, "scale": 9}
"""How many false variants of each proposition its test in `tests/test_memory.py` rejects."""
STEADY = 1e-8
"""Gradient norm below which a training counts as ended at a stationary point."""
DECAY = 1e-4
"""μ of the comparison; the other values in `data/memory.parquet` were trained to count neurons."""
KNOWN = ((2, 2, 3), (2, 4, 3), (2, 4, 4), (2, 2, 1), (5, 5, 3))
"""Samples, neurons and seed of networks that were read while the method was made."""
STARTS, STARTS_SIZES = (4, 20, 50, 100, 200), (3, 5)
"""Starts of the check added after the results, and its N."""
RBF = "RBF, centres at the data"
BY_LOSS = ("Std", "coverage", "transport", RBF)
"""The networks whose losses are asked which points they were trained on."""
FOUND = 1e-5
"""Residual below which a search counts as having found a solution."""


class Known(NamedTuple):
    """A network at its stationary point, with the data that made it."""

    x: torch.Tensor
    y: torch.Tensor
    found: Stationary


@cache
def known_network(samples: int, neurons: int, seed: int) -> Known:
    """Return a network of the book's task, trained to its stationary point at the comparison's μ."""
    x, y = sample_task(samples, seed)
    return Known(x, y, train_to_stationarity(x, y, initial_parameters(neurons, seed), DECAY))


def known_samples() -> pd.DataFrame:
    """Return how well both searches give back the samples of the networks in `KNOWN`.

    Book: chapter "Weights that remember", section "What a stationary point gives away".

    Returns:
        One row a network, index N: neurons, seed, and as text gradient, rank, the largest error of each search and the
        residual of the second.
    """
    rows = []
    for samples, neurons, seed in KNOWN:
        x, y, found = known_network(samples, neurons, seed)
        rank = condition_rank(found.parameters, x, multipliers(found.parameters, x, y, DECAY))
        row = {"N": samples, "neurons": neurons, "seed": seed, "gradient": f"{found.gradient_norm:.0e}"}
        row["rank"] = f"{rank} of {2 * samples}"
        for method in METHODS:
            candidates = reconstruct(found.parameters, samples, Search(5, seed, method))
            error = np.abs(np.sort(candidates.x) - np.sort(x.numpy())).max()
            row |= {f"largest error, {method}": f"{error:.0e}", "residual": f"{candidates.residual:.0e}"}
        rows.append({**{name: value for name, value in row.items() if name != "residual"}, "residual": row["residual"]})
    return pd.DataFrame(rows).set_index("N")


def left_by_decay(stored: pd.DataFrame) -> pd.DataFrame:
    """Return what each μ leaves of Std.

    Book: chapter "Weights that remember", section "How many samples can be told".

    Args:
        stored: `data/memory.parquet`.

    Returns:
        One row a μ and N (the index, μ as text): medians of the distinct neurons K and of the rank, the share of
        networks whose rank is 2N, the share with a gradient below `STEADY`, the largest gradient as text, the unknowns.
    """
    read = stored[(stored["network"] == STD_DECAYED[0]) & (stored["reader"] == STD_DECAYED[1])]
    rows = {
        (f"{decay:g}", size): {
            "distinct neurons K": group["distinct"].median(),
            "rank": group["rank"].median(),
            "rank is 2N, share": (group["rank"] >= 2 * size).mean(),
            "gradient below 1e-8, share": (group["gradient_norm"] < STEADY).mean(),
            "largest gradient": f"{group['gradient_norm'].max():.0e}",
            "unknowns": 2 * size,
        }
        for (decay, size), group in groups_of(read.sort_values(["decay", "size"]), "decay", "size")
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["μ", "N"])


def short_of_equations(stored: pd.DataFrame) -> tuple[float, float]:
    """Return the shares of decayed Std's networks with 3K + 1 < 2N, and with a rank below 2N.

    Args:
        stored: rows at one decay.
    """
    read = stored[(stored["network"] == STD_DECAYED[0]) & (stored["reader"] == STD_DECAYED[1])]
    unknowns = 2 * read["size"]
    return float((3 * read["distinct"] + 1 < unknowns).mean()), float((read["rank"] < unknowns).mean())


def others_of_one_network() -> pd.DataFrame:
    """Return sets of five inputs that make the weights of one network: the training inputs and others.

    Book: chapter "Weights that remember", section "How many samples can be told".

    Returns:
        One row a set: its inputs in order ("1" … "5") and what it leaves of the weights, as text.
    """
    x, y, found = known_network(*KNOWN[-1])
    weights = multipliers(found.parameters, x, y, DECAY)
    sets = {"training inputs": (x.numpy(), float(np.linalg.norm(stationarity_residual(found.parameters, x, weights))))}
    for step in (0.02, 0.04):
        others = other_samples(found.parameters, x, weights, step)
        sets[f"others, step {step:g}"] = (others.x, others.residual)
    candidates = reconstruct(found.parameters, len(x), Search(5, KNOWN[-1][2]))
    sets["KKT"] = (candidates.x, candidates.residual)
    rows = {
        name: {**{str(at): value for at, value in enumerate(np.sort(values), 1)}, "residual": f"{left:.0e}"}
        for name, (values, left) in sets.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("samples")


def at(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Return a task's medians by size.

    Args:
        table: of `companion.studies.memory.medians`.
        task: the network and its reader.
    """
    return table[(table["network"] == task[0]) & (table["reader"] == task[1])].set_index("size")


def not_stationary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how far from stationary transport's trainings with decay end, and where their prototypes are.

    Book: chapter "Weights that remember", section "With transport".

    Args:
        runs: rows at one decay.

    Returns:
        One row a size: median and largest gradient as text, the share below `STEADY`, and three position errors.
    """
    read = runs[(runs["network"] == TRANSPORT_DECAYED[0]) & (runs["reader"] == TRANSPORT_DECAYED[1])]
    gradient, position = read.groupby("size")["gradient_norm"], medians(runs, "position_error")
    table = pd.DataFrame(
        {
            "gradient, median": gradient.median().map("{:.0e}".format),
            "gradient, largest": gradient.max().map("{:.0e}".format),
            "below 1e-8, share": gradient.agg(lambda norms: (norms < STEADY).mean()),
        }
    )
    for name, task in (
        ("transport, position error", TRANSPORT),
        ("transport, decayed, position error", TRANSPORT_DECAYED),
        ("Std, decayed, position error", STD_DECAYED),
    ):
        table[name] = at(position, task)["value"]
    return table.rename_axis("N")


def curves(table: pd.DataFrame, tasks: Mapping[str, Task]) -> pd.DataFrame:
    """Return values with intervals as the rows of a picture: size, curve, value, low, high.

    Args:
        table: one row a network, reader and size: value, low, high, as of `companion.studies.memory.medians`.
        tasks: what to draw, by the curves' names.
    """
    parts = [at(table, task).reset_index().assign(curve=name) for name, task in tasks.items()]
    return pd.concat(parts)[["size", "curve", "value", "low", "high"]]


def recovered_exactly(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean share recovered within 0.001, as `medians` returns its values; without intervals."""
    means = runs.groupby(["network", "reader", "size"], sort=False)["recovered_exactly"].mean()
    return means.rename("value").reset_index().assign(low=np.nan, high=np.nan)


def wide(runs: pd.DataFrame, column: str, how: str) -> pd.DataFrame:
    """Return a statistic of a column, a row a task and a column a size.

    Args:
        runs: rows at one decay.
        column: such as "recovered".
        how: "mean" or "median".
    """
    table = runs.groupby(["network", "reader", "size"], sort=False)[column].agg(how).unstack("size")
    return table.rename(columns=lambda size: f"N = {size}")


def residuals(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median residuals of the reconstructions as text, a row a task and a column a size."""
    return wide(runs, "residual", "median").dropna().map("{:.0e}".format)


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians with their intervals as text, a row a task and a column a size.

    Args:
        table: of `companion.studies.memory.medians`.
    """
    text = [f"{value:.2g} [{low:.2g}, {high:.2g}]" for value, low, high in table[["value", "low", "high"]].to_numpy()]
    named = table.assign(text=text).set_index(["network", "reader", "size"])["text"].unstack("size", sort=False)
    return named.rename(columns=lambda size: f"N = {size}")


def pairs_at_sizes(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return which of each pair is nearer, a row a pair and a column a size.

    Args:
        verdicts: of `companion.studies.memory.compared`.
    """

    def name(task: Task) -> str:
        return ": ".join(task).replace("none: ", "")

    pairs = [f"{name(a)} / {name(b)}" for a, b in zip(verdicts["first"], verdicts["second"], strict=True)]
    table = verdicts.assign(pair=pairs).set_index(["pair", "size"])["nearer"].unstack("size", sort=False)
    return table.rename(columns=lambda size: f"N = {size}").rename_axis("first / second")


def nearer_at(verdicts: pd.DataFrame, first: Task, second: Task, who: str = "first") -> list[int]:
    """Return the sizes at which one of a pair is nearer.

    Args:
        verdicts: of `companion.studies.memory.compared`.
        first, second: a pair of `companion.studies.memory.PAIRS`.
        who: "first", "second" or "neither".
    """
    rows = verdicts[(verdicts["first"] == first) & (verdicts["second"] == second) & (verdicts["nearer"] == who)]
    return rows["size"].tolist()


def steady_medians(runs: pd.DataFrame) -> pd.Series:
    """Return by size the reconstruction's median position error over the trainings that ended at a stationary point."""
    steady = runs[(runs["network"] == KKT[0]) & (runs["reader"] == KKT[1]) & (runs["gradient_norm"] < STEADY)]
    return steady.groupby("size")["position_error"].median()


def open_to_attack(runs: pd.DataFrame) -> dict[str, list[int]]:
    """Return the sizes at which each task's networks are open to the membership attack, by the rule.

    Args:
        runs: rows at one decay.

    Returns:
        Sizes by "network, reader", of those that are open anywhere, in the order in which they first are.
    """
    auc = medians(runs, "membership")
    opened = auc[auc["low"] > 0.5]
    return {f"{key[0]}, {key[1]}": group["size"].tolist() for key, group in groups_of(opened, "network", "reader")}


def more_starts(size: int, seeds: Iterable[int]) -> pd.DataFrame:
    """Let KKT, without the target and with it, search from up to `STARTS[-1]` starts.

    Book: chapter "Weights that remember", section "A check added after the results: more starts".

    Args:
        size: N.
        seeds: those of the comparison.

    Returns:
        One row a seed, reader and number of starts, of which the first are those of fewer: size, seed, reader, starts,
        position_error, residual (of the candidates that leave least), rank (of the conditions at the samples).
    """
    seeds, rows = list(seeds), []
    x, y, initial = starting_batch(size, seeds)
    batch = train(x, y, initial, Settings("000")).parameters
    for place, seed in enumerate(seeds):
        start = Parameters(*(value[place] for value in batch))
        network = train_to_stationarity(x[place], y[place], start, DECAY).parameters
        rank = condition_rank(network, x[place], multipliers(network, x[place], y[place], DECAY))
        for reader in (KKT[1], TARGET[1]):
            tried = list(attempts(network, size, search_of(reader, Case(size, seed, network, DECAY), STARTS[-1])))
            for starts in STARTS:
                best = min(tried[:starts], key=lambda found: found.residual)
                error = float(position_error(x[place], best.x))
                rows.append((size, seed, reader, starts, error, best.residual, rank))
    return pd.DataFrame(rows, columns=["size", "seed", "reader", "starts", "position_error", "residual", "rank"])


def centred(x: torch.Tensor, y: torch.Tensor, initial: Parameters, settings: Settings = Settings("000")) -> Parameters:
    """Train an RBF network with its centres at the data: the book's network with b_j = -w_j x_j held.

    Adam on w, a and c alone, with the steps and the step size of `settings`; -b/w are the training inputs at any w.
    Book: chapter "Weights that remember", section "Whose points?".

    Args:
        x, y: training data, shape (..., samples).
        initial: w, a of shape (..., samples), c of shape (...); b is not used.
        settings: whose steps and step size are taken.

    Returns:
        The trained parameters, of the shapes of `initial`.
    """
    w, a, c = (value.detach().clone().requires_grad_() for value in (initial.w, initial.a, initial.c))
    optimizer = torch.optim.Adam([w, a, c], lr=settings.step_size, betas=BETAS, eps=EPSILON)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        fit_loss(predict(x, w, -w * x, a, c), y).sum().backward()
        optimizer.step()
    return Parameters(*(value.detach() for value in (w, -w * x, a, c)))


def by_loss(size: int, seeds: Iterable[int]) -> pd.DataFrame:
    """Return what the networks' losses tell of membership, those of an RBF network with its centres at the data too.

    Book: chapter "Weights that remember", section "Whose points?".

    Args:
        size: N.
        seeds: those of the comparison.

    Returns:
        One row a seed and network of `BY_LOSS`: size, seed, network, loss_membership (the AUC by |f(x) - y|), rmse
        (of the fit).
    """
    seeds, rows = list(seeds), []
    x, y, initial = starting_batch(size, seeds)
    trained = {
        name: train(x, y, initial, NETWORKS[name].settings).parameters if name in NETWORKS else centred(x, y, initial)
        for name in BY_LOSS
    }
    for (name, batch), (place, seed) in product(trained.items(), enumerate(seeds)):
        network = Parameters(*(value[place] for value in batch))
        others_x, others_y = (value.flatten() for value in fresh_samples(size, seed, FRESH))
        own, others = (
            (predict(points, *network) - values).abs().numpy()
            for points, values in ((x[place], y[place]), (others_x, others_y))
        )
        rows.append((size, seed, name, smaller(own, others), float(np.sqrt((own**2).mean()))))
    return pd.DataFrame(rows, columns=["size", "seed", "network", "loss_membership", "rmse"])


@cache
def stored_readings(data: Path) -> pd.DataFrame:
    """Return `data/memory.parquet`."""
    return pd.read_parquet(data / "memory.parquet")


def at_one_decay(stored: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the comparison; at the other μ networks were trained only to count their neurons."""
    return stored[stored["decay"] == DECAY]


@cache
def stored_starts(data: Path) -> pd.DataFrame:
    """Return `data/memory-starts.parquet`."""
    return pd.read_parquet(data / "memory-starts.parquet")


@cache
def stored_losses(data: Path) -> pd.DataFrame:
    """Return `data/memory-loss.parquet`."""
    return pd.read_parquet(data / "memory-loss.parquet")


def starts_table(data: Path) -> pd.DataFrame:
    """Return what more starts find, a row a reader, N and rank of the conditions.

    Book: chapter "Weights that remember", section "A check added after the results: more starts".

    Args:
        data: the folder of the stored readings.

    Returns:
        Index reader, N, rank ("2N" or "below 2N"); the number of networks; for the fewest and the most starts and those
        between the median position error; for the fewest and the most the share with a residual below `FOUND`.
    """
    more, rows = stored_starts(data), {}
    named = more.assign(rank=np.where(more["rank"] == 2 * more["size"], "2N", "below 2N"))
    for key, group in groups_of(named, "reader", "size", "rank"):
        by = group.groupby("starts")
        row: dict[str, float] = {"networks": group["seed"].nunique()}
        row |= {f"error, {count} starts": error for count, error in by["position_error"].median().items()}
        found = by["residual"].agg(lambda left: (left < FOUND).mean())
        rows[key] = row | {f"found, {count} starts": found[count] for count in (STARTS[0], STARTS[-1])}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["reader", "N", "rank"]).sort_index()


def starts_of(data: Path, task: Task, size: int) -> pd.DataFrame:
    """Return one reader's position errors and residuals at one N, a row a seed and a column a number of starts.

    Args:
        data: the folder of the stored readings.
        task: `KKT` or `TARGET`.
        size: one of `STARTS_SIZES`.

    Returns:
        Columns ("position_error" or "residual", starts) and ("rank", the fewest starts).
    """
    more = stored_starts(data)
    here = more[(more["reader"] == task[1]) & (more["size"] == size)]
    return here.pivot(index="seed", columns="starts", values=["position_error", "residual", "rank"])


def chance_of_many_draws(runs: pd.DataFrame, draws: int = DRAWS) -> pd.DataFrame:
    """Return chance's position error as the mean over many draws of a seed, as rows of `runs`.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        runs: rows at one decay, whose sizes and seeds are taken.
        draws: random sets of points a seed; the comparison's own rule takes the first alone.
    """
    rows = [
        {"network": MANY_DRAWS[0], "reader": MANY_DRAWS[1], "size": size, "seed": seed, "position_error": level.mean()}
        for size in sorted(runs["size"].unique())
        for seed, level in zip(
            seeds_of(runs), chance_level(size, seeds_of(runs), draws, metric="position_error"), strict=True
        )
    ]
    return pd.DataFrame(rows)


def seeds_of(runs: pd.DataFrame) -> list[int]:
    """Return the seeds of some runs, ascending."""
    return sorted(runs["seed"].unique().tolist())


def against_draws(runs: pd.DataFrame) -> pd.DataFrame:
    """Return in how many seeds the reconstructions are nearer than the mean of many draws, with sign tests.

    Book: chapter "Weights that remember", section "The comparison".

    Args:
        runs: rows at one decay.

    Returns:
        One row a reader and N (the index): seeds that are nearer, of all, and p of the one-sided sign test, corrected
        by Holm's method over the sizes.
    """
    chance = chance_of_many_draws(runs).set_index(["size", "seed"])["position_error"]
    rows = {}
    for network, reader in (KKT, TARGET, EVEN):
        own = runs[(runs["network"] == network) & (runs["reader"] == reader)].set_index(["size", "seed"])
        nearer = (own["position_error"] < chance).groupby("size").agg(["sum", "count"])
        p = holm([float(binomtest(int(k), int(n), alternative="greater").pvalue) for k, n in nearer.to_numpy()])
        for place, (size, (k, n)) in enumerate(nearer.iterrows()):
            rows[reader, size] = {"nearer": int(k), "of": int(n), "p (Holm)": float(p[place])}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["reader", "N"])


def against_draws_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `against_draws` as text, a row a reader and a column a size."""
    table = against_draws(runs)
    texts = [
        f"{nearer:.0f} of {of:.0f}, p {'' if p < 0.001 else '= '}{p_value(p)}" for nearer, of, p in table.to_numpy()
    ]
    wide_ = pd.Series(texts, index=table.index).unstack("N", sort=False)
    return wide_.rename(columns=lambda size: f"N = {size}").rename_axis(columns=None)


def beating_draws(runs: pd.DataFrame, reader: str) -> list[int]:
    """Return the sizes at which a reader is nearer than the mean of many draws by the corrected sign test at 0.05."""
    table = against_draws(runs).loc[reader]
    return table.index[table["p (Holm)"] < 0.05].tolist()


def loss_attacks(losses: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of the AUC by |f(x) - y|, as `companion.studies.memory.medians` returns its values.

    Book: chapter "Weights that remember", section "Whose points?".

    Args:
        losses: `data/memory-loss.parquet`.
    """
    return medians(losses.assign(reader=LOSS), "loss_membership")


def attack_panels(member: pd.DataFrame, losses: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the AUC of both attacks, a panel each, as `companion.show.charts.readers` takes them.

    Book: chapter "Weights that remember", section "Whose points?".

    Args:
        member: medians of the AUC by the nearest candidate.
        losses: what `loss_attacks` returned.
    """
    return {
        "by the nearest candidate, AUC, median": curves(member, ATTACKS),
        "by the loss |f(x) - y|, AUC, median": curves(losses, {name: (name, LOSS) for name in reversed(BY_LOSS)}),
    }


def rmse_of_losses(losses: pd.DataFrame) -> pd.DataFrame:
    """Return the median root mean squared error of the fit, a row a network and a column a size."""
    table = losses.groupby(["network", "size"], sort=False)["rmse"].median().unstack("size")
    return table.rename(columns=lambda size: f"N = {size}")


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Weights that remember", by name.

    Args:
        data: the folder of the stored readings.
    """
    stored = stored_readings(data)
    runs = at_one_decay(stored)
    position, member = medians(runs, "position_error"), medians(runs, "membership")
    short, below = short_of_equations(runs)
    left = left_by_decay(stored).loc[f"{DECAY:g}"]
    seeds, sizes = sorted(runs["seed"].unique()), sorted(runs["size"].unique())
    found, versions = known_network(*KNOWN[-1]).found.parameters, stored.attrs["versions"]
    kkt = at(position, KKT)["value"]
    x, y, _ = known_network(*KNOWN[-1])
    opened = "; ".join(
        f"{name}, at N = {', '.join(map(str, at_these))}" for name, at_these in open_to_attack(runs).items()
    )
    return {
        "sizes": f"{sizes[0]} to {sizes[-1]}",
        "seeds": f"{len(seeds)}",
        "seed-range": f"{seeds[0]}–{seeds[-1]}",
        "decay": f"{DECAY:g}",
        "starts": f"{runs['starts'].iloc[0]}",
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("torch", "numpy", "scipy")),
        "transport-error": span(at(position, TRANSPORT)["value"], ".2g"),
        "transport-auc": span(at(member, TRANSPORT)["value"], ".2g"),
        "kkt-error": span(kkt, ".2g"),
        "kkt-gradient-error": span(at(position, KKT_BY_GRADIENT)["value"], ".2g"),
        "kkt-steady-error": span(steady_medians(runs), ".2g"),
        "rank-short": f"{below:.0%}",
        "count-short": f"{short:.0%}",
        "distinct": span(left["distinct neurons K"], ".2g"),
        "rank": span(left["rank"], ".2g"),
        "unknowns": span(left["unknowns"], "d"),
        "told-smallest": f"{left['rank is 2N, share'].iloc[0]:.0%}",
        "told-largest": f"{left['rank is 2N, share'].iloc[-1]:.0%}",
        "steady-at-ten": f"{left['gradient below 1e-8, share'].loc[10]:.0%}",
        "singular": f"{SINGULAR:g}",
        "evaluations": f"{TRAINING_EVALUATIONS}",
        "example-distinct": f"{distinct_neurons(found)}",
        "example-rank": f"{condition_rank(found, x, multipliers(found, x, y, DECAY))}",
        "auc-intervals": f"{len(member)}",
        "open": opened,
        **_of_chance(runs),
        **_of_starts(data, runs),
        **_of_losses(data),
        **{f"variants-{name}": f"{count}" for name, count in VARIANTS.items()},
    }


def _of_chance(runs: pd.DataFrame) -> dict[str, str]:
    table = against_draws(runs)
    many = chance_of_many_draws(runs).groupby("size")["position_error"].median()

    def nearer(reader: str) -> str:
        return ", ".join(f"{count:.0f}" for count in table["nearer"].xs(reader))

    def at_these(reader: str) -> str:
        return at_sizes([("at", size) for size in beating_draws(runs, reader)]).removeprefix("at at ")

    return {
        "draws": f"{DRAWS}",
        "draws-error": span(many, ".2g"),
        "kkt-nearer-draws": nearer(KKT[1]),
        "kkt-beats-draws": at_these(KKT[1]),
        "target-nearer-draws": nearer(TARGET[1]),
        "target-beats-draws": at_these(TARGET[1]),
        "even-nearer-draws": nearer(EVEN[1]),
    }


def _of_starts(data: Path, runs: pd.DataFrame) -> dict[str, str]:
    table = starts_table(data)
    five, known = starts_of(data, KKT, 5), starts_of(data, TARGET, 3)
    few, most = STARTS[0], STARTS[-1]
    told = table.loc[[(KKT[1], 5, "2N")]].iloc[0]
    unknown = table.loc[KKT[1]].xs("below 2N", level="rank")
    own = runs[(runs["network"] == TRANSPORT[0]) & (runs["size"] == 3)].set_index("seed")["position_error"]
    target = known["position_error"][most]
    return {
        "starts-most": f"{most}",
        "starts-one-four": f"{five.loc[4003, ('position_error', few)]:.2g}",
        "starts-one-most": f"{five.loc[4003, ('position_error', most)]:.2g}",
        "starts-told": f"{told['networks']:.0f}",
        "starts-told-four": f"{told[f'error, {few} starts']:.2g}",
        "starts-told-most": f"{told[f'error, {most} starts']:.2g}",
        "starts-untold": span(unknown["networks"], ".0f"),
        "starts-untold-four": span(unknown[f"error, {few} starts"], ".2g"),
        "starts-untold-most": span(unknown[f"error, {most} starts"], ".2g"),
        "starts-untold-found": span(unknown[f"found, {most} starts"], ".0%"),
        "starts-found-by-four": f"{(known['residual'][few] < FOUND).sum()}",
        "starts-found-by-most": f"{(known['residual'][most] < FOUND).sum()}",
        "starts-error-four": f"{known['position_error'][few].median():.2g}",
        "starts-error-most": f"{target.median():.1g}",
        "starts-nearer": f"{(target < own).sum()} of {len(target)}",
    }


def _of_losses(data: Path) -> dict[str, str]:
    losses = stored_losses(data)
    auc = losses.groupby(["network", "size"])["loss_membership"].median()
    return {
        f"loss-{name}": ", ".join(f"{value:.2f}" for value in auc[network])
        for name, network in (("std", "Std"), ("coverage", "coverage"), ("transport", "transport"), ("rbf", RBF))
    }


def write_checks(root: Path = Path()) -> None:
    """Write `data/memory-starts.parquet` and `data/memory-loss.parquet`.

    Args:
        root: the book's folder.
    """
    torch.set_num_threads(1)
    stored = at_one_decay(stored_readings(root / "data"))
    seeds, sizes = (sorted(stored[name].unique().tolist()) for name in ("seed", "size"))
    for name, check, of in (("starts", more_starts, STARTS_SIZES), ("loss", by_loss, sizes)):
        table = pd.concat([check(size, seeds) for size in of], ignore_index=True)
        table.attrs["versions"] = library_versions()
        write_runs(table, root / f"data/memory-{name}.parquet")


if __name__ == "__main__":
    write_checks()
