"""Results of this book in other universes: transport, the crowding law, and what C5 and C8 hang on.

Book: chapter "Every reading at once", section "Our own results".
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from companion.judging.claims import CLAIMS
from companion.judging.multiverse import found
from companion.judging.paired import Interval
from companion.show.words import listed, listed_or_none, percent, span
from companion.studies import collapse, multiverse
from companion.sweeps.runs import stored_table
from companion.sweeps.universes import AXES, universes

# --- transport ---

ATTRACTED = ("C1", "C2", "C10s")
"""Claims about coverage that can be asked of another attractor in its place; C10s' rule is then C10t's."""


def attractors(root: Path) -> dict[str, multiverse.Judged]:
    """Return what is seen in the same universes with coverage as each of them has it, and with transport."""
    transport = multiverse.stored(root, "transport")
    numbers = transport.observed["universe"]
    coverage = [table[table["universe"].isin(numbers)] for table in multiverse.stored(root, "sobol")]
    return {"coverage": multiverse.Judged(*coverage), "transport": transport}


def attractor_shares(judged: dict[str, multiverse.Judged]) -> pd.DataFrame:
    """Return in what share of the universes each of `ATTRACTED` is seen by means, with either attractor.

    Args:
        judged: what `attractors` returned.

    Returns:
        A row a claim and attractor: share, low, high, and the mean share of the claim's cases.
    """
    rows = []
    for name, some in judged.items():
        table = multiverse.shares(some.of_claims).set_index("claim").loc[list(ATTRACTED)]
        for claim, row in table.iterrows():
            ends = {end: row[f"mean {end}"] for end in ("share", "low", "high")}
            rows.append({"claim": claim, "attractor": name, **ends, "cases": row["cases"]})
    return pd.DataFrame(rows)


def attractor_table(judged: dict[str, multiverse.Judged]) -> pd.DataFrame:
    """Return `attractor_shares` as the chapter tabulates them; also where all masks fit with both."""
    fit = set.intersection(*(set(some.fitting().observed["universe"]) for some in judged.values()))
    fitting = {
        name: multiverse.Judged(*(table[table["universe"].isin(fit)] for table in some))
        for name, some in judged.items()
    }
    columns = {}
    for title, sets in {"all": judged, f"the {len(fit)} that fit": fitting}.items():
        table = attractor_shares(sets)
        text = [
            f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]; cases {row['cases']:.0%}"
            for _, row in table.iterrows()
        ]
        wide = table.assign(text=text).pivot(index="claim", columns="attractor", values="text")
        columns |= {f"{name}, {title}": wide[name] for name in sets}
    return pd.DataFrame(columns).loc[list(ATTRACTED)]


def where_transport_fails(judged: dict[str, multiverse.Judged]) -> pd.Series:
    """Return the main effects of the axes on the share of C10s' cases that the means show with transport.

    Coverage's form is left out: transport takes its place.
    """
    own = judged["transport"].of_claims.query("claim == 'C10s'")
    places = multiverse.codes(multiverse.sample("sobol")).loc[own["universe"]].drop(columns="coverage")
    return multiverse.main_effects(places, (own["mean"] / own["cases"]).to_numpy())


# --- the crowding law ---


@cache
def crowding_laws(root: Path) -> pd.DataFrame:
    """Return how well one curve in τN² holds all sizes, for each form of separation, by chapter "Crowding"'s measures.

    A form obeys the law here if 2 lies in the 95 % interval of the exponent p at which τN^p makes the sizes most alike.

    Returns:
        A row a form (the index): on temperature, on crowding (10^R(0), 10^R(2): the typical factor between sizes);
        exponent with low and high; growth with its low and high.
    """
    runs = stored_table(root, "multiverse-separation-temperature-0000")
    sampled = universes("finer grid", ("separation", "τ"))
    numbers = runs["universe"].to_numpy()
    names = np.array([one.names["separation"] for one in sampled])
    heats = np.array([one.settings("001", 3).temperature for one in sampled])
    table = found(runs).assign(separation=names[numbers], temperature=heats[numbers])
    errors = {form: collapse.grid(group) for form, group in table.groupby("separation", sort=False)}
    axes = next(iter(errors.values()))[:2]
    curves = {form: collapse.log_ratio(one.values) for form, one in errors.items()}
    every = np.stack([[curves[form], *collapse.resampled(one.values)] for form, one in errors.items()])
    rows = {}
    for form, (exponent, *resampled) in zip(errors, collapse.best_exponent(every, *axes), strict=True):
        rows[form] = {
            "on temperature": 10 ** float(collapse.residual(curves[form], *axes, 0.0)),
            "on crowding": 10 ** float(collapse.residual(curves[form], *axes, 2.0)),
            **_named("exponent", collapse.interval(exponent, np.array(resampled))),
            **_named("growth", collapse.growth(errors[form])),
        }
    return pd.DataFrame(rows).T


def _named(name: str, found: Interval) -> dict[str, float]:
    return {name: found.value, f"{name} low": found.low, f"{name} high": found.high}


def law_table(laws: pd.DataFrame) -> pd.DataFrame:
    """Return `crowding_laws` as the chapter tabulates them."""

    def written(row: pd.Series, name: str) -> str:
        return f"{row[name]:.2f} [{row[f'{name} low']:.2f}, {row[f'{name} high']:.2f}]"

    columns = {
        "typical factor on τ": [f"{value:.2f}" for value in laws["on temperature"]],
        "on τN²": [f"{value:.2f}" for value in laws["on crowding"]],
        "exponent with the least": [written(row, "exponent") for _, row in laws.iterrows()],
        "growth exponent γ": [written(row, "growth") for _, row in laws.iterrows()],
    }
    return pd.DataFrame(columns, index=laws.index.rename("separation"))


# --- C5 and the stop; C8 and the strength ---


def fit_by_steps(judged: multiverse.Judged, axes: tuple[str, str] = ("optimiser", "steps")) -> pd.DataFrame:
    """Return of each level of the steps and optimiser how often C5 is seen by means, and what share of its cases."""
    names = pd.DataFrame([one.names for one in multiverse.sample("sobol")])[list(axes)]
    own = judged.of_claims.query("claim == 'C5'").join(names, on="universe")
    return multiverse.shares(own, axes)


def fit_table(judged: multiverse.Judged) -> pd.DataFrame:
    """Return `fit_by_steps` as the chapter tabulates it: a row an optimiser, a column a number of steps."""
    table = fit_by_steps(judged)
    text = [f"{row['mean share']:.0%} of {row['universes']}; cases {row['cases']:.0%}" for _, row in table.iterrows()]
    wide = table.assign(text=text).pivot(index="optimiser", columns="steps", values="text")
    optimisers, steps = ([level.name for level in AXES[axis]] for axis in ("optimiser", "steps"))
    return wide.loc[optimisers, sorted(steps, key=lambda name: int(name.replace(",", "")))]


def hot_by_strength(root: Path) -> pd.DataFrame:
    """Return what is seen of C8 at each λ, over nine temperatures: a row a λ (the index).

    Returns:
        Columns cases; mean, rule, against: how many of them the means show, the rule supports and contradicts.
    """
    runs = stored_table(root, "multiverse-strength-temperature-0000")
    sampled = multiverse.sample("strength-temperature")
    numbers = runs["universe"].to_numpy()
    settings = [one.settings("001", 3) for one in sampled]
    table = found(runs).assign(
        strength=np.array([one.strength for one in settings])[numbers],
        temperature=np.array([one.temperature for one in settings])[numbers],
    )
    table = table[table["mask"].isin(["000", "001"])]
    rows = {}
    for strength, group in table.groupby("strength"):
        verdict = CLAIMS["C8"].rule(group)
        rows[strength] = {
            "cases": len(verdict.cases),
            "mean": int(verdict.by_mean_supported.sum()),
            "rule": int(verdict.supported.sum()),
            "against": int(verdict.contradicted.sum()),
        }
    return pd.DataFrame(rows).T.rename_axis("λ")


# --- as the chapter says it ---


def numbers(data: Path) -> dict[str, str]:
    """Return the numbers of the chapter's prose, by name: `companion.studies.multiverse`'s and these.

    Args:
        data: the book's folder `data`.
    """
    return multiverse.numbers(data) | own_numbers(data.parent)


def own_numbers(root: Path) -> dict[str, str]:
    """Return the numbers of the section "Our own results", by name."""
    judged, laws, hot = attractors(root), crowding_laws(root), hot_by_strength(root)
    share = attractor_shares(judged).set_index(["claim", "attractor"])[["share", "cases"]].to_dict()
    obeys = laws["exponent low"].le(2) & laws["exponent high"].ge(2)
    decided = multiverse.decided_in(root).query("claim == 'C5'").set_index("axis")["main"]
    return {
        "attractor-universes": str(len(judged["transport"].observed)),
        **{
            f"{claim.lower()}-with-{name}": percent(share["share"][claim, name])
            for claim in ATTRACTED
            for name in judged
        },
        **{f"c10s-cases-with-{name}": percent(share["cases"]["C10s", name]) for name in judged},
        "transport-decides": _named_effects(where_transport_fails(judged)),
        "law-kept": listed_or_none(laws.index[obeys]),
        "law-broken": listed_or_none(laws.index[~obeys]),
        "hot-sizes": span(hot["mean"], "d"),
        "hot-seldom": listed(f"{strength:.3g}" for strength in hot.index[hot["mean"] == hot["mean"].min()]),
        "hot-by-rule": str(hot["rule"].max()),
        "c5-decides": _named_effects(decided),
        **{f"c5-{axis}": f"{decided[axis]:.2f}" for axis in ("steps", "optimiser")},
    }


def _named_effects(effects: pd.Series) -> str:
    """The three axes of the largest effects, each with its own."""
    return listed(f"{axis} ({effect:.2f})" for axis, effect in effects.nlargest(3).items())
