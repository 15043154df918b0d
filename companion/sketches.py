"""The small pictures of the chapters: a handful of neurons, and curves of a formula."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
import torch

from companion.figures import DASHES, NARROW_PANEL, ORIGINAL, PANEL, RECONSTRUCTION, WINDOW, configure, rounded
from companion.model import Parameters, activations, predict, prototypes

CURVE_COLORS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
"""The masks' palette in an order whose first colours differ most: curves of a formula are few."""


def network(x: torch.Tensor, y: torch.Tensor, networks: Mapping[str, Parameters]) -> alt.TopLevelMixin:
    """Draw networks of a few neurons, a panel each: bumps a_j h_j, the curve f, the data and the prototypes.

    Args:
        x, y: training data, shape (samples,).
        networks: panel titles, each with the parameters of one network (w, b, a of shape (neurons,)).
    """
    grid = torch.linspace(-0.5, 1.5, 201, dtype=x.dtype)
    panels = []
    for title, parameters in networks.items():
        bumps = activations(grid, parameters.w, parameters.b) * parameters.a
        positions = prototypes(parameters.w, parameters.b)
        inside = (positions > grid[0]) & (positions < grid[-1])
        curves = pd.DataFrame(
            {
                "x": np.tile(grid.numpy(), bumps.shape[1]),
                "value": bumps.T.flatten().numpy(),
                "neuron": np.repeat(np.arange(1, bumps.shape[1] + 1), len(grid)),
            }
        )
        fitted = pd.DataFrame({"x": grid.numpy(), "value": predict(grid, *parameters).numpy()})
        marks = pd.DataFrame({"x": positions.numpy(), "value": predict(positions, *parameters).numpy()})[inside.numpy()]
        axes = {"x": alt.X("x:Q", title="x", scale=alt.Scale(domain=[-0.5, 1.5], nice=False))}
        axes["y"] = alt.Y("value:Q", title="value", scale=alt.Scale(domain=[-1.5, 2], clamp=True))
        layers = alt.layer(
            alt.Chart(rounded(curves)).mark_line(strokeWidth=1, color="#999999").encode(detail="neuron:N", **axes),
            alt.Chart(rounded(fitted)).mark_line(strokeWidth=2, color="black").encode(**axes),
            alt.Chart(pd.DataFrame({"x": x.numpy(), "value": y.numpy()}))
            .mark_point(filled=True, size=70, color=ORIGINAL, opacity=1)
            .encode(**axes),
            alt.Chart(rounded(marks))
            .mark_point(filled=True, size=70, shape="diamond", color=RECONSTRUCTION, opacity=1)
            .encode(**axes),
        )
        left, right = int((positions <= grid[0]).sum()), int((positions >= grid[-1]).sum())
        heading = alt.Title(title, subtitle=f"prototypes beyond: {left} left, {right} right")
        panels.append(layers.properties(width=NARROW_PANEL + 95, height=190, title=heading))
    return configure(alt.concat(*panels, columns=2))


def paths(x: torch.Tensor, steps: Sequence[int], trajectories: Mapping[str, torch.Tensor]) -> alt.TopLevelMixin:
    """Draw the paths of a few prototypes through training, a panel each; the samples as lines across.

    Args:
        x: training inputs, shape (samples,).
        steps: recorded steps.
        trajectories: panel titles, each with prototypes of shape (recorded steps, neurons).
    """
    panels = []
    samples = pd.DataFrame({"position": x.numpy()})
    for title, trajectory in trajectories.items():
        neurons = trajectory.shape[1]
        frame = pd.DataFrame(
            {
                "step": np.repeat(steps, neurons),
                # A path beyond the window breaks off there: drawn at the edge it would seem to stay.
                "position": np.where((trajectory > WINDOW[0]) & (trajectory < WINDOW[1]), trajectory, np.nan).flatten(),
                "neuron": np.tile(np.arange(1, neurons + 1), len(steps)),
            }
        )
        y = alt.Y("position:Q", title="prototype -b/w", scale=alt.Scale(domain=list(WINDOW), nice=False))
        lines = (
            alt.Chart(rounded(frame))
            .mark_line(strokeWidth=1.8)
            .encode(
                x=alt.X("step:Q", title="step"),
                y=y,
                color=alt.Color("neuron:N", scale=alt.Scale(range=list(CURVE_COLORS)), legend=None),
                strokeDash=alt.StrokeDash(
                    "neuron:N", scale=alt.Scale(range=[list(dash) for dash in DASHES]), legend=None
                ),
            )
        )
        rules = alt.Chart(samples).mark_rule(color=ORIGINAL, opacity=0.35, strokeWidth=1).encode(y=y)
        last = trajectory[-1]
        left, right = int((last <= WINDOW[0]).sum()), int((last >= WINDOW[1]).sum())
        heading = alt.Title(title, subtitle=f"ended beyond: {left} below, {right} above")
        panels.append((rules + lines).properties(width=NARROW_PANEL + 80, height=210, title=heading))
    return configure(alt.concat(*panels, columns=2))


