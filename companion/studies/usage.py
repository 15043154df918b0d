"""Two meanings of usage: the neuron that responds most to a sample, and the one whose prototype is nearest to it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from companion.core.checks import array_of, require_finite, require_shapes
from companion.core.network import activations, prototypes
from companion.core.settings import MASK_LABELS, MASKS
from companion.judging.claims import ACTIVE, CLAIMS
from companion.judging.paired import Interval
from companion.judging.verdicts import Verdict
from companion.show.words import interval, span
from companion.sweeps.runs import groups_of

RUN = ["mask", "size", "seed", "strength", "temperature", "steps", "engine"]
METRICS = ["fit_mse", "reconstruction_error", "position_error", "specialization_ratio", "expelled_fraction"]
COLUMNS = [*RUN, *METRICS, "x", "w", "b"]
"""What is read of stored runs."""
RESPONSE, NEAREST = "largest response", "nearest prototype"
"""The two meanings; columns of tables."""
Meanings = dict[str, Verdict]
"""A claim's verdicts by meaning."""


def nearest_ratio(x: ArrayLike, prototypes: ArrayLike) -> np.ndarray | float:
    """Return the number of distinct neurons whose prototype is nearest to at least one sample, over all neurons.

    Another meaning of being used than `companion.core.metrics.specialization_ratio`, equal to it if all |w| are. Of
    neurons that tie, the first counts.
    Book: chapter "Two meanings of usage", equation (usage).

    Args:
        x: training inputs, shape (..., samples).
        prototypes: x̂, shape (..., neurons); infinite ones are farther than any other.

    Returns:
        Ratio a run in [1/neurons, 1], shape (...); a float for one run.

    Raises:
        ValueError: if leading dimensions differ, x is not finite or a prototype is NaN.
    """
    data, positions = array_of("x", x), array_of("prototypes", prototypes)
    require_shapes({"x": "*runs samples", "prototypes": "*runs neurons"}, x=data, prototypes=positions)
    require_finite(x=data)
    if np.isnan(positions).any():
        raise ValueError("prototypes: NaN was given; allowed are numbers")
    nearest = np.abs(data[..., :, None] - positions[..., None, :]).argmin(-1)
    wins = (nearest[..., :, None] == np.arange(positions.shape[-1])).any(-2)
    ratio = wins.mean(-1)
    return ratio if data.ndim > 1 else float(ratio)


def with_nearest_ratio(runs: pd.DataFrame) -> pd.DataFrame:
    """Return runs with their `nearest_ratio` beside their specialization ratio.

    Args:
        runs: one row a run, with x, w and b.
    """
    ratios = [pd.Series(nearest_ratio(*_x_and_prototypes(group)), group.index) for _, group in groups_of(runs, "size")]
    return runs.assign(nearest_ratio=pd.concat(ratios))


