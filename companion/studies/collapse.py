"""How well one curve in τN² holds all sizes: definitions (committed before they were computed), and intervals.

`python -m companion.studies.collapse` writes what the stored temperature sweep shows of it into `data/collapse.json`.
"""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from companion.judging.paired import Interval
from companion.show import words
from companion.sweeps.runs import RESAMPLES
from companion.sweeps.store import write_whole

ROOT = Path(__file__).parents[2]

EXPONENTS = np.linspace(0, 4, 401)
"""Exponents p of u = τN^p among which the best one is looked for."""
CROWDED = 10.0
"""τN² from which on the growth exponent is measured."""
ONSET = 2.0
"""Ratio of median E to Std's that counts as the onset of crowding."""


LEVELS = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""τN² at which sizes are compared."""
TAKEN = (10.0, 1000.0)
"""τN² between which the chapter says how much room prototypes take, the ends included."""
QUALITY = {
    "spread": "spread of all y, as a factor",
    "residual_0": "10^R(0): temperature alone",
    "residual_1": "10^R(1)",
    "residual_2": "10^R(2): τN²",
    "noise": "10^R(2) that the seeds alone make",
    "best_exponent": "exponent with the least R",
    "growth_exponent": "growth exponent γ",
}
"""What is stored of the quality of the collapse, as a table names it."""
PANELS = ("median E over Std's", "expelled fraction minus Std's")
"""Titles of the picture of the collapse."""
ROOM_PANELS = ("length of the middle half", "the same over N√τ")
"""Titles of the picture of the room."""


class Grid(NamedTuple):
    """A temperature sweep as arrays: sizes (S,), temperatures (T,) ascending, values (2, S, T, seeds).

    The first dimension of `values` is the mask, 000 and 001.
    """

    sizes: np.ndarray
    temperatures: np.ndarray
    values: np.ndarray


class Ratios(NamedTuple):
    """Curves of separation alone against Std: y of `log_ratio`, shape (S, T), with sizes (S,) and temperatures (T,)."""

    y: np.ndarray
    sizes: np.ndarray
    temperatures: np.ndarray


def grid(runs: pd.DataFrame, metric: str = "reconstruction_error") -> Grid:
    """Return one metric of masks 000 and 001 by size, temperature and seed.

    Args:
        runs: one row a run: mask, size, temperature, seed and the metric.
        metric: a column.

    Raises:
        ValueError: if a run of the grid is missing.
    """
    table = runs.pivot(index=["mask", "size", "temperature"], columns="seed", values=metric).sort_index()
    sizes, temperatures = (np.sort(runs[name].unique()) for name in ("size", "temperature"))
    shape = (2, len(sizes), len(temperatures), table.shape[1])
    if set(runs["mask"]) != {"000", "001"} or table.size != np.prod(shape) or table.isna().any(axis=None):
        raise ValueError(f"runs: {table.notna().sum().sum()} were given; allowed are those of a whole grid {shape}")
    return Grid(sizes, temperatures, table.to_numpy().reshape(shape))


def log_ratio(errors: np.ndarray) -> np.ndarray:
    """Return y = log10(median E of 001 / median E of 000), the medians over the last dimension.

    Book: chapter "Crowding", equation (ratio).

    Args:
        errors: shape (2, ..., seeds), masks 000 and 001.

    Returns:
        Shape (...).
    """
    std, separated = np.median(errors, axis=-1)
    return np.log10(separated / std)


def ratios(errors: Grid) -> Ratios:
    """Return the curves of a temperature sweep."""
    return Ratios(log_ratio(errors.values), errors.sizes, errors.temperatures)


def differences(sizes: ArrayLike, temperatures: ArrayLike, exponent: float) -> np.ndarray:
    """Return the matrix that takes all curves' y to their differences at equal u = τN^p.

    A row is one ordered pair of sizes (A, B) and one point of A within B's range of u: y of A there, minus y of B
    interpolated linearly in log10 u.
    Book: chapter "Crowding", equation (residual).

    Args:
        sizes: N, shape (S,).
        temperatures: τ, ascending, shape (T,).
        exponent: p.

    Returns:
        Shape (rows, S T), for y flattened from shape (S, T).
    """
    sizes, heat = np.asarray(sizes, float), np.log10(temperatures)
    places = heat + exponent * np.log10(sizes)[:, None]
    rows = []
    for a, b in np.argwhere(~np.eye(len(sizes), dtype=bool)):
        # Ends that differ by rounding count as equal.
        shared = (places[a] >= places[b, 0] - 1e-9) & (places[a] <= places[b, -1] + 1e-9)
        row = np.zeros((shared.sum(), *places.shape))
        row[:, a] += np.eye(len(heat))[shared]
        row[:, b] -= np.stack([np.interp(places[a, shared], places[b], unit) for unit in np.eye(len(heat))], axis=-1)
        rows.append(row.reshape(len(row), places.size))
    return np.concatenate(rows)


def residual(y: ArrayLike, sizes: ArrayLike, temperatures: ArrayLike, exponent: float) -> np.ndarray:
    """Return R(p), the root mean square of the curves' differences at equal u = τN^p [bhattacharjee2001].

    Book: chapter "Crowding", equation (residual).

    Args:
        y: shape (..., S, T).
        sizes: N, shape (S,).
        temperatures: τ, ascending, shape (T,).
        exponent: p.

    Returns:
        R in decades of the ratio, shape (...); NaN where no two curves share any u.
    """
    matrix = differences(sizes, temperatures, exponent)
    y = np.asarray(y, float)
    if not len(matrix):
        return np.full(y.shape[:-2], np.nan)
    return np.sqrt(((y.reshape(*y.shape[:-2], -1) @ matrix.T) ** 2).mean(-1))


def best_exponent(y: ArrayLike, sizes: ArrayLike, temperatures: ArrayLike) -> np.ndarray:
    """Return the exponent among `EXPONENTS` that has the least residual; arguments as in `residual`, shape (...).

    Book: chapter "Crowding", section "How good is the collapse?".
    """
    found = [residual(y, sizes, temperatures, exponent) for exponent in EXPONENTS]
    return EXPONENTS[np.nanargmin(found, axis=0)]


def growth_exponent(y: ArrayLike, sizes: ArrayLike, temperatures: ArrayLike) -> np.ndarray:
    """Return the slope of y against log10 τN² where τN² >= `CROWDED`: least squares, one slope, an intercept a size.

    Book: chapter "Crowding", equation (growth).

    Args:
        y: shape (..., S, T).
        sizes: N, shape (S,).
        temperatures: τ, ascending, shape (T,).

    Returns:
        Shape (...): ½ says that the ratio grows like N√τ.
    """
    y = np.asarray(y, float)
    places = np.log10(temperatures) + 2 * np.log10(np.asarray(sizes, float))[:, None]
    crowded = places >= np.log10(CROWDED) - 1e-9
    count = np.maximum(crowded.sum(-1, keepdims=True), 1)
    centred = np.where(crowded, places - (places * crowded).sum(-1, keepdims=True) / count, 0.0)
    return (y * centred).sum((-2, -1)) / (centred**2).sum()


def onset(y: ArrayLike, sizes: ArrayLike, temperatures: ArrayLike) -> np.ndarray:
    """Return the least τN² at which each curve reaches `ONSET` times Std, interpolated linearly in log10 τN².

    Book: chapter "Crowding", section "Where it fails".

    Args:
        y: shape (..., S, T).
        sizes: N, shape (S,).
        temperatures: τ, ascending, shape (T,).

    Returns:
        Shape (..., S): NaN for a curve that never gets there, 0 for one that starts there.
    """
    y, level = np.asarray(y, float), np.log10(ONSET)
    places = np.log10(temperatures) + 2 * np.log10(np.asarray(sizes, float))[:, None]
    above = y >= level
    after = above.argmax(-1)[..., None]
    before = np.maximum(after - 1, 0)
    ends = [
        np.take_along_axis(values, index, -1)[..., 0] for values in (y, places + 0 * y) for index in (before, after)
    ]
    y_before, y_after, u_before, u_after = ends
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = 10 ** (u_before + (level - y_before) / (y_after - y_before) * (u_after - u_before))
    return np.where(above[..., 0], 0.0, np.where(above.any(-1), crossing, np.nan))


def resampled(errors: np.ndarray) -> np.ndarray:
    """Return y of resamples of the seeds, each drawn for all masks, sizes and temperatures together.

    Book: chapter "Crowding", section "How good is the collapse?".

    Args:
        errors: shape (2, ..., seeds).

    Returns:
        Shape (RESAMPLES, ...).
    """
    seeds = errors.shape[-1]
    drawn = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    return np.stack([log_ratio(errors[..., picked]) for picked in drawn])


def interval(value: np.ndarray | float, resamples: np.ndarray) -> Interval:
    """Return a number with its 95 % percentile interval over resamples, shape (RESAMPLES,)."""
    low, high = np.percentile(resamples, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def at_crowding(y: ArrayLike, sizes: ArrayLike, temperatures: ArrayLike, crowding: float) -> np.ndarray:
    """Return each curve's y at one u = τN², interpolated linearly in log10 u.

    Book: chapter "Crowding", section "Where it fails".

    Args:
        y: shape (S, T).
        sizes: N, shape (S,).
        temperatures: τ, ascending, shape (T,).
        crowding: u.

    Returns:
        Shape (S,): NaN for a curve that does not reach u.
    """
    places = np.log10(temperatures) + 2 * np.log10(np.asarray(sizes, float))[:, None]
    at = np.log10(crowding)
    return np.array(
        [
            np.interp(at, place, row) if place[0] - 1e-9 <= at <= place[-1] + 1e-9 else np.nan
            for place, row in zip(places, np.asarray(y, float), strict=True)
        ]
    )


def at_levels(curves: Ratios) -> pd.DataFrame:
    """Return the ratio of median E to Std's at equal τN², those of `LEVELS`.

    Book: chapter "Crowding", section "Where it fails".

    Returns:
        A row a size (the index, N) and a column a level, named by it: "0.1"; NaN beyond the sweep.
    """
    columns = {f"{level:g}": 10 ** at_crowding(*curves, level) for level in LEVELS}
    return pd.DataFrame(columns, index=pd.Index(curves.sizes, name="N"))


def between_sizes(levels: pd.DataFrame) -> pd.Series:
    """Return the largest factor between two sizes at each level from τN² = 1 on.

    Args:
        levels: what `at_levels` returned.
    """
    return (levels.max() / levels.min()).drop("0.1")


def between_pairs(curves: Ratios) -> pd.Series:
    """Return 10^R(2) of every two sizes, by the pair: how far they typically are apart at equal τN².

    Book: chapter "Crowding", section "Where it fails".
    """
    y, sizes, temperatures = curves
    pairs = list(combinations(range(len(sizes)), 2))
    found = [10 ** float(residual(y[list(pair)], sizes[list(pair)], temperatures, 2.0)) for pair in pairs]
    return pd.Series(found, index=pd.MultiIndex.from_tuples([(int(sizes[i]), int(sizes[k])) for i, k in pairs]))


def factors(curves: Ratios, exponents: ArrayLike) -> pd.DataFrame:
    """Return the typical factor between sizes at equal u = τN^p, 10^R(p).

    Book: chapter "Crowding", section "How good is the collapse?".

    Args:
        curves: of all sizes.
        exponents: p, shape (exponents,).

    Returns:
        One row an exponent (the index); the column "10^R(p)".
    """
    exponents = np.asarray(exponents, float)
    return pd.DataFrame({"10^R(p)": [10 ** float(residual(*curves, p)) for p in exponents]}, index=exponents)


def onsets(errors: Grid) -> list[Interval]:
    """Return the onset of each size with its 95 % interval, by resampling the seeds.

    Book: chapter "Crowding", section "Where it fails".
    """
    axes = errors.sizes, errors.temperatures
    again = onset(resampled(errors.values), *axes)
    return [interval(*found) for found in zip(onset(*ratios(errors)), again.T, strict=True)]


def growth(errors: Grid) -> Interval:
    """Return the growth exponent with its 95 % interval, by resampling the seeds.

    Book: chapter "Crowding", equation (growth).
    """
    again = growth_exponent(resampled(errors.values), errors.sizes, errors.temperatures)
    return interval(growth_exponent(*ratios(errors)), again)


def independent(path: str | Path) -> Ratios:
    """Return the curves of the independent implementation, of medians that it published.

    Args:
        path: of `independent.json`.
    """
    cells = pd.DataFrame(json.loads(Path(path).read_text(encoding="utf-8"))["tau_sweep"])
    separated, std = ([cell["median"] for cell in cells[name]] for name in ("reconstruction_error", "std_error"))
    table = cells.assign(y=np.log10(np.divide(separated, std))).pivot(index="N", columns="tau", values="y")
    return Ratios(table.to_numpy(), table.index.to_numpy(), table.columns.to_numpy(float))


def middle_halves(runs: pd.DataFrame) -> Grid:
    """Return the length of the middle half of each run's prototypes, between the quartiles.

    Book: chapter "Crowding", section "The room they take".

    Args:
        runs: masks 000 and 001 at several sizes and temperatures, weights included.
    """
    lengths = [float(middle_length(-b / w)) for w, b in zip(runs["w"], runs["b"], strict=True)]
    return grid(runs.assign(length=lengths), "length")


def room_taken(halves: Grid) -> pd.DataFrame:
    """Return how much room the middle half of prototypes takes under separation alone, medians over seeds.

    Book: chapter "Crowding", section "The room they take".

    Args:
        halves: what `middle_halves` returned.

    Returns:
        One row a size and temperature: size, crowding (τN²), length, and over (the length over N√τ).
    """
    sizes, temperatures, values = halves
    length = np.median(values[1], axis=-1)
    number = np.repeat(sizes, len(temperatures))
    root = np.sqrt(np.tile(temperatures, len(sizes)))
    columns = {"size": number, "crowding": (number * root) ** 2, "length": length.ravel()}
    return pd.DataFrame(columns | {"over": length.ravel() / (number * root)})


def where_taken(room: pd.DataFrame) -> pd.Series:
    """Return the lengths over N√τ where τN² lies between the ends of `TAKEN`.

    Args:
        room: what `room_taken` returned.
    """
    low, high = TAKEN
    return room["over"][room["crowding"].between(low * (1 - 1e-9), high * (1 + 1e-9))]


def panels(points: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the picture of the collapse, as `companion.show.charts.against` draws it.

    Args:
        points: what `stored` returned.
    """
    ratio, excess = (_curves(points, column) for column in ("ratio", "excess"))
    return {PANELS[0]: ("τN²", ratio.assign(low=points["low"], high=points["high"])), PANELS[1]: ("τN²", excess)}


