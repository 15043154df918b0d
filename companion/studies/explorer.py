"""The explorer of the multiverse: what its page is given.

The page, assets/explorer/, counts in the browser what is left of the universes for any choice of levels.
`python -m companion.studies.explorer` writes the medians of the stored runs to data/multiverse-errors.parquet; the rest
of its data is what `companion.studies.multiverse` stored.
Book: chapter "Every reading at once", section "The explorer".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from companion.core.checks import shown
from companion.core.settings import MASK_LABELS
from companion.judging.claims import CLAIMS
from companion.judging.multiverse import ASKS, FITS, LARGEST, OBSERVATIONS, found
from companion.judging.verdicts import E
from companion.show.chapters import ROOT
from companion.show.notebook import show_application
from companion.studies import multiverse
from companion.studies.multiverse import Judged, codes, nearness, runs_of
from companion.sweeps.runs import require_table, stored_table, write_runs
from companion.sweeps.universes import AXES, SEEDS, Universe

MOST_BYTES = 600_000
"""Of the page's data."""
ZERO = -4600
"""What stands for E = 0, in hundredths of its logarithm; float32's smallest number above 0 has -4485."""
KINDS = ("mean", "rule")
"""How a claim is read: by means, and by its rule."""
PLAYGROUND = {"size": 20, "seed": SEEDS[0]}
"""Points and seed of a link into the playground; a τ that depends on N is the one of this N."""
SHOWN = {"sobol": "drawn", "neighbours": "neighbours"}
"""The samples that the page has, by the names of `companion.studies.multiverse.SAMPLES`, as it calls them."""
ERRORS = "multiverse-errors"
INSTEAD = (
    "On the website, with JavaScript on, an explorer stands here: for any choice of levels it shows how many universes "
    "are left, in what share of them each claim is seen, figure 1 over them, and those nearest to the paper."
)


class Sample(NamedTuple):
    """One sample of universes, and what is seen in them; a universe's number is its place in `universes`.

    Attributes:
        universes: in the order of their numbers.
        medians: one row a universe, mask and size: `universe`, `mask`, `size` and `reconstruction_error`, the median
            over the seeds. 0 and infinity are allowed.
        claims: by universe, for each key of `companion.judging.multiverse.ASKS` the columns "KEY mean" and "KEY rule".
        near: by universe, how many of the paper's observations it reproduces; of equals the first is the nearer.
        fits: by universe, whether all its masks fit.
    """

    universes: Sequence[Universe]
    medians: pd.DataFrame
    claims: pd.DataFrame
    near: pd.Series
    fits: pd.Series

    @classmethod
    def of(cls, universes: Sequence[Universe], medians: pd.DataFrame, judged: Judged) -> Sample:
        """Return a sample of what `companion.studies.multiverse.stored` returned of it, claims in the nominal reading.

        Args:
            universes, medians: as of the class.
            judged: claims and observations of the same universes.
        """
        wide = {kind: judged.of_claims.pivot(index="universe", columns="claim", values=f"by_{kind}") for kind in KINDS}
        claims = pd.DataFrame({f"{key} {kind}": wide[kind][key] for key in ASKS for kind in KINDS})
        near = nearness(judged.observed).set_index("universe")["reproduced"]
        return cls(universes, medians, claims, near, judged.observed.set_index("universe")["worst_fit"] <= FITS)


def explorer_data(samples: Mapping[str, Sample]) -> dict[str, Any]:
    """Return the data of the explorer's page, less than `MOST_BYTES` as JSON.

    Lists and strings over universes run through the samples in their order.
    Book: chapter "Every reading at once", section "The explorer".

    Args:
        samples: by the name that the page shows; the first is what it begins with.

    Returns:
        `samples`: name and count of each.
        `axes`: of each its name; the names of its levels; a level's settings; and `codes`, a digit a universe (base
        36), the place of its level.
        `claims`: of each its key, what it states, and `mean` and `rule`, a 0 or 1 a universe.
        `fits`: a 0 or 1 a universe. `near`: a number a universe, of `observations`. `order`: the universes' places, the
        nearest to the paper first.
        `sizes`; `masks`: bits and label; `errors`: by mask, size and universe round(100 log10 E) of the median E over
        the seeds, E = 0 as `zero`, and what is above float32's largest number as that.
        `playground`: points and seed of links there.

    Raises:
        ValueError: if a table lacks a universe, a mask, a size or a claim, or an E is negative or no number; if an
            axis has no such level; if the data are too large.
    """
    if not samples:
        raise ValueError("samples: none was given; allowed are at least one, each with its universes")
    universes = [universe for sample in samples.values() for universe in sample.universes]
    errors = [_hundredths(name, sample) for name, sample in samples.items()]
    sizes = errors[0].columns.unique(1).tolist()
    if any(not table.columns.equals(errors[0].columns) for table in errors):
        raise ValueError(f"samples: medians of other sizes than {sizes} were given; allowed are the same in all")
    coded = pd.concat(errors)
    read = [f"{key} {kind}" for key in ASKS for kind in KINDS]
    claims = pd.concat(
        [_by_universe(name, "claims", sample.claims.reindex(columns=read), sample) for name, sample in samples.items()]
    )
    near = pd.concat([_by_universe(name, "near", sample.near, sample) for name, sample in samples.items()]).astype(int)
    fits = pd.concat([_by_universe(name, "fits", sample.fits, sample) for name, sample in samples.items()])
    data: dict[str, Any] = {
        "samples": [{"name": name, "count": len(sample.universes)} for name, sample in samples.items()],
        "axes": _axes(universes),
        "claims": [
            {"key": key, "states": CLAIMS[key].says, **{kind: _digits(claims[f"{key} {kind}"]) for kind in KINDS}}
            for key in ASKS
        ],
        "fits": _digits(fits),
        "near": near.tolist(),
        "observations": len(OBSERVATIONS),
        "order": _order(samples),
        "sizes": sizes,
        "masks": [{"mask": mask, "label": label} for mask, label in MASK_LABELS.items()],
        "errors": [[coded[mask, size].tolist() for size in sizes] for mask in MASK_LABELS],
        "zero": ZERO,
        "playground": PLAYGROUND,
    }
    if (size := len(json.dumps(data, separators=(",", ":")))) >= MOST_BYTES:
        raise ValueError(f"samples: {len(universes)} universes of {size} bytes were given; allowed are {MOST_BYTES}")
    return data