def _x_and_prototypes(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples and prototypes of runs of one size, each of shape (runs, size)."""
    x, w, b = _x_w_b(runs)
    return x.numpy(), prototypes(w, b).numpy()


def _x_w_b(runs: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the samples, weights and biases of runs of one size, each of shape (runs, size)."""
    x, w, b = (torch.from_numpy(np.stack(runs[name].to_list())) for name in ("x", "w", "b"))
    return x, w, b


def choices(runs: pd.DataFrame) -> pd.DataFrame:
    """Return which neuron every sample of every run chooses by response and by distance, and what these neurons are.

    Book: chapter "Two meanings of usage", section "The same neuron?".

    Args:
        runs: one row a run, with x, w and b.

    Returns:
        One row a sample: run (its label in `runs`), mask, size, sample (from 0) and same (whether both choose one
        neuron); and of the neuron that responds most ("most") and of the one whose prototype is nearest ("near"):
        neuron (from 0), w (its |w|), inside (whether its prototype is within the samples' range), distance (of its
        prototype from the sample) and response (to the sample).
    """
    return pd.concat([_choices_of(group) for _, group in groups_of(runs, "mask", "size")], ignore_index=True)


def _choices_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the same of runs of one mask and size."""
    x, w, b = _x_w_b(runs)
    positions, responses = prototypes(w, b).numpy(), activations(x, w, b).numpy()
    data, width = x.numpy(), w.abs().numpy()
    distances = np.abs(data[:, :, None] - positions[:, None, :])
    inside = (positions >= data.min(1, keepdims=True)) & (positions <= data.max(1, keepdims=True))
    run, sample = np.indices(data.shape)
    found = {"run": np.repeat(runs.index, data.shape[1]), "sample": sample.ravel()}
    for name, neuron in (("most", responses.argmax(-1)), ("near", distances.argmin(-1))):
        found |= {
            f"neuron {name}": neuron.ravel(),
            f"w {name}": width[run, neuron].ravel(),
            f"inside {name}": inside[run, neuron].ravel(),
            f"distance {name}": distances[run, sample, neuron].ravel(),
            f"response {name}": responses[run, sample, neuron].ravel(),
        }
    table = pd.DataFrame(found).join(runs[["mask", "size"]], on="run")
    return table.assign(same=table["neuron most"] == table["neuron near"])


def mean_ratios(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean share of neurons used by either meaning, and how far the two are apart.

    Book: chapter "Two meanings of usage", section "Both against N".

    Args:
        runs: what `with_nearest_ratio` returned.

    Returns:
        One row a mask and size (the index): response, nearest, gap.
    """
    names = {"specialization_ratio": "response", "nearest_ratio": "nearest"}
    means = runs.groupby(["mask", "size"])[list(names)].mean().rename(columns=names)
    return means.assign(gap=(means["nearest"] - means["response"]).abs())


def mean_table(means: pd.DataFrame) -> pd.DataFrame:
    """Return the means of `mean_ratios`: a row a mask and meaning, a column a size."""
    table = pd.DataFrame(means[["response", "nearest"]].stack().unstack("size"))
    table.index = pd.Index([f"{MASK_LABELS[mask]}, {meaning}" for mask, meaning in table.index], name="mask, meaning")
    return table.rename(columns="N = {}".format)


def correlations(runs: pd.DataFrame) -> pd.Series:
    """Return how well the two ratios of single runs agree: the correlation over seeds, its median over masks, by size.

    Args:
        runs: what `with_nearest_ratio` returned.
    """
    ratios = runs.groupby(["mask", "size"])[["specialization_ratio", "nearest_ratio"]]
    return ratios.corr().xs("specialization_ratio", level=-1)["nearest_ratio"].groupby("size").median()


def agreement(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the share of samples for which both meanings name the same neuron: a row a mask, a column a size.

    Book: chapter "Two meanings of usage", section "The same neuron?".

    Args:
        samples: what `choices` returned.
    """
    return samples.groupby(["mask", "size"])["same"].mean().unstack("size")


def wide_case(samples: pd.DataFrame) -> pd.Series:
    """Return the sample to which a wide bump answers from afar most clearly.

    It is one of Std at the second size whose neuron that responds most has its prototype outside the data while the
    nearest one is inside: the one to which the two responses are farthest apart.
    Book: chapter "Two meanings of usage", section "A wide bump answers from afar".

    Args:
        samples: what `choices` returned.
    """
    second = sorted(samples["size"].unique())[:2][-1]
    std = samples[(samples["mask"] == "000") & (samples["size"] == second) & ~samples["same"]]
    from_afar = std[~std["inside most"] & std["inside near"]]
    return from_afar.loc[(from_afar["response most"] - from_afar["response near"]).idxmax()]


class Example(NamedTuple):
    """What chapter and numbers say of the sample of `wide_case`; positions are in units of the input.

    Attributes:
        seed, at: its run's, and where it is.
        low, high: the range of the run's samples.
        most, near: the prototypes of the neuron that responds most and of the nearest one.
        bumps: their responses along x, columns x, value, curve.
    """

    seed: int
    at: float
    low: float
    high: float
    most: float
    near: float
    bumps: pd.DataFrame


def example(runs: pd.DataFrame, case: pd.Series) -> Example:
    """Return the two neurons that a sample chooses, and where all this stands.

    Book: chapter "Two meanings of usage", section "A wide bump answers from afar".

    Args:
        runs: one row a run, with x, w and b.
        case: a row of `choices`.
    """
    run = runs.loc[case["run"]]
    x, w, b = (np.asarray(run[name]) for name in ("x", "w", "b"))
    most, near = int(case["neuron most"]), int(case["neuron near"])
    grid, named = np.linspace(-0.5, 2.5, 301), {"responds most": most, "is nearest": near}
    bumps = [
        pd.DataFrame(
            {"x": grid, "value": np.exp(-((w[j] * grid + b[j]) ** 2)), "curve": f"{name}, |w| = {abs(w[j]):.2g}"}
        )
        for name, j in named.items()
    ]
    at, (far, close) = float(x[case["sample"]]), (-b / w)[[most, near]]
    return Example(run["seed"], at, x.min(), x.max(), far, close, pd.concat(bumps, ignore_index=True))


def differing_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Return what the two neurons are where the meanings name different ones, at the smallest and the largest size.

    Book: chapter "Two meanings of usage", section "A wide bump answers from afar".

    Args:
        samples: what `choices` returned.

    Returns:
        One row a mask (its label) and N (the index): the share of samples, and of these the median ratio of |w|, the
        shares whose prototypes are inside, and the median ratio of the distances.
    """
    ends, rows = samples[samples["size"].isin([samples["size"].min(), samples["size"].max()])], {}
    for (mask, size), group in groups_of(ends, "mask", "size"):
        apart = group[~group["same"]]
        rows[MASK_LABELS[mask], size] = {
            "share of samples": len(apart) / len(group),
            "|w| of the most responding, over the nearest's": (apart["w most"] / apart["w near"]).median(),
            "its prototype inside": apart["inside most"].mean(),
            "the nearest inside": apart["inside near"].mean(),
            "its distance, over the nearest's": (apart["distance most"] / apart["distance near"]).median(),
        }
    return pd.DataFrame(rows).T.rename_axis(["mask", "N"])


def verdicts(runs: pd.DataFrame) -> dict[str, Meanings]:
    """Return what the ledger's rules say of C2 and C7 by either meaning of usage.

    Book: chapter "Two meanings of usage", section "C2 and C7 by either".

    Args:
        runs: what `with_nearest_ratio` returned.
    """
    meanings = {RESPONSE: runs, NEAREST: runs.assign(specialization_ratio=runs["nearest_ratio"])}
    return {key: {name: CLAIMS[key].rule(given) for name, given in meanings.items()} for key in ("C2", "C7")}


def verdict_table(found: dict[str, Meanings]) -> pd.DataFrame:
    """Return the verdicts: a row a claim and meaning.

    Args:
        found: what `verdicts` returned.
    """
    rows = {
        (key, name): {
            "verdict": verdict.verdict,
            "by mean": verdict.by_mean,
            "cases": len(verdict.cases),
            "supported": int(verdict.supported.sum()),
            "contradicted": int(verdict.contradicted.sum()),
        }
        for key, both in found.items()
        for name, verdict in both.items()
    }
    return pd.DataFrame(rows).T.rename_axis(["claim", "meaning"])


def case_table(both: Meanings) -> pd.DataFrame:
    """Return a claim's cases by either meaning in words: effect with its interval, p and outcome.

    The p-value is the one for the case, or against it where it is contradicted.
    Book: chapter "Two meanings of usage", section "C2 and C7 by either".

    Args:
        both: the claim's entry in what `verdicts` returned.

    Returns:
        One row a case (its name, the index).
    """
    columns: dict[str, object] = {}
    for name, verdict in both.items():
        table = verdict.table
        p = table["p for"].mask(table["outcome"] == "contradicted", table["p against"])
        effects = table[["effect", "low", "high"]].itertuples(index=False)
        columns |= {"case": table["case"], "comparison": table["comparison"]}
        columns[f"{name}: effect"] = [interval(Interval(*effect), ".2f") for effect in effects]
        columns[f"p, {name}"] = ["< 0.001" if value < 0.001 else f"{value:.2g}" for value in p]
        columns[f"outcome, {name}"] = table["outcome"]
    return pd.DataFrame(columns).set_index("case")


def changed_cases(both: Meanings) -> list[str]:
    """Return a claim's cases whose outcome the meaning changes: "100, N = 10 to 20 (open, then supported)".

    Args:
        both: the claim's entry in what `verdicts` returned.
    """
    response, nearest = both[RESPONSE], both[NEAREST]
    outcomes = [(case.name, response.outcome(k), nearest.outcome(k)) for k, case in enumerate(response.cases)]
    return [f"{name} ({first}, then {then})" for name, first, then in outcomes if first != then]


def open_by_ties(verdict: Verdict) -> tuple[pd.Series, pd.Series]:
    """Return of C2's open cases the share of seeds whose masks have the same ratio, and of the others Std's lower.

    Book: chapter "Two meanings of usage", section "C2 and C7 by either".

    Args:
        verdict: of C2.

    Returns:
        Both shares by case (its name).
    """
    ties, lower = {}, {}
    for number, case in enumerate(verdict.cases):
        if verdict.outcome(number) == "open":
            shown = case.statements[0]
            first, second = (verdict.study.values(shown.metric, side) for side in shown[1:3])
            same = np.isclose(first, second, atol=1e-9)
            ties[case.name], lower[case.name] = same.mean(), (first < second)[~same].mean()
    return pd.Series(ties), pd.Series(lower)


def bounds(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how much of its bound S' reaches at the largest size, from means over seeds.

    Book: chapter "Two meanings of usage", equation (usagebound).

    Args:
        runs: what `with_nearest_ratio` returned.

    Returns:
        One row a mask (its bits, the index): bound, nearest, response (S), reached (nearest over bound).
    """
    largest = runs[runs["size"] == runs["size"].max()].groupby("mask")
    bound = 1 - largest["expelled_fraction"].mean() + 2 / runs["size"].max()
    nearest, response = largest["nearest_ratio"].mean(), largest["specialization_ratio"].mean()
    return pd.DataFrame({"bound": bound, "nearest": nearest, "response": response, "reached": nearest / bound})


def bound_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return what `bounds` returned, with the labels of masks and the chapter's names of the columns."""
    names = ["1 - X + 2/N", "nearest prototype S'", "largest response S", "S' over its bound"]
    return found.set_axis(names, axis=1).rename(index=MASK_LABELS).rename_axis("mask")


class Results(NamedTuple):
    """What the chapter's numbers are read from.

    Attributes:
        runs: with their `nearest_ratio`.
        samples: what `choices` returns.
        verdicts: what `verdicts` returns.
    """

    runs: pd.DataFrame
    samples: pd.DataFrame
    verdicts: dict[str, Meanings]


@cache
def results(data: Path) -> Results:
    """Return what the chapter's numbers are read from.

    Args:
        data: the folder of the stored runs.
    """
    runs = with_nearest_ratio(pd.read_parquet(data / "powered.parquet", columns=COLUMNS))
    return Results(runs, choices(runs), verdicts(runs))


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter "Two meanings of usage", by name.

    Args:
        data: the folder of the stored runs.
    """
    runs, samples, found = results(data)
    return _of_ratios(runs) | _of_samples(samples) | _of_example(runs, samples) | _of_verdicts(found) | _of_bounds(runs)


def _of_ratios(runs: pd.DataFrame) -> dict[str, str]:
    gap, within = mean_ratios(runs)["gap"], correlations(runs)
    return {
        "greatest-gap-rounded": f"{gap.max():.2f}",
        "greatest-gap": f"{gap.max():.3f}",
        "median-gap": f"{gap.median():.3f}",
        "greatest-correlation": f"{within.max():.2f}",
        "least-correlation": f"{within.min():.2f}",
    }


def _of_samples(samples: pd.DataFrame) -> dict[str, str]:
    agree, apart = agreement(samples), samples[~samples["same"]]
    covered = agree.index.str[1] == "1"
    on, off = agree[covered].stack(), agree[~covered].stack()
    outside = 1 - apart[apart["size"] == apart["size"].max()].groupby("mask")["inside most"].mean()
    return {
        "least-agreement": f"{agree.min(axis=None):.0%}",
        "greatest-agreement": f"{agree.max(axis=None):.0%}",
        "agreement-with-coverage": f"{on.mean():.0%}",
        "least-agreement-with-coverage": f"{on.min():.0%}",
        "agreement-without-coverage": f"{off.mean():.0%}",
        "least-agreement-without-coverage": f"{off.min():.0%}",
        "agreement-of-overlap-alone": f"{agree.loc['100'].mean():.0%}",
        "agreement-of-std": f"{agree.loc['000'].mean():.0%}",
        "samples-apart": f"{len(apart):,}",
        "most-outside-where-apart": f"{1 - apart['inside most'].mean():.0%}",
        "most-inside-where-apart": f"{apart['inside most'].mean():.0%}",
        "nearest-inside-where-apart": f"{apart['inside near'].mean():.0%}",
        "ratio-of-widths": f"{(apart['w most'] / apart['w near']).median():.2f}",
        "greatest-share-outside": f"{outside.max():.0%}",
        "least-share-outside": f"{outside.min():.0%}",
        "most-outside-of-all": f"{1 - samples['inside most'].mean():.0%}",
    }


def _of_example(runs: pd.DataFrame, samples: pd.DataFrame) -> dict[str, str]:
    case = wide_case(samples)
    drawn = example(runs, case)
    return {
        "example-seed": f"{drawn.seed}",
        "example-sample": f"{drawn.at:.2f}",
        "example-least-sample": f"{drawn.low:.2f}",
        "example-greatest-sample": f"{drawn.high:.2f}",
        "example-nearest": f"{drawn.near:.2f}",
        "example-nearest-distance": f"{case['distance near']:.2f}",
        "example-nearest-response": f"{case['response near']:.2f}",
        "example-most-response": f"{case['response most']:.2f}",
        "example-most": f"{drawn.most:.2f}",
    }


def _of_verdicts(found: dict[str, Meanings]) -> dict[str, str]:
    changed = {key: changed_cases(both) for key, both in found.items()}
    response, nearest = (found["C2"][name].table["effect"] for name in (RESPONSE, NEAREST))
    ties, lower = open_by_ties(found["C2"][RESPONSE])
    return {
        "c2-ties": span(ties, ".0%"),
        "c2-lower-of-untied": span(lower, ".0%"),
        "c2-cases": f"{len(response)}",
        "c2-supported": f"{found['C2'][RESPONSE].supported.sum()}",
        "c2-supported-nearest": f"{found['C2'][NEAREST].supported.sum()}",
        "c2-effects-lower": f"{(nearest < response).sum()}",
        "c2-effects-higher": f"{(nearest > response).sum()}",
        "c7-cases": f"{len(found['C7'][RESPONSE].cases)}",
        "c7-cases-changed": f"{len(changed['C7'])}",
        "c7-changed": "; ".join(changed["C7"]),
    }


def _of_bounds(runs: pd.DataFrame) -> dict[str, str]:
    reached = bounds(runs)["reached"]
    free = [mask for mask in reached.index if mask not in ACTIVE]
    separated = [mask for mask in free if MASKS[mask].separation]
    return {
        "reached-with-overlap": span(reached[list(ACTIVE)], ".0%"),
        "reached-with-separation": f"{reached[separated].mean():.0%}",
        "reached-with-neither": span(reached[[mask for mask in free if mask not in separated]], ".0%"),
    }
