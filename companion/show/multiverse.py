"""The pictures of the multiverse: shares of universes, and each claim's effect in all of them at once."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from companion.show.figures import PANEL, configure, rounded

READ_COLORS = ("#0072B2", "#D55E00")
"""Of what is read by means, and by the rule."""


def shares_of_universes(panels: Mapping[str, pd.DataFrame]) -> alt.TopLevelMixin:
    """Draw in what share of the universes each claim is seen, with intervals, a panel a set of universes.

    Args:
        panels: by title, columns claim, read (two kinds), share, low, high.
    """
    charts = []
    for title, frame in panels.items():
        kinds = list(frame["read"].unique())
        base = alt.Chart(rounded(frame)).encode(
            y=alt.Y("claim:N", title=None, sort=list(frame["claim"].unique())),
            yOffset=alt.YOffset("read:N", sort=kinds),
            color=alt.Color("read:N", title=None, scale=alt.Scale(domain=kinds, range=list(READ_COLORS))),
        )
        x = alt.X("share:Q", title="share of universes", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%"))
        told = ["claim:N", "read:N", *(alt.Tooltip(f"{one}:Q", format=".1%") for one in ("share", "low", "high"))]
        bars = base.mark_rule().encode(x=alt.X("low:Q", title=None), x2="high:Q")
        dots = base.mark_point(filled=True, size=45).encode(
            x=x,
            shape=alt.Shape("read:N", title=None, scale=alt.Scale(domain=kinds, range=["circle", "diamond"])),
            tooltip=told,
        )
        height = 24 * frame["claim"].nunique()
        charts.append((bars + dots).properties(width=PANEL - 30, height=height, title=title))
    return configure(alt.concat(*charts, columns=2))


def specification_curves(
    panels: Mapping[str, tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]], x_title: str
) -> alt.TopLevelMixin:
    """Draw each claim's effect in all universes, sorted, with intervals, over a strip of the choices that they make.

    Args:
        panels: by title, three tables. The curve: rank (0 to 1), effect, low, high. The marked universe: rank, effect.
            The strip: start and end (of rank), level, value (how often the level stands there, over how often at all).
        x_title: of the universes' ranks.
    """
    charts = []
    x = alt.X("rank:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(labels=False, ticks=False))
    for title, (curve, marked, strip) in panels.items():
        base = alt.Chart(rounded(curve)).encode(x=x)
        y = alt.Y(
            "effect:Q", title="effect", scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(format="~g", tickCount=5)
        )
        zero = alt.Chart(pd.DataFrame({"effect": [0.0]})).mark_rule(strokeDash=[4, 4], color="#666666").encode(y=y)
        dot = alt.Chart(rounded(marked)).mark_point(shape="diamond", filled=True, size=90, color="#D55E00", opacity=1)
        above = alt.layer(
            base.mark_area(color="#56B4E9", opacity=0.35).encode(y=alt.Y("low:Q", title="effect"), y2="high:Q"),
            base.mark_line(color="#0072B2", strokeWidth=1.5).encode(y=y),
            zero,
            dot.encode(x=x, y=y, tooltip=[alt.Tooltip("effect:Q", format=".3~g")]),
        ).properties(width=PANEL - 75, height=130, title=title)
        below = (
            alt.Chart(rounded(strip))
            .mark_rect()
            .encode(
                x=alt.X(
                    "start:Q",
                    title=x_title,
                    scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(format="~%", values=[0, 0.5, 1]),
                ),
                x2="end:Q",
                y=alt.Y("level:N", title=None, sort=list(strip["level"].unique()), axis=alt.Axis(labelLimit=200)),
                color=alt.Color(
                    "value:Q",
                    title="times its share at all",
                    scale=alt.Scale(domain=[0, 1, 3], range=["#ffffff", "#d9d9d9", "#084081"], clamp=True),
                    legend=alt.Legend(direction="horizontal"),
                ),
                tooltip=["level:N", alt.Tooltip("value:Q", format=".2f")],
            )
            .properties(width=PANEL - 75, height=13 * strip["level"].nunique())
        )
        charts.append(alt.vconcat(above, below, spacing=4))
    both = alt.concat(*charts, columns=2).resolve_scale(x="independent", y="independent")
    return configure(both.properties(padding={"left": 40, "right": 5, "top": 5, "bottom": 5}))


SET_COLORS = ("#0072B2", "#D55E00", "#009E73")
SET_SHAPES = ("circle", "diamond", "triangle")


def shares_by_count(frame: pd.DataFrame, x_title: str, marked: int, of_mark: str) -> alt.TopLevelMixin:
    """Draw what share of each set of universes reproduces how many observations.

    Args:
        frame: columns set (at most three), reproduced, share.
        x_title: of the counts.
        marked: a count that a dotted line marks, named `of_mark`.
    """
    sets = list(frame["set"].unique())
    base = alt.Chart(rounded(frame)).encode(
        x=alt.X("reproduced:Q", title=x_title, axis=alt.Axis(format="d", tickMinStep=1)),
        y=alt.Y("share:Q", title="share of universes", axis=alt.Axis(format="~%")),
        color=alt.Color("set:N", title=None, scale=alt.Scale(domain=sets, range=list(SET_COLORS[: len(sets)]))),
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        shape=alt.Shape("set:N", title=None, scale=alt.Scale(domain=sets, range=list(SET_SHAPES[: len(sets)]))),
        tooltip=["set:N", "reproduced:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    place = alt.Chart(pd.DataFrame({"reproduced": [marked], "name": [of_mark]})).encode(x="reproduced:Q")
    line = place.mark_rule(strokeDash=[2, 2], color="#666666")
    name = place.mark_text(align="left", dx=4, dy=-75, color="#444444").encode(text="name:N")
    chart = alt.layer(base.mark_line(strokeWidth=1.5), dots, line, name).properties(width=2 * PANEL - 60, height=170)
    return configure(alt.concat(chart))


def levels_of_near(levels: pd.DataFrame, columns: int = 3) -> alt.TopLevelMixin:
    """Draw how often each level stands among near universes, beside how often it was drawn, a panel an axis.

    Args:
        levels: columns axis, level, share, low, high and drawn.
        columns: panels in a row.
    """
    charts = []
    for axis, frame in levels.groupby("axis", sort=False):
        base = alt.Chart(rounded(frame)).encode(
            y=alt.Y("level:N", title=None, sort=list(frame["level"]), axis=alt.Axis(labelLimit=130))
        )
        x = alt.X("share:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%", tickCount=3))
        bars = base.mark_rule(color="#0072B2").encode(x=alt.X("low:Q", title=None), x2="high:Q")
        told = ["level:N", *(alt.Tooltip(f"{one}:Q", format=".0%") for one in ("share", "low", "high", "drawn"))]
        dots = base.mark_point(filled=True, size=45, color="#0072B2", opacity=1).encode(x=x, tooltip=told)
        drawn = base.mark_tick(color="#D55E00", thickness=2).encode(x="drawn:Q")
        charts.append((bars + drawn + dots).properties(width=130, height=17 * len(frame), title=str(axis)))
    return configure(alt.concat(*charts, columns=columns))
