"""Numbers and names as the prose has them; each returns text for `_variables.yml`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pandas as pd

from companion.core.settings import MASK_LABELS
from companion.judging.paired import Interval


def listed(words: Iterable[object]) -> str:
    """Return words as a list in a sentence: "a", "a and b", "a, b and c".

    Raises:
        ValueError: if there is none; a sentence that lists nothing is another sentence.
    """
    texts = [str(word) for word in words]
    if not texts:
        raise ValueError("words: none was given; allowed is one or more")
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if texts[1:] else texts[0]


def listed_or_none(words: Iterable[object]) -> str:
    """Return words as a list in a sentence; "none" where there is none."""
    return listed(list(words) or ["none"])


def span(values: Iterable[float], form: str) -> str:
    """Return the least and the greatest of some numbers: "0.1 to 0.4".

    Args:
        values: one or more.
        form: how each is written, as in `format`: ".2f", ".2g", ".0%".
    """
    numbers = list(values)
    return f"{min(numbers):{form}} to {max(numbers):{form}}"


def interval(found: Interval, form: str) -> str:
    """Return an estimate with its interval: "0.96 [0.94, 0.98]".

    Args:
        found: the estimate and the ends of its interval.
        form: how each is written, as in `format`.
    """
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def p_value(p: float) -> str:
    """Return a p-value with three decimals, or "< 0.001"."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def at_sizes(rows: Iterable[tuple[str, int]], sizes: Collection[int] = ()) -> str:
    """Return names with the sizes at which each stands: "010 Cov at N = 3, 5; 011 Cov+Sep at every N"; or "none".

    Args:
        rows: names and sizes, in the order in which they are to stand.
        sizes: all that there are; a name with as many stands "at every N". None given: it lists them.
    """
    found: dict[str, list[str]] = {}
    for name, size in rows:
        found.setdefault(name, []).append(str(size))
    texts = [
        f"{name} at {'every N' if len(at) == len(sizes) else 'N = ' + ', '.join(at)}" for name, at in found.items()
    ]
    return "; ".join(texts) or "none"


def labelled(table: pd.DataFrame, heading: str = "N = {}") -> pd.DataFrame:
    """Return a table of masks by sizes with the heads that the book prints: rows "010 Cov", columns "N = 3".

    Args:
        table: a row a mask, by its bits (any other name stays as it is), and a column a number.
        heading: of a column, as `str.format` takes it.
    """
    return table.rename(index=MASK_LABELS, columns=heading.format).rename_axis(index="mask", columns=None)


def by_mask(values: pd.Series, write: Callable[[Any], str] = str) -> pd.DataFrame:
    """Return a table of texts, a row a mask and a column a size.

    Args:
        values: of mask (its bits; any other name stays as it is) and size, in the order of the rows and columns.
        write: how each value is written.
    """
    return labelled(values.unstack(sort=False).map(write))


def percent(share: float) -> str:
    """Return a share in whole percent, "–" where there is none."""
    return "–" if math.isnan(share) else f"{share:.0%}"
