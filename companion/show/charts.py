"""The small pictures of the chapters: a handful of neurons, and curves of a formula."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import torch
from altair.typing import ChartType

from companion.core.network import Parameters, activations, predict, prototypes
from companion.core.settings import MASK_LABELS
from companion.judging.verdicts import LOGARITHMIC, PLACE, Verdict
from companion.show.figures import (
    CHANCE,
    COLORS,
    DASHES,
    MISSING,
    NARROW_PANEL,
    ORIGINAL,
    PANEL,
    RECONSTRUCTION,
    SHAPES,
    Scale,
    configure,
    numbers_in_cells,
    rounded,
)
from companion.sweeps.runs import WINDOW

CURVE_COLORS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
"""The masks' palette in an order whose first colours differ most: curves of a formula are few."""


def network(x: torch.Tensor, y: torch.Tensor, networks: Mapping[str, Parameters]) -> alt.TopLevelMixin:
    """Draw networks of a few neurons, a panel each: bumps a_j h_j, the curve f, the data and the prototypes.

    Args:
        x, y: training data, shape (samples,).
        networks: panel titles, each with the parameters of one network (w, b, a of shape (neurons,)).
    """
    return networks_with_data({title: (x, y, parameters) for title, parameters in networks.items()})


def networks_with_data(panels: Mapping[str, tuple[torch.Tensor, torch.Tensor, Parameters]]) -> alt.TopLevelMixin:
    """Draw networks as `network` does, each with data of its own.

    Args:
        panels: by title, training data x and y of shape (samples,) and the parameters of one network.
    """
    charts = []
    for title, (x, y, parameters) in panels.items():
        grid = torch.linspace(-0.5, 1.5, 201, dtype=x.dtype)
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
        axes: dict[str, Any] = {"x": alt.X("x:Q", title="x", scale=alt.Scale(domain=[-0.5, 1.5], nice=False))}
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
        charts.append(layers.properties(width=NARROW_PANEL + 95, height=190, title=heading))
    return configure(alt.concat(*charts, columns=2))


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