def room_panels(room: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the picture of the room, as `companion.show.charts.against` draws it.

    Args:
        room: what `room_taken` returned.
    """
    return {title: ("τN²", _curves(room, name)) for title, name in zip(ROOM_PANELS, ("length", "over"), strict=True)}


def strength_panels(effects: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the picture of the strengths, a panel a size, as `companion.show.charts.against` draws it.

    Args:
        effects: what `by_strength` returned.
    """
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    for size, group in effects.groupby("size"):
        curves = dict(zip((f"λ = {strength:g}" for strength in group["strength"]), group["ratios"], strict=True))
        frame = pd.DataFrame(curves).melt(ignore_index=False, var_name="curve").reset_index(names="x")
        frame["x"] *= group["size"].iloc[0] ** 2
        found[f"N = {size}"] = ("τN²", frame.assign(low=np.nan, high=np.nan))
    return found


def middle_length(places: ArrayLike) -> np.ndarray:
    """Return the length of the middle half of some places, between their quartiles.

    Args:
        places: shape (..., places).

    Returns:
        Shape (...).
    """
    low, high = np.quantile(np.asarray(places), [0.25, 0.75], axis=-1)
    return high - low


def points_table(points: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers of the picture of the collapse, by N and τ.

    Args:
        points: what `stored` returned.
    """
    names = {"size": "N", "temperature": "τ", "crowding": "τN²", "excess": "expelled, minus Std's"}
    shown = points[["size", "temperature", "crowding", "ratio", "low", "high", "excess"]].rename(columns=names)
    return shown.assign(τ=[f"{value:g}" for value in shown["τ"]]).set_index(["N", "τ"])


def strength_table(effects: pd.DataFrame) -> pd.DataFrame:
    """Return onset and growth exponent with their intervals, as text: a row a strength.

    Args:
        effects: what `by_strength` returned.
    """
    columns = {
        f"N = {size}, {name}": [words.interval(found, form) for found in group[name]]
        for size, group in effects.groupby("size")
        for name, form in (("onset", ".1f"), ("growth", ".2f"))
    }
    strengths = [f"{strength:g}" for strength in effects["strength"].unique()]
    return pd.DataFrame(columns, index=pd.Index(strengths, name="λ"))


def onsets_by_strength(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the onsets in τN² without their intervals: a row a strength, a column a size.

    Book: chapter "Crowding", section "What the strength changes".

    Args:
        effects: what `by_strength` returned.
    """
    values = effects.assign(onset=[found.value for found in effects["onset"]])
    return values.pivot(index="strength", columns="size", values="onset")


def added_by_strength(onsets: pd.DataFrame) -> pd.DataFrame:
    """Return how much each factor of 10 in λ adds to 1/u*, u* the onset: a row a step of λ, a column a size.

    Book: chapter "Crowding", section "What the strength changes".

    Args:
        onsets: what `onsets_by_strength` returned.
    """
    return (1 / onsets).diff().dropna()


def _curves(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One of the columns against τN², a curve a size, without bars."""
    curve = [f"N = {size}" for size in rows["size"]]
    return pd.DataFrame({"x": rows["crowding"], "value": rows[column], "curve": curve, "low": np.nan, "high": np.nan})


def stored(path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the stored collapse: its points, and how good it is.

    Args:
        path: of `collapse.json`.

    Returns:
        Points as in `collapse`, and excess (the expelled fraction beyond Std's). Quality: a row a number of `QUALITY`
        (the index), with value, low and high; what is stored in decades stands there as a factor.
    """
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    points = pd.DataFrame(found["points"])
    quality = pd.DataFrame(found["quality"]).T.loc[list(QUALITY), ["value", "low", "high"]]
    decades = [name for name in QUALITY if not name.endswith("exponent")]
    quality.loc[decades] = 10 ** quality.loc[decades]
    return points.assign(excess=points["expelled"] - points["expelled_std"]), quality


def collapse(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the collapse of all sizes on u = τN²: its points, and how good it is.

    Book: chapter "Crowding", section "How good is the collapse?".

    Args:
        runs: masks 000 and 001 at several sizes and temperatures, with their versions in `attrs`.

    Returns:
        data, seeds, resamples, versions; points, one a size and temperature: size, temperature, crowding (τN²), ratio
        (median E of 001 over Std's) with low and high, expelled (mean fraction of 001) and expelled_std; quality:
        spread (standard deviation of all y), residual_0, residual_1 and residual_2 (R at those exponents), noise (R at
        2 of the resamples' y minus y: what the seeds alone make), best_exponent and growth_exponent. Numbers of
        quality have value, low and high; spread and residuals are in decades. Intervals hold 95 %.
    """
    errors = grid(runs)
    expelled = grid(runs, "expelled_fraction").values.mean(-1)
    axes = errors.sizes, errors.temperatures
    y, again = log_ratio(errors.values), resampled(errors.values)
    low, high = np.percentile(again, [2.5, 97.5], axis=0)
    points = [
        {
            "size": int(size),
            "temperature": float(heat),
            "crowding": _rounded(heat * size**2),
            "ratio": _rounded(10 ** y[i, k]),
            "low": _rounded(10 ** low[i, k]),
            "high": _rounded(10 ** high[i, k]),
            "expelled": _rounded(expelled[1, i, k]),
            "expelled_std": _rounded(expelled[0, i, k]),
        }
        for i, size in enumerate(errors.sizes)
        for k, heat in enumerate(errors.temperatures)
    ]
    noise = residual(again - y, *axes, 2.0)
    quality = {
        "spread": interval(y.std(), again.std((-2, -1))),
        **{f"residual_{p}": interval(residual(y, *axes, p), residual(again, *axes, p)) for p in (0, 1, 2)},
        "noise": interval(np.median(noise), noise),
        "best_exponent": interval(best_exponent(y, *axes), best_exponent(again, *axes)),
        "growth_exponent": interval(growth_exponent(y, *axes), growth_exponent(again, *axes)),
    }
    return {
        "data": "temperature.parquet",
        "seeds": sorted(runs["seed"].unique().tolist()),
        "resamples": RESAMPLES,
        "versions": runs.attrs["versions"],
        "quality": {name: {end: _rounded(v) for end, v in found._asdict().items()} for name, found in quality.items()},
        "points": points,
    }


def _rounded(number: float) -> float:
    """A number as JSON holds it: six significant digits, the same on any processor."""
    return float(f"{number:.6g}")


COLUMNS = ("mask", "size", "seed", "temperature", "reconstruction_error", "expelled_fraction")
"""What `collapse` reads of the stored runs."""


def by_strength(strong: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return onset and growth of crowding at every strength, Std taken from the temperature sweep.

    Book: chapter "Crowding", section "What the strength changes".

    Args:
        strong: mask 001 at several strengths.
        runs: masks 000 and 001 at λ = 1, with all sizes, seeds and temperatures of `strong` among its own.

    Returns:
        One row a strength and size: strength, size, onset and growth, each with its 95 % interval, and ratios (the
        median E over Std's by temperature, a Series).
    """
    shared = runs[runs["size"].isin(strong["size"]) & runs["seed"].isin(strong["seed"])]
    heats = strong["temperature"].unique()
    shared = shared[np.isclose(shared["temperature"].to_numpy()[:, None], heats, rtol=1e-9).any(-1)]
    std = shared[shared["mask"] == "000"]
    rows = []
    for strength, separated in pd.concat([shared[shared["mask"] == "001"], strong]).groupby("strength"):
        errors = grid(pd.concat([std, separated]))
        y, again = log_ratio(errors.values), resampled(errors.values)
        onsets = onset(y, *errors[:2]), onset(again, *errors[:2])
        for i, size in enumerate(errors.sizes):
            one = slice(i, i + 1)
            rows.append(
                {
                    "strength": strength,
                    "size": size,
                    "onset": interval(onsets[0][i], onsets[1][:, i]),
                    "growth": interval(
                        growth_exponent(y[one], errors.sizes[one], errors.temperatures),
                        growth_exponent(again[:, one], errors.sizes[one], errors.temperatures),
                    ),
                    "ratios": pd.Series(10 ** y[i], index=errors.temperatures),
                }
            )
    return pd.DataFrame(rows)


def write_collapse() -> None:
    """Write what the stored temperature sweep shows of the collapse into `data/collapse.json`."""
    found = collapse(pd.read_parquet(ROOT / "data" / "temperature.parquet", columns=list(COLUMNS)))
    write_whole(ROOT / "data" / "collapse.json", (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    write_collapse()