def show_explorer(samples: Mapping[str, Sample]) -> None:
    """Display the explorer; in print and without JavaScript a sentence stands in its place.

    Args:
        samples: as of `explorer_data`.
    """
    show_application("explorer", explorer_data(samples), INSTEAD)


def _digits(values: Iterable[Any]) -> str:
    return "".join(np.base_repr(int(value), 36) for value in values)


def _axes(universes: Sequence[Universe]) -> list[dict[str, Any]]:
    """The axes, with their levels in their order, and the level of each universe."""
    try:
        places = codes(universes)
    except ValueError:
        raise ValueError("samples: universes with levels off the axes were given; allowed are those of AXES") from None
    return [
        {
            "name": axis,
            "levels": [level.name for level in levels],
            "settings": [level.at(PLAYGROUND["size"]) for level in levels],
            "codes": _digits(places[axis]),
        }
        for axis, levels in AXES.items()
    ]


def _hundredths(name: str, sample: Sample) -> pd.DataFrame:
    """Each universe's median E as hundredths of its logarithm: rows universes, columns masks by sizes."""
    table = require_table("medians", sample.medians, [E], ("universe", "mask", "size"))
    if not (table[E] >= 0).all():
        raise ValueError(f"medians: of {name} some {E} is negative or no number; allowed are numbers of at least 0")
    with np.errstate(divide="ignore"):
        powers = 100 * np.log10(table[E].to_numpy(dtype=float).clip(max=LARGEST))
    coded = table.assign(code=np.maximum(powers.round(), ZERO))
    wide = coded.pivot(index="universe", columns=["mask", "size"], values="code")
    wide = wide.reindex(columns=pd.MultiIndex.from_product([MASK_LABELS, sorted(table["size"].unique())]))
    return _by_universe(name, "medians", wide, sample).astype(int)


def _by_universe(name: str, what: str, table: Any, sample: Sample) -> Any:
    """A table or series in the order of a sample's universes, none of which may be missing."""
    found = table.reindex(range(len(sample.universes)))
    missing = found.index[found.isna().to_numpy().reshape(len(found), -1).any(axis=1)]
    if len(missing):
        raise ValueError(
            f"{what}: of {name} universes {shown(missing.tolist())} lack something; allowed are tables that have all "
            f"{len(found)}, with every mask, size and claim"
        )
    return found


def _order(samples: Mapping[str, Sample]) -> list[int]:
    """The universes' places, the nearest to the paper first; equals in the samples' order, and in them as given."""
    places, counts, before = [], [], 0
    for sample in samples.values():
        places += [before + int(number) for number in sample.near.index]
        counts += sample.near.tolist()
        before += len(sample.universes)
    return [places[k] for k in np.argsort(-np.array(counts), kind="stable")]


# --- what is stored ---


def median_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median E over seeds: a row a universe, mask and size, as a `Sample` has it; what is lost is the worst.

    Args:
        runs: as `companion.sweeps.universes.run_universes` returns them.
    """
    return found(runs).groupby(["universe", "mask", "size"], sort=False)[E].median().reset_index()


def write(root: Path = ROOT) -> None:
    """Store the median errors of all stored runs of the samples that the page has."""
    columns, tables = ["universe", "mask", "size", "seed", E], []
    for name in SHOWN:
        tables += [
            median_errors(pd.read_parquet(path, columns=columns)).assign(sample=name) for path in runs_of(root, name)
        ]
    write_runs(pd.concat(tables, ignore_index=True).astype({E: np.float32}), root / "data" / f"{ERRORS}.parquet")


def stored(root: Path) -> dict[str, Sample]:
    """Return the samples that the page has, of what is stored: of a sample its first universes, as many as were judged.

    Args:
        root: the book's folder.

    Raises:
        ValueError: if a file is missing.
    """
    medians, samples = stored_table(root, ERRORS), {}
    for name, shown_as in SHOWN.items():
        judged = multiverse.stored(root, name)
        universes = multiverse.sample(name)[: len(judged.observed)]
        samples[shown_as] = Sample.of(universes, medians[medians["sample"] == name], judged)
    return samples


if __name__ == "__main__":
    write()