def motion(x: torch.Tensor, moves: pd.DataFrame, every: int = 2, columns: int = 4) -> alt.TopLevelMixin:
    """Draw the paths of all prototypes of one run of every mask, a small panel each; the samples as ticks at the end.

    Args:
        x: training inputs of these runs, shape (samples,).
        moves: rows of one size of `companion.studies.motion.trajectories`: mask, step, neuron, position. They are
            drawn on an axis of square roots; a path breaks off where it leaves the window. A panel says how many lie
            outside the samples' range before and after training, and beyond the window after it.
        every: draw every second kept step, or fewer; the first and the last are among them.
        columns: panels in a row.
    """
    last = moves["step"].max()
    kept = sorted(moves["step"].unique())
    drawn = moves[moves["step"].isin({0, *kept[::-every]})]
    y = alt.Y("position:Q", title=None, scale=alt.Scale(domain=list(WINDOW), nice=False), axis=alt.Axis(tickCount=4))
    steps = alt.Scale(type="sqrt", domain=[0, float(last) * 1.02], nice=False)
    axis = alt.X("step:Q", title="step", scale=steps, axis=alt.Axis(values=[0, last // 20, last // 4, last]))
    samples = pd.DataFrame({"position": x.numpy(), "step": last})
    shade = pd.DataFrame({"low": [float(x.min())], "high": [float(x.max())]})
    panels = []
    for mask, path in drawn.groupby("mask"):
        frame = path[["step", "neuron"]].assign(position=path["position"].where(path["position"].between(*WINDOW)))
        start, end = (path.loc[path["step"] == step, "position"] for step in (0, last))
        out = [int((~at.between(float(x.min()), float(x.max()))).sum()) for at in (start, end)]
        below, above = int((end < WINDOW[0]).sum()), int((end > WINDOW[1]).sum())
        counts = [f"outside: {out[0]}, then {out[1]} of {len(x)}", f"beyond: {below} below, {above} above"]
        heading = alt.Title(MASK_LABELS[str(mask)], subtitle=counts)
        ground = alt.Chart(rounded(shade)).mark_rect(color="#f0e442", opacity=0.25)
        lines = alt.Chart(rounded(frame)).mark_line(strokeWidth=0.8, opacity=0.75, color=RECONSTRUCTION, clip=True)
        ticks = alt.Chart(rounded(samples)).mark_tick(orient="horizontal", color=ORIGINAL, size=9, thickness=1)
        layers = alt.layer(
            ground.encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
            lines.encode(x=axis, y=y, detail="neuron:N"),
            ticks.encode(x=axis, y=y),
        )
        panels.append(layers.properties(width=NARROW_PANEL - 45, height=150, title=heading))
    return configure(alt.concat(*panels, columns=columns))


def as_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's columns as curves over its index: what `curves` draws, a row a point.

    Args:
        table: numbers; the names of its columns are those of the curves.
    """
    return table.rename_axis("x").melt(ignore_index=False, var_name="curve").reset_index()


def curve_rows(x: torch.Tensor, values: Mapping[str, torch.Tensor]) -> pd.DataFrame:
    """Return several quantities at the same places as curves: see `as_curves`.

    Args:
        x: places, shape (places,).
        values: by the curve's name, shape (places,).
    """
    return as_curves(pd.DataFrame({name: value.numpy() for name, value in values.items()}, index=x.numpy()))


def curves(
    frame: pd.DataFrame, x_title: str, y_title: str, y_type: Scale = "linear", x_type: Scale = "linear"
) -> alt.TopLevelMixin:
    """Draw curves of a formula.

    Args:
        frame: columns x, value and curve (its name).
        x_title, y_title: axis titles.
        x_type, y_type: "linear", "log" or "symlog".
    """
    return configure(alt.concat(_curves(frame, x_title, y_title, y_type, x_type)))


def curves_at(frame: pd.DataFrame, x_title: str, y_title: str, place: float) -> alt.TopLevelMixin:
    """Draw curves of a formula, and a place on the x axis as a dotted line across them.

    Args:
        frame: columns x, value and curve (its name).
        x_title, y_title: axis titles.
        place: in units of x.
    """
    line = alt.Chart(pd.DataFrame({"x": [place]})).mark_rule(color=CHANCE, strokeDash=[2, 2], strokeWidth=1.5)
    return configure(alt.concat(_curves(frame, x_title, y_title, "linear", "linear") + line.encode(x="x:Q")))


def _curves(frame: pd.DataFrame, x_title: str, y_title: str, y_type: Scale, x_type: Scale) -> alt.Chart:
    """The panel of `curves`."""
    names = list(frame["curve"].unique())
    colors = list(CURVE_COLORS[: len(names)])
    chart = (
        alt.Chart(rounded(frame))
        .mark_line()
        .encode(
            x=alt.X("x:Q", title=x_title, scale=alt.Scale(type=x_type, nice=False), axis=_numbers(x_type)),
            y=alt.Y("value:Q", title=y_title, scale=alt.Scale(type=y_type), axis=_numbers(y_type)),
            color=alt.Color("curve:N", title=None, scale=alt.Scale(domain=names, range=colors)),
            strokeDash=alt.StrokeDash(
                "curve:N",
                title=None,
                scale=alt.Scale(domain=names, range=[list(dash) for dash in DASHES[: len(names)]]),
            ),
        )
    )
    return chart.properties(width=NARROW_PANEL * 2, height=220)


def named_curves(frame: pd.DataFrame, x_title: str, y_title: str, ticks: Sequence[float]) -> alt.TopLevelMixin:
    """Draw curves that rise from 0 to 1 over a logarithmic axis, each with its name near half its height.

    Args:
        frame: columns x, value and curve (its name).
        x_title, y_title: axis titles.
        ticks: numbers to write below the horizontal axis.
    """
    cues = _cues(list(frame["curve"].unique()), color=CURVE_COLORS, strokeDash=DASHES)
    for cue in cues.values():
        cue.legend = None
    lines = alt.Chart(rounded(frame)).mark_line(point=alt.OverlayMarkDef(size=35))
    lines = lines.encode(
        x=alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(values=list(ticks), format="d"),
        ),
        y=alt.Y("value:Q", title=y_title, scale=alt.Scale(type="linear"), axis=_numbers("linear")),
        **cues,
    )
    # A little above half: a curve that jumps from 0 to 1 has its name at 1.
    height = (frame["value"] - 0.52).abs()
    named = frame.loc[height.groupby(frame["curve"]).idxmin()]
    names = alt.Chart(named).mark_text(align="left", dx=6, dy=12, fontSize=12)
    names = names.encode(x="x:Q", y="value:Q", text="curve:N")
    return configure(alt.concat(lines.properties(width=NARROW_PANEL * 2, height=220) + names))


def forest(cases: pd.DataFrame, title: str, ratios: bool) -> alt.TopLevelMixin:
    """Draw a claim's cases: each effect with its interval, against the line of no difference.

    Args:
        cases: columns label, effect, low, high and outcome ("supported", "open" or "contradicted"), in the order drawn.
        title: of the axis.
        ratios: whether the effects are ratios (a logarithmic axis, no difference at 1) or differences (0).
    """
    outcomes = ["supported", "open", "contradicted"]
    base = alt.Chart(rounded(cases[["label", "effect", "low", "high", "outcome"]])).encode(
        y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
        color=alt.Color(
            "outcome:N", title=None, scale=alt.Scale(domain=outcomes, range=[ORIGINAL, "#666666", RECONSTRUCTION])
        ),
    )
    scale = alt.Scale(type="log", nice=False, padding=12) if ratios else alt.Scale(zero=False, nice=False, padding=12)
    x = alt.X("effect:Q", title=title, scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    line = alt.Chart(pd.DataFrame({"none": [1.0 if ratios else 0.0]})).mark_rule(color="#999999", strokeDash=[4, 3])
    shape = alt.Shape("outcome:N", title=None, scale=alt.Scale(domain=outcomes, range=["circle", "diamond", "cross"]))
    layers = alt.layer(
        line.encode(x="none:Q"),
        base.mark_rule(strokeWidth=1.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x, shape=shape),
    )
    return configure(alt.concat(layers.properties(width=NARROW_PANEL * 1.2, height=max(90, 17 * len(cases)))))


def verdict_forest(verdict: Verdict) -> alt.TopLevelMixin:
    """Draw the cases of a verdict as a `forest`, each by the statement that decided it.

    A case of several statements is named with the groups compared in it; where a mask's place is compared, with the
    mask.
    """
    cases = verdict.table
    parts = cases["comparison"].str.split(": ")
    compared = parts.str[0].where(cases["metric"] == PLACE, parts.str[1])
    several = [len(case.statements) > 1 for case in verdict.cases]
    labels = cases["case"].where(~np.array(several), cases["case"] + ": " + compared)
    ratios = bool(cases["metric"].isin(LOGARITHMIC).all())
    title = f"median {'ratio' if ratios else 'difference'}, 95 % interval"
    return forest(cases.assign(label=labels), title, ratios)


def by_margin(panels: Mapping[str, tuple[str, pd.DataFrame]]) -> alt.TopLevelMixin:
    """Draw how the cases of claims come out against the margin, a panel a claim, with the verdict's sign above.

    Args:
        panels: by title, what the margin is (the axis' title) and a frame of the columns margin (in the order drawn),
            outcome, cases (how many) and sign (of the verdict at that margin); taken is whether the rule takes it.
    """
    outcomes = ["supported", "open", "contradicted"]
    colors = alt.Scale(domain=outcomes, range=[MAP_COLORS[0], MAP_COLORS[3], MAP_COLORS[2]])
    charts = []
    for heading, (title, frame) in panels.items():
        x = alt.X("margin:N", title=title, sort=list(frame["margin"].unique()), axis=alt.Axis(labelAngle=0))
        y = alt.Y("cases:Q", title="cases", axis=alt.Axis(tickMinStep=1, tickCount=4))
        bars = (
            alt.Chart(frame)
            .mark_bar(stroke="white")
            .encode(
                x=x,
                y=y,
                color=alt.Color("outcome:N", title=None, scale=colors),
                order="order:Q",
                tooltip=["margin:N", "outcome:N", "cases:Q"],
            )
        )
        heads = frame.groupby(["margin", "sign", "taken"], sort=False, as_index=False)["cases"].sum()
        signs = alt.Chart(heads).mark_text(dy=-9, fontSize=13).encode(x=x, y="cases:Q", text="sign:N")
        taken = (
            alt.Chart(heads[heads["taken"]])
            .mark_text(dy=-22, fontSize=11)
            .encode(x=x, y="cases:Q", text=alt.value("▼"))
        )
        charts.append((bars + signs + taken).properties(width=PANEL - 90, height=110, title=heading))
    return configure(alt.concat(*charts, columns=2))


def curve_panels(frames: Mapping[str, tuple[float | None, pd.DataFrame]], x_title: str) -> alt.TopLevelMixin:
    """Draw the same few curves in one quantity after another, a panel each, with a line at zero.

    Args:
        frames: y titles, each with the axis' constant and a frame of the columns x, value (NaN breaks a curve) and
            curve (its name). The axis is linear up to about the constant, on both sides of zero, and logarithmic
            beyond, marked at the constant times powers of ten; None is a linear axis.
        x_title: title of the axis that the panels share.
    """
    names = list(next(iter(frames.values()))[1]["curve"].unique())
    colors = alt.Scale(domain=names, range=list(CURVE_COLORS[: len(names)]))
    dashes = alt.Scale(domain=names, range=[list(dash) for dash in DASHES[: len(names)]])
    encode: dict[str, Any] = {
        "color": alt.Color("curve:N", title=None, scale=colors),
        "strokeDash": alt.StrokeDash("curve:N", title=None, scale=dashes),
    }
    panels = []
    for title, (constant, frame) in frames.items():
        scale, ticks = alt.Scale(), alt.Undefined
        if constant is not None:
            low, high = frame["value"].min(), frame["value"].max()
            marks = [sign * constant * 10.0**power for power in range(9) for sign in (-1, 1)]
            scale = alt.Scale(type="symlog", constant=constant)
            ticks = [0.0, *(mark for mark in marks if low <= mark <= high)]
        y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(format="~r", values=ticks))
        x = alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False), axis=alt.Axis(format="~r", tickCount=5))
        zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(color=CHANCE).encode(y=y)
        lines = alt.Chart(rounded(frame)).mark_line().encode(x=x, y=y, **encode)
        panels.append((zero + lines).properties(width=NARROW_PANEL + 80, height=220))
    return configure(alt.concat(*panels, columns=2))


def force_fields(
    positions: torch.Tensor,
    fields: Mapping[str, Mapping[str, torch.Tensor]],
    samples: torch.Tensor,
    others: torch.Tensor,
) -> alt.TopLevelMixin:
    """Draw the forces on one neuron against its position, a panel a setting.

    Args:
        positions: where the neuron is put, shape (positions,).
        fields: panel titles, each with the forces by name, shape (positions,), as
            `companion.studies.forces.force_field` has them. Their axis is linear up to 0.01 on both sides of zero and
            logarithmic beyond.
        samples: training inputs, drawn as ticks on the line of no force.
        others: the other neurons' prototypes, drawn as diamonds there.
    """
    names = list(next(iter(fields.values())))
    cues: dict[str, Any] = {
        "color": alt.Color(
            "force:N", title=None, scale=alt.Scale(domain=names, range=list(CURVE_COLORS[1 : len(names)]) + ["#000000"])
        ),
        "strokeDash": alt.StrokeDash(
            "force:N",
            title=None,
            scale=alt.Scale(domain=names, range=[list(dash) for dash in DASHES[1 : len(names)]] + [[1, 0]]),
        ),
    }
    highest = max(float(values.abs().max()) for forces in fields.values() for values in forces.values())
    marks = [sign * 10.0**power for power in range(-2, 9) for sign in (-1, 1) if 10.0**power <= highest]
    panels = []
    for title, forces in fields.items():
        frame = pd.concat(
            pd.DataFrame({"x": positions.numpy(), "value": values.numpy(), "force": name})
            for name, values in forces.items()
        )
        ends = [float(positions.min()), float(positions.max())]
        x = alt.X("x:Q", title="position of the prototype", scale=alt.Scale(domain=ends, nice=False))
        y = alt.Y(
            "value:Q",
            title="force",
            scale=alt.Scale(type="symlog", constant=0.01, domain=[-highest, highest]),
            axis=alt.Axis(format="~r", values=[0.0, *marks]),
        )
        zero = pd.DataFrame({"value": 0.0, "x": samples.numpy()})
        layers = alt.layer(
            alt.Chart(zero.head(1)).mark_rule(color=CHANCE).encode(y=y),
            alt.Chart(rounded(zero)).mark_tick(color=ORIGINAL, thickness=2, size=22).encode(x=x, y=y),
            alt.Chart(rounded(zero.head(len(others)).assign(x=others.numpy())))
            .mark_point(filled=True, shape="diamond", size=70, color=RECONSTRUCTION, opacity=1)
            .encode(x=x, y=y),
            alt.Chart(rounded(frame)).mark_line(strokeWidth=1.6).encode(x=x, y=y, **cues),
        )
        panels.append(layers.properties(width=NARROW_PANEL + 80, height=230, title=title))
    return configure(alt.concat(*panels, columns=2))


MAP_COLORS = ("#009E73", "#56B4E9", "#E69F00", "#D0D0D0", "#CC79A7", "#FFFFFF")
"""Grounds of verdicts, in a map and in stacked bars, light enough for a black sign."""


def verdict_map(panels: Mapping[str, pd.DataFrame], signs: Mapping[str, str]) -> alt.TopLevelMixin:
    """Draw verdicts as a map of claims and cells, a panel each, every cell with its verdict's colour and sign.

    Args:
        panels: by title, columns row, column and verdict; rows and columns in the order in which they come.
        signs: the verdicts' signs, in the order of the legend; at most six.
    """
    scale = alt.Scale(domain=list(signs), range=list(MAP_COLORS[: len(signs)]))
    charts = []
    for number, (heading, frame) in enumerate(panels.items()):
        rows, columns = (list(frame[side].unique()) for side in ("row", "column"))
        labels = alt.Axis(labels=number == 0, ticks=number == 0, domain=False)
        base = alt.Chart(frame.assign(sign=frame["verdict"].map(signs).fillna(MISSING))).encode(
            x=alt.X("column:N", title="d", sort=columns, axis=alt.Axis(labelAngle=0, domain=False)),
            y=alt.Y("row:N", title=None, sort=rows, axis=labels),
        )
        cells = base.mark_rect(stroke="#808080", strokeWidth=0.7).encode(
            color=alt.Color("verdict:N", title=None, scale=scale, legend=alt.Legend(columns=3)),
            tooltip=["row:N", "column:N", "verdict:N"],
        )
        text = base.mark_text(fontSize=13, color="black").encode(text="sign:N")
        width, height = 25 * len(columns), 22 * len(rows)
        charts.append((cells + text).properties(width=width, height=height, title=heading))
    return configure(alt.concat(*charts, columns=4, spacing=10).properties(padding=_room(left=30)))


def _room(left: int = 5, right: int = 5) -> dict[str, int]:
    """Room around a picture. A browser's letters may be wider than those it is laid out by: long names need more."""
    return {"left": left, "top": 5, "right": right, "bottom": 5}


def by_dimension(panels: Mapping[str, pd.DataFrame], log: Collection[str] = ()) -> alt.TopLevelMixin:
    """Draw numbers with their intervals against d, a panel each.

    Args:
        panels: by title, columns dimension, curve (its name; the last two, in grey, are what the others are read
            beside), value, low and high (NaN: no bar).
        log: titles of panels whose values stand on a logarithmic axis.
    """
    names = list(dict.fromkeys(name for frame in panels.values() for name in frame["curve"]))
    own = len(names) - 2
    encode = _cues(
        names,
        color=[*CURVE_COLORS[:own], CHANCE, CHANCE],
        strokeDash=[*DASHES[:own], [4, 4], [1, 3]],
        shape=[*SHAPES[:own], "stroke", "stroke"],
    )
    dimensions = sorted({d for frame in panels.values() for d in frame["dimension"]})
    x = alt.X(
        "dimension:Q",
        title="dimension d",
        scale=alt.Scale(type="log", base=2, domain=[dimensions[0] * 0.9, dimensions[-1] * 1.1], nice=False),
        axis=alt.Axis(values=dimensions, format="d"),
    )
    charts = [
        _with_intervals(frame, x, encode, title in log).properties(title=title, height=230)
        for title, frame in panels.items()
    ]
    return configure(alt.concat(*charts, columns=2))


def clouds(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], columns: int = 4) -> alt.TopLevelMixin:
    """Draw samples and prototypes in the plane, a panel each; those beyond the window are counted.

    Args:
        panels: by title, samples and prototypes, each of shape (points, 2).
        columns: panels in a row.
    """
    window = [-0.5, 1.5]
    scale, axis = alt.Scale(domain=window, nice=False), alt.Axis(values=[0, 0.5, 1])
    x, y = alt.X("x:Q", title=None, scale=scale, axis=axis), alt.Y("y:Q", title=None, scale=scale, axis=axis)
    charts = []
    for title, (samples, positions) in panels.items():
        inside = ((positions > window[0]) & (positions < window[1])).all(-1)
        layers = [
            alt.Chart(rounded(pd.DataFrame(points, columns=["x", "y"])))
            .mark_point(filled=True, size=size, shape=shape, color=color, opacity=0.85)
            .encode(x=x, y=y)
            for points, shape, color, size in (
                (samples, "circle", ORIGINAL, 42),
                (positions[inside], "diamond", RECONSTRUCTION, 30),
            )
        ]
        heading = alt.Title(title, subtitle=f"beyond: {int((~inside).sum())} of {len(positions)}")
        charts.append(alt.layer(*layers).properties(width=NARROW_PANEL - 28, height=NARROW_PANEL - 28, title=heading))
    return configure(alt.concat(*charts, columns=columns, spacing=12))


def by_size(panels: Mapping[str, pd.DataFrame], log: Collection[str] = ()) -> alt.TopLevelMixin:
    """Draw numbers with their intervals against N, a panel each; masks in their colours, whatever else in grey.

    Args:
        panels: by title, columns size, curve (a mask's label or another name), value, low and high (NaN: no bar).
        log: titles of panels whose values stand on a logarithmic axis.
    """
    used = [name for frame in panels.values() for name in frame["curve"]]
    masks = [label for label in MASK_LABELS.values() if label in used]
    others = [name for name in dict.fromkeys(used) if name not in masks]
    order = [list(MASK_LABELS.values()).index(label) for label in masks]
    encode = _cues(
        masks + others,
        color=[COLORS[k] for k in order] + [CHANCE] * len(others),
        strokeDash=[DASHES[k] for k in order] + [[1, 3], [4, 4], [8, 4]][: len(others)],
        shape=[SHAPES[k] for k in order] + ["stroke"] * len(others),
    )
    sizes = sorted({size for frame in panels.values() for size in frame["size"]})
    x = alt.X(
        "size:Q",
        title="training points and neurons N",
        scale=alt.Scale(type="log", domain=[sizes[0] * 0.9, sizes[-1] * 1.1], nice=False),
        axis=alt.Axis(values=sizes, format="d"),
    )
    charts = []
    for title, frame in panels.items():
        charts.append(_with_intervals(frame, x, encode, title in log).properties(title=title))
    return configure(alt.concat(*charts, columns=2))


def masks_by_size(
    panels: Mapping[str, pd.DataFrame], grey: Mapping[str, pd.Series] | None = None, log: Collection[str] = ()
) -> alt.TopLevelMixin:
    """Draw a number of each mask with its interval against N, a panel each, and in grey what is one for all masks.

    Args:
        panels: by title, columns mask, size, value, low and high (NaN: no bar).
        grey: of some of the titles, a number by size; the series' name is its curve's.
        log: titles of panels whose values stand on a logarithmic axis.
    """
    drawn = {
        title: frame.assign(curve=frame["mask"].map(MASK_LABELS))[["size", "curve", "value", "low", "high"]]
        for title, frame in panels.items()
    }
    for title, level in (grey or {}).items():
        rows = pd.DataFrame({"size": level.index, "curve": level.name, "value": level.to_numpy()})
        drawn[title] = pd.concat([drawn[title], rows])
    return by_size(drawn, log)


def _with_intervals(frame: pd.DataFrame, x: alt.X, encode: Mapping[str, Any], log: bool, size: int = 55) -> ChartType:
    """A panel of curves: value with a bar from low to high (NaN: no bar); `encode` tells the curves apart."""
    bars = frame.assign(low=frame["low"].fillna(frame["value"]), high=frame["high"].fillna(frame["value"]))
    scale = alt.Scale(zero=False)
    if log:
        ends = [float(f"{end:.3g}") for end in (bars["low"].min() * 0.9, bars["high"].max() * 1.1)]
        scale = alt.Scale(type="log", domain=ends, nice=False)
    base = alt.Chart(rounded(bars)).encode(x=x, color=encode["color"])
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(format="~g"))
    layers = alt.layer(
        base.mark_rule().encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=y, strokeDash=encode["strokeDash"]),
        base.mark_point(filled=True, size=size).encode(y=y, shape=encode["shape"]),
    )
    return layers.properties(width=PANEL, height=280)


def _cues(names: Sequence[str], **ranges: Sequence[Any]) -> dict[str, Any]:
    """Encodings that tell curves apart: by colour, dash and shape, each with its range in the order of `names`."""
    channels = {"color": alt.Color, "strokeDash": alt.StrokeDash, "shape": alt.Shape}
    return {
        name: channels[name](
            "curve:N", title=None, scale=alt.Scale(domain=list(names), range=list(values)[: len(names)])
        )
        for name, values in ranges.items()
    }


def against(
    panels: Mapping[str, tuple[str, pd.DataFrame]], log: Collection[str] = (), ticks: Sequence[float] = ()
) -> alt.TopLevelMixin:
    """Draw numbers with their intervals against one on a logarithmic axis, a panel each.

    Args:
        panels: by title, the title of the horizontal axis and a frame of the columns x, value, low and high (NaN: no
            bar) and curve (its name), in the order drawn.
        log: titles of panels whose values stand on a logarithmic axis too.
        ticks: numbers to write below the horizontal axis, which it spans; empty: powers of ten.
    """
    axis, scale = alt.Axis(format="~e", tickCount=6), alt.Scale(type="log")
    if ticks:
        axis = alt.Axis(values=list(ticks), format="~g")
        scale = alt.Scale(type="log", domain=[ticks[0] * 0.9, ticks[-1] * 1.1], nice=False)
    names = list(dict.fromkeys(name for _, frame in panels.values() for name in frame["curve"]))
    encode = _cues(names, color=CURVE_COLORS, strokeDash=DASHES, shape=SHAPES)
    charts = []
    for title, (x_title, frame) in panels.items():
        x = alt.X("x:Q", title=x_title, scale=scale, axis=axis)
        charts.append(_with_intervals(frame, x, encode, title in log, size=30).properties(title=title))
    return configure(alt.concat(*charts, columns=2))


def readers(panels: Mapping[str, pd.DataFrame], log: Collection[str] = ()) -> alt.TopLevelMixin:
    """Draw up to six named curves with their intervals against N, a panel each.

    Args:
        panels: by title, columns size, curve (its name), value, low and high (NaN: no bar).
        log: titles of panels whose values stand on a logarithmic axis.
    """
    names = list(dict.fromkeys(name for frame in panels.values() for name in frame["curve"]))
    encode = _cues(names, color=CURVE_COLORS, strokeDash=DASHES, shape=SHAPES)
    sizes = sorted({size for frame in panels.values() for size in frame["size"]})
    scale = alt.Scale(type="log", domain=[sizes[0] * 0.9, sizes[-1] * 1.1], nice=False)
    x = alt.X("size:Q", title="samples N", scale=scale, axis=alt.Axis(values=sizes, format="d"))
    charts = [
        _with_intervals(frame, x, encode, title in log).properties(title=title) for title, frame in panels.items()
    ]
    chart = configure(alt.concat(*charts, columns=2).properties(padding=_room(right=45)))
    chart.config.legend.columns = len(panels)  # the readers' names are long
    chart.config.legend.columnPadding = 40
    return chart


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
    bars = (drawn + numbers).properties(width=NARROW_PANEL, height=30 * len(frame))
    return configure(alt.concat(bars).properties(padding=_room(left=35, right=35)))


def points(x: torch.Tensor, y: torch.Tensor, pairs: pd.DataFrame) -> alt.TopLevelMixin:
    """Draw one run's originals and reconstructions, joined as the matching joins them.

    Args:
        x, y: training data, shape (samples,).
        pairs: rows of `companion.show.figures.reconstruction_points`.
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


def stacked(panels: Mapping[str, pd.DataFrame], signs: Mapping[str, str], title: str) -> alt.TopLevelMixin:
    """Draw shares as stacked bars, a panel each; a part's sign stands in it where there is room.

    Args:
        panels: by title, rows name, part, share, and beside (the part whose sign stands at the end of the name's
            bar); shares of a name add up to 1.
        signs: the parts' signs, in the order in which they are stacked; at most six.
        title: of the axis.
    """
    parts = list(signs)
    colors = alt.Scale(domain=parts, range=list(MAP_COLORS[: len(parts)]))
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
        cells = (
            base.transform_filter("isValid(datum.value)")
            .mark_rect()
            .encode(
                color=alt.Color("value:Q", title=title, scale=scale, legend=None),
                tooltip=["row:N", "column:N", alt.Tooltip("value:Q", format=".3~g", title=title)],
            )
        )
        numbers = numbers_in_cells(base, "value", ".2f", sum(ends) / 2)
        width, height = 30 * len(columns), 26 * len(rows)
        charts.append((cells + numbers).properties(width=width, height=height, title=heading))
    return configure(alt.concat(*charts, columns=2))


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows for `grids` of a table of masks by sizes.

    Args:
        table: a row a mask (its bits) and a column a size.
    """
    named = table.rename(index=MASK_LABELS, columns=str).rename_axis("row").reset_index()
    return named.melt("row", var_name="column", value_name="value")


def _numbers(kind: Scale) -> alt.Axis:
    """An axis of plain numbers; on a logarithmic one, small numbers have exponents."""
    return alt.Axis(format="~g" if kind == "log" else "~r")