def curves(
    frame: pd.DataFrame, x_title: str, y_title: str, y_type: str = "linear", x_type: str = "linear"
) -> alt.TopLevelMixin:
    """Draw curves of a formula.

    Args:
        frame: columns x, value and curve (its name).
        x_title, y_title: axis titles.
        x_type, y_type: "linear", "log" or "symlog".
    """
    names = list(frame["curve"].unique())
    colors = list(CURVE_COLORS[: len(names)])
    chart = (
        alt.Chart(rounded(frame))
        .mark_line()
        .encode(
            x=alt.X("x:Q", title=x_title, scale=alt.Scale(type=x_type, nice=False), axis=alt.Axis(format="~g")),
            y=alt.Y("value:Q", title=y_title, scale=alt.Scale(type=y_type), axis=alt.Axis(format="~g")),
            color=alt.Color("curve:N", title=None, scale=alt.Scale(domain=names, range=colors)),
            strokeDash=alt.StrokeDash(
                "curve:N",
                title=None,
                scale=alt.Scale(domain=names, range=[list(dash) for dash in DASHES[: len(names)]]),
            ),
        )
    )
    return configure(alt.concat(chart.properties(width=NARROW_PANEL * 2, height=220)))


def bars(values: Mapping[str, float], title: str) -> alt.TopLevelMixin:
    """Draw bars on a logarithmic axis, each with its number.

    Args:
        values: positive numbers by name, drawn in their order.
        title: of the axis.
    """
    frame = pd.DataFrame({"name": list(values), "value": list(values.values())})
    frame["label"] = [f"{value:.3g}" for value in frame["value"]]
    low, high = frame["value"].min(), frame["value"].max()
    scale = alt.Scale(type="log", domain=[low / 3, high * 3])
    chart = alt.Chart(frame).encode(
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=180)),
        x=alt.X("value:Q", title=title, scale=scale, axis=alt.Axis(format="~g", tickCount=4)),
    )
    # A bar on a logarithmic axis has no zero to start from: it starts at the axis.
    drawn = chart.mark_bar(color=ORIGINAL).encode(x2=alt.datum(low / 3))
    numbers = chart.mark_text(align="left", dx=4, fontSize=11).encode(text="label:N")
    return configure(alt.concat((drawn + numbers).properties(width=NARROW_PANEL, height=30 * len(frame))))


def points(x: torch.Tensor, y: torch.Tensor, pairs: pd.DataFrame) -> alt.TopLevelMixin:
    """Draw one run's originals and reconstructions, joined as the matching joins them.

    Args:
        x, y: training data, shape (samples,).
        pairs: rows of `companion.figures.reconstruction_points`.
    """
    axis = alt.X("prototype:Q", title="x, prototype -b/w", scale=alt.Scale(nice=False, padding=10))
    value = alt.Y("value:Q", title="y, network")
    data = pd.DataFrame({"prototype": x.numpy(), "value": y.numpy()})
    layers = alt.layer(
        alt.Chart(pairs).mark_rule(strokeDash=[2, 2], color="#999999").encode(x=axis, x2="x:Q", y=value, y2="y:Q"),
        alt.Chart(data).mark_point(filled=True, size=80, color=ORIGINAL, opacity=1).encode(x=axis, y=value),
        alt.Chart(pairs)
        .mark_point(filled=True, size=80, shape="diamond", color=RECONSTRUCTION, opacity=1)
        .encode(x=axis, y=value),
    )
    return configure(alt.concat(layers.properties(width=NARROW_PANEL * 2, height=210)))


PART_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D0D0D0")
"""Grounds of the parts of stacked bars, light enough for a black sign."""


def stacked(panels: Mapping[str, pd.DataFrame], signs: Mapping[str, str], title: str) -> alt.TopLevelMixin:
    """Draw shares as stacked bars, a panel each; a part's sign stands in it where there is room.

    Args:
        panels: by title, rows name, part, share, and beside (the part whose sign stands at the end of the name's
            bar); shares of a name add up to 1.
        signs: the parts' signs, in the order in which they are stacked; at most four.
        title: of the axis.
    """
    parts = list(signs)
    colors = alt.Scale(domain=parts, range=list(PART_COLORS[: len(parts)]))
    axis = alt.Axis(format="~%", values=[0, 0.5, 1])
    charts = []
    for heading, frame in panels.items():
        drawn = frame.assign(order=frame["part"].map(parts.index)).sort_values("order", kind="stable")
        drawn["end"] = drawn.groupby("name", sort=False)["share"].cumsum()
        drawn["start"] = drawn["end"] - drawn["share"]
        drawn["middle"], drawn["sign"] = (drawn["start"] + drawn["end"]) / 2, drawn["part"].map(signs)
        ends = drawn.drop_duplicates("name").assign(sign=lambda rows: rows["beside"].map(signs), middle=1.06)
        y = alt.Y("name:N", title=None, sort=list(frame["name"].unique()))
        bars = (
            alt.Chart(rounded(drawn))
            .mark_bar(stroke="white", strokeWidth=1)
            .encode(
                y=y,
                x=alt.X("start:Q", title=title, scale=alt.Scale(domain=[0, 1.1], nice=False), axis=axis),
                x2="end:Q",
                color=alt.Color("part:N", title=None, scale=colors),
                tooltip=["name:N", "part:N", alt.Tooltip("share:Q", format=".1%")],
            )
        )
        marks = rounded(pd.concat([drawn[drawn["share"] > 0.06], ends]))
        text = alt.Chart(marks).mark_text(fontSize=12).encode(y=y, x="middle:Q", text="sign:N")
        height = 21 * frame["name"].nunique()
        charts.append((bars + text).properties(width=PANEL - 45, height=height, title=heading))
    return configure(alt.concat(*charts, columns=2))


def grids(panels: Mapping[str, pd.DataFrame], title: str, ends: tuple[float, float]) -> alt.TopLevelMixin:
    """Draw shares as heat maps, a panel each, every cell with its number.

    Args:
        panels: by title, columns row, column and value; rows and columns in the order in which they come.
        title: of the values.
        ends: values of the darkest and the lightest cell.
    """
    charts = []
    for heading, frame in panels.items():
        rows, columns = (list(frame[side].unique()) for side in ("row", "column"))
        base = alt.Chart(rounded(frame)).encode(
            x=alt.X("column:N", title=None, sort=columns, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("row:N", title=None, sort=rows),
        )
        scale = alt.Scale(scheme="cividis", domain=list(ends), clamp=True)
        cells = base.mark_rect().encode(
            color=alt.Color("value:Q", title=title, scale=scale, legend=None),
            tooltip=["row:N", "column:N", alt.Tooltip("value:Q", format=".3~g", title=title)],
        )
        numbers = base.mark_text(fontSize=10).encode(
            text=alt.Text("value:Q", format=".2f"),
            color=alt.condition(alt.datum["value"] > sum(ends) / 2, alt.value("black"), alt.value("white")),
        )
        width, height = 30 * len(columns), 26 * len(rows)
        charts.append((cells + numbers).properties(width=width, height=height, title=heading))
    return configure(alt.concat(*charts, columns=2))
