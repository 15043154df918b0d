"""The seven figures, each made by one function from a DataFrame of runs, and the summaries they show.

Every function returns an Altair chart that is live on the web page (tooltips, legend toggles) and vector in print.
Masks have one palette, made for colour-blind readers (Okabe and Ito, 2008), and a second cue: shape and dash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import altair as alt
import numpy as np
import pandas as pd
from altair.typing import ChartType

from companion.core.settings import MASK_LABELS, MASK_NAMES
from companion.sweeps.runs import WINDOW, groups_of, median_run, reconstruction_points, summary

COLORS = ("#000000", "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#7F5A36")
"""One colour a mask: blue and green without overlap, red to yellow with it, black for Std."""
SHAPES = ("circle", "triangle-up", "square", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = ([1, 0], [6, 2], [2, 2], [8, 3, 2, 3], [1, 0], [6, 2], [2, 2], [8, 3, 2, 3])

ORIGINAL, RECONSTRUCTION = "#0072B2", "#D55E00"
CHANCE = "#666666"
LEVEL_DASHES = ([1, 3], [4, 4], [8, 4])
"""Of the baselines, which are grey all."""
PANEL, NARROW_PANEL = 265, 165
"""Widths of a panel where two or three stand side by side; either fits a telephone's screen."""
ERROR = "reconstruction error E"
MISSING = "–"
"""What stands in place of a number that there is none of."""
SUMMARISED = ("mean", "sem", "median")
"""A summary's numbers in tooltips."""

Scale = Literal["linear", "log", "symlog"]
"""How an axis is scaled."""
Chart = TypeVar("Chart", bound=alt.TopLevelMixin)


def configure(chart: Chart) -> Chart:
    """Return the chart with the book's type sizes, white ground and legends below."""
    return (
        chart.configure(background="white", font="Liberation Sans, Arial, Helvetica, sans-serif")
        .configure_axis(labelFontSize=11, titleFontSize=12, titleFontWeight="normal", gridColor="#e8e8e8")
        .configure_legend(orient="bottom", columns=4, labelFontSize=11, titleFontSize=11, symbolSize=70, labelLimit=0)
        .configure_title(fontSize=12, anchor="start", fontWeight="bold", subtitleFontSize=11)
        .configure_header(labelFontSize=11, titleFontSize=12)
        .configure_view(stroke="#cccccc")
        .configure_concat(spacing=18)
    )


def error_by_size(runs: pd.DataFrame, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Figure 1: E against N for every mask; mean ± SEM as in the paper, and medians with 95 % intervals.

    Args:
        runs: one row a run.
        levels: baselines, as `companion.judging.baselines.baseline_summary` returns them; so in the figures below.
    """
    return _by_size(runs, "reconstruction_error", ERROR, "log", levels)


def specialization_by_size(runs: pd.DataFrame, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Figure 5: specialization ratio against N for every mask; mean ± SEM as in the paper, and medians."""
    return _by_size(runs, "specialization_ratio", "specialization ratio", "linear", levels)


def error_heatmap(runs: pd.DataFrame, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Figure 2: heat map of E, masks by N, with baselines as its lowest rows; mean as in the paper, and median."""
    return _heatmaps(runs, "reconstruction_error", "E", "log", levels)


def specialization_heatmap(runs: pd.DataFrame, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Figure 6: heat map of the specialization ratio, masks by N; mean as in the paper, and median."""
    return _heatmaps(runs, "specialization_ratio", "specialization ratio", "linear", levels)


def error_parts_by_size(runs: pd.DataFrame, levels: Mapping[str, pd.DataFrame]) -> alt.TopLevelMixin:
    """E's two parts against N, median with 95 % interval: position (the best matching of positions alone) and value.

    Args:
        runs: one row a run.
        levels: baselines by metric, "position_error" and "value_error".
    """
    panels = []
    for metric, frame in levels.items():
        data = summary(runs, metric)
        ends = [data["median"], *_bars(data, "median").values(), frame["median"]]
        domain = (min(end.min() for end in ends) * 0.8, max(end.max() for end in ends) * 1.25)
        name = metric.replace("_", " ")
        height = _height("median", name, "log", domain)
        panels.append(_size_panel(data, "median", height, metric, frame).properties(title=f"{name}, median"))
    return configure(alt.concat(*panels, columns=2))


def prototype_positions(
    runs: pd.DataFrame, masks: Sequence[str] = ("000", "010", "100"), size: int = 100
) -> alt.TopLevelMixin:
    """Figure 3: prototypes of the median-error run of each mask; marker size is the mean activation over samples."""
    panels = []
    for mask in masks:
        run = median_run(runs, mask, size)
        points = _clip(reconstruction_points(run)).sort_values("prototype", ignore_index=True)
        points["rank"] = points.index + 1
        left, right = (points["side"] == "left").sum(), (points["side"] == "right").sum()
        title = alt.Title(
            f"{MASK_LABELS[mask]}: {points['expelled'].sum()} of {size} expelled",
            subtitle=[f"seed {run['seed']}", f"beyond the edges: {left} left, {right} right"],
        )
        shade = _shade().encode(y=alt.value(0), y2=alt.value(220))
        marks = (
            alt.Chart(points)
            .mark_point(filled=True, opacity=0.6)
            .encode(
                x=_position_axis("prototype -b/w"),
                y=alt.Y("rank:Q", title="rank of the prototype", scale=alt.Scale(domain=[0, size + 1], nice=False)),
                size=alt.Size(
                    "activation:Q",
                    title="mean activation",
                    scale=alt.Scale(type="sqrt", domain=[0, 0.5], range=[20, 170], clamp=True),
                    legend=alt.Legend(values=[0.02, 0.1, 0.5], format=".2f"),
                ),
                shape=_side_shape(),
                color=alt.Color(
                    "expelled:N",
                    title="outside the samples",
                    scale=alt.Scale(domain=[False, True], range=[ORIGINAL, RECONSTRUCTION]),
                    legend=alt.Legend(labelExpr="datum.value ? 'yes' : 'no'"),
                ),
                tooltip=[_number("prototype"), _number("activation"), _number("value", "network there"), "neuron:Q"],
            )
        )
        panels.append((shade + marks).properties(width=NARROW_PANEL, height=220, title=title))
    return configure(alt.concat(*panels, columns=3))


def temperature_sweep(runs: pd.DataFrame, chance: pd.DataFrame) -> alt.TopLevelMixin:
    """Figure 4 (inferred): E of separation alone against τ, one line a size; Std and chance as level lines.

    A ring on each line stands at τ = 1/N², where crowding sets in by chapter "Crowding".
    """
    by = ("mask", "size", "temperature")
    data = summary(runs, "reconstruction_error", by)
    sizes = sorted(runs["size"].unique())
    low, high = data["temperature"].min(), data["temperature"].max()
    # Std does not see τ: its line comes from one temperature's runs.
    std = data[(data["mask"] == "000") & (data["temperature"] == low)]
    panels = []
    for statistic, name in (("mean", "mean ± SEM"), ("median", "median, 95 % interval")):
        lines = rounded(data[data["mask"] == "001"].assign(**_bars(data, statistic)))
        levels = pd.concat(
            [
                pd.DataFrame({"size": frame["size"], "value": frame[statistic], "temperature": end, "level": level})
                for level, frame in (("Std", std), ("chance", chance))
                for end in (low, high)
            ]
        )
        color = alt.Color("size:N", title="N", sort=sizes, scale=alt.Scale(domain=sizes, scheme="viridis"))
        pick = alt.selection_point(fields=["size"], bind="legend", name=f"pick_{statistic}")
        opacity = alt.condition(pick, alt.value(1), alt.value(0.08))
        x = alt.X(
            "temperature:Q", title="temperature τ", scale=alt.Scale(type="log"), axis=alt.Axis(format="~e", tickCount=7)
        )
        y = alt.Y(f"{statistic}:Q", title=ERROR, scale=alt.Scale(type="log"), axis=alt.Axis(format="~g"))
        base = _told(alt.Chart(lines)).encode(x=x, color=color, opacity=opacity)
        level_lines = (
            alt.Chart(rounded(levels))
            .mark_line(strokeWidth=1)
            .encode(
                x=x,
                y="value:Q",
                color=color,
                opacity=opacity,
                detail="size:N",
                strokeDash=alt.StrokeDash(
                    "level:N", title="for comparison", scale=alt.Scale(domain=["Std", "chance"], range=[[5, 3], [1, 3]])
                ),
            )
        )
        rings = alt.Chart(_at_spacing(lines, statistic)).encode(x=x, y=y, color=color, opacity=opacity)
        layers = alt.layer(
            level_lines,
            base.mark_rule().encode(y="low:Q", y2="high:Q"),
            base.mark_line().encode(y=y),
            rings.mark_point(shape="circle", size=230, strokeWidth=2.2).encode(
                tooltip=["size:N", _number("temperature", "τ = 1/N²")]
            ),
            base.mark_point(filled=True, size=45, opacity=1).encode(
                y=y,
                shape=alt.Shape(
                    "size:N", title="N", sort=sizes, scale=alt.Scale(domain=sizes, range=list(SHAPES[: len(sizes)]))
                ),
                tooltip=["size:N", "temperature:Q", *_summarised(), "n:Q"],
            ),
        )
        panels.append(layers.add_params(pick).properties(width=PANEL, height=260, title=name))
    return configure(alt.concat(*panels, columns=2))


def _at_spacing(lines: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Where each size's line stands at τ = 1/N², interpolated on both logarithmic axes; sizes whose line has it."""
    rows = []
    for (size,), line in groups_of(lines.sort_values(["size", "temperature"]), "size"):
        if line["temperature"].min() <= (spacing := size**-2.0) <= line["temperature"].max():
            value = np.exp(np.interp(np.log(spacing), np.log(line["temperature"]), np.log(line[statistic])))
            rows.append({"size": size, "temperature": spacing, statistic: float(value)})
    return rounded(pd.DataFrame(rows, columns=["size", "temperature", statistic]))


def reconstructions(
    runs: pd.DataFrame, chance: pd.DataFrame, masks: Sequence[str] = ("000", "010", "111"), size: int = 5
) -> alt.TopLevelMixin:
    """Figure 7: originals and reconstructions of each mask's median-error run, arrows for those beyond the edge."""
    chosen = {mask: median_run(runs, mask, size) for mask in masks}
    drawn = {mask: reconstruction_points(run) for mask, run in chosen.items()}
    values = pd.concat([points[["value", "y"]] for points in drawn.values()])
    # One scale for all panels, so that their distances can be compared.
    scale = alt.Scale(domain=[float(values.min().min()) - 0.1, float(values.max().max()) + 0.1], nice=False)
    level = chance.set_index("size")["median"][size]
    panels = []
    for mask, run in chosen.items():
        points = _clip(drawn[mask])
        beyond = points[points["side"] != "inside"].sort_values("prototype")
        where = ", ".join(f"{value:.3g}" for value in beyond["prototype"])
        title = alt.Title(
            f"{MASK_LABELS[mask]}: E = {run['reconstruction_error']:.2g}",
            subtitle=[
                f"chance: E = {level:.2g}",
                f"seed {run['seed']}",
                f"beyond the edge: x = {where}" if where else "none beyond the edge",
            ],
        )
        y = alt.Y("value:Q", title="y, network", scale=scale)
        links = (
            alt.Chart(points)
            .mark_rule(color="#999999", strokeDash=[2, 2])
            .encode(x=_position_axis("x, prototype"), x2="x:Q", y=y, y2="y:Q")
        )
        both = pd.concat(
            [
                points.assign(kind="reconstruction"),
                points.assign(
                    kind="original", drawn=points["x"], value=points["y"], prototype=points["x"], side="original"
                ),
            ]
        )
        marks = (
            alt.Chart(both)
            .mark_point(filled=True, size=90, opacity=0.9)
            .encode(
                x=_position_axis("x, prototype"),
                y=y,
                color=alt.Color(
                    "kind:N",
                    title=None,
                    scale=alt.Scale(domain=["original", "reconstruction"], range=[ORIGINAL, RECONSTRUCTION]),
                ),
                shape=_side_shape(),
                tooltip=["kind:N", _number("prototype", "x"), _number("value", "y"), _number("distance"), "neuron:Q"],
            )
        )
        shade = _shade().encode(y=alt.value(0), y2=alt.value(200))
        panels.append((shade + links + marks).properties(width=NARROW_PANEL, height=200, title=title))
    return configure(alt.concat(*panels, columns=3))


def usage_by_size(runs: pd.DataFrame) -> alt.TopLevelMixin:
    """Both meanings of usage against N for every mask, mean ± SEM; needs a column nearest_ratio."""
    names = {"specialization_ratio": "largest response", "nearest_ratio": "nearest prototype"}
    data = {metric: summary(runs, metric) for metric in names}
    high = max(frame["mean"].max() + frame["sem"].max() for frame in data.values())
    height = _height("mean", "share of neurons used", "linear", (0, high))
    panels = [_size_panel(data[metric], "mean", height, metric).properties(title=names[metric]) for metric in names]
    return configure(alt.concat(*panels, columns=2))


def _by_size(runs: pd.DataFrame, metric: str, title: str, scale: Scale, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Two panels of a metric against N, the paper's mean ± SEM and the median with its interval."""
    data = summary(runs, metric)
    ends = [data["mean"], data["median"], *_bars(data, "mean").values(), *_bars(data, "median").values()]
    ends += [levels["mean"], levels["median"]]
    low, high = min(end.min() for end in ends), max(end.max() for end in ends)
    domain = (0, high) if scale == "linear" else (low * 0.8, high * 1.25)
    panels = []
    for statistic, name in (("mean", "mean ± SEM"), ("median", "median, 95 % interval")):
        height = _height(statistic, title, scale, domain)
        panels.append(_size_panel(data, statistic, height, statistic, levels).properties(title=name))
    return configure(alt.concat(*panels, columns=2))


def _height(statistic: str, title: str, scale: Scale, domain: tuple[float, float]) -> alt.Y:
    """How high a panel's points and lines stand."""
    return alt.Y(
        f"{statistic}:Q",
        title=title,
        scale=alt.Scale(type=scale, domain=[float(f"{end:.3g}") for end in domain], nice=scale == "linear"),
        axis=alt.Axis(format="~g"),
    )


def _size_panel(
    data: pd.DataFrame, statistic: str, y: alt.Y, toggle: str, levels: pd.DataFrame | None = None
) -> ChartType:
    """One panel of a summary against N, a line a mask; `toggle` names what a click on the legend singles out.

    Baselines are grey lines, each with its name.
    """
    masks = list(data["mask"].unique())
    labels = [MASK_LABELS[mask] for mask in masks]
    order = [list(MASK_NAMES).index(mask) for mask in masks]
    encode: dict[str, Any] = {
        "color": alt.Color("label:N", title=None, scale=alt.Scale(domain=labels, range=[COLORS[k] for k in order])),
        "strokeDash": alt.StrokeDash(
            "label:N", title=None, scale=alt.Scale(domain=labels, range=[DASHES[k] for k in order])
        ),
    }
    shape = alt.Shape("label:N", title=None, scale=alt.Scale(domain=labels, range=[SHAPES[k] for k in order]))
    sizes = sorted(data["size"].unique().tolist())
    x = alt.X(
        "size:Q",
        title="training points and neurons N",
        scale=alt.Scale(type="log", domain=[sizes[0] * 0.9, sizes[-1] * 1.1], nice=False),
        axis=alt.Axis(values=sizes, format="d"),
    )
    pick = alt.selection_point(fields=["label"], bind="legend", name=f"pick_{toggle}")
    frame = rounded(data.assign(label=data["mask"].map(MASK_LABELS), **_bars(data, statistic)))
    base = _told(alt.Chart(frame)).encode(x=x, opacity=alt.condition(pick, alt.value(1), alt.value(0.08)), **encode)
    layers = [
        base.mark_rule().encode(y=alt.Y("low:Q", title=y["title"]), y2="high:Q", strokeDash=alt.value([1, 0])),
        base.mark_line(strokeWidth=1.5).encode(y=y),
        base.mark_point(filled=True, size=55).encode(
            y=y,
            shape=shape,
            tooltip=["label:N", "size:Q", *_summarised(), "n:Q"],
        ),
    ]
    if levels is not None:
        # Each name below its line, at a size of its own, so that near lines' names do not meet; white around it.
        places = zip(levels["level"].unique(), LEVEL_DASHES, sizes[1:] + sizes[:1], strict=False)
        for name, dash, place in places:
            line = alt.Chart(rounded(levels[levels["level"] == name])).encode(x=x, y=f"{statistic}:Q")
            here = line.transform_filter(alt.datum.size == place)
            layers += [
                line.mark_line(color=CHANCE, strokeWidth=2, strokeDash=dash),
                here.mark_text(text=name, dy=12, fontSize=11, stroke="white", strokeWidth=4),
                here.mark_text(text=name, dy=12, fontSize=11, color=CHANCE),
            ]
    return alt.layer(*layers).add_params(pick).properties(width=PANEL, height=300)


def _heatmaps(runs: pd.DataFrame, metric: str, name: str, scale: Scale, levels: pd.DataFrame) -> alt.TopLevelMixin:
    """Two heat maps of a metric, masks by N, each cell with its number."""
    data = summary(runs, metric)
    data["label"] = data["mask"].map(MASK_LABELS)
    rows = [*(MASK_LABELS[mask] for mask in runs["mask"].unique()), *levels["level"].unique()]
    data = rounded(pd.concat([data, levels.rename(columns={"level": "label"})]))
    panels = []
    for statistic in ("mean", "median"):
        base = _told(alt.Chart(data)).encode(
            x=alt.X("size:O", title="training points and neurons N", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("label:N", title=None, sort=rows),
        )
        middle = float(
            np.sqrt(data[statistic].min() * data[statistic].max())
            if scale == "log"
            else (data[statistic].min() + data[statistic].max()) / 2
        )
        cells = (
            base.transform_filter(f"isValid(datum.{statistic})")
            .mark_rect()
            .encode(
                color=alt.Color(
                    f"{statistic}:Q", title=name, scale=alt.Scale(type=scale, scheme="cividis"), legend=None
                ),
                tooltip=["label:N", "size:O", *_summarised()],
            )
        )
        text = numbers_in_cells(base, statistic, ".2f" if scale == "linear" else ".2r", middle)
        panels.append((cells + text).properties(width=PANEL - 35, height=26 * len(rows), title=f"{statistic} {name}"))
    return configure(alt.concat(*panels, columns=2))


def numbers_in_cells(base: alt.Chart, field: str, form: str, middle: float) -> alt.Chart:
    """Return the numbers of a heat map's cells, black above a middle and white below; a dash where there is none.

    Args:
        base: the chart with its positions; without a number it has no cell, so the dash is black.
        field: the column of the numbers.
        form: their format.
        middle: NaN where no cell has a number.
    """
    dark = f"isValid(datum['{field}']) && datum['{field}'] <= {float(np.nan_to_num(middle))}"
    return base.mark_text(fontSize=10).encode(
        text=alt.condition(f"isValid(datum['{field}'])", alt.Text(f"{field}:Q", format=form), alt.value(MISSING)),
        color=alt.condition(dark, alt.value("white"), alt.value("black")),
    )


def _bars(data: pd.DataFrame, statistic: str) -> dict[str, pd.Series]:
    """Ends of the error bars: mean ± SEM (kept above 0, which a log axis cannot show), or the median's interval."""
    if statistic == "median":
        # A single run has no interval: its bar is a point.
        return {"low": data["low"].fillna(data["median"]), "high": data["high"].fillna(data["median"])}
    data = data.fillna({"sem": 0.0})
    return {"low": (data["mean"] - data["sem"]).clip(lower=data["mean"] / 100), "high": data["mean"] + data["sem"]}


def _clip(points: pd.DataFrame) -> pd.DataFrame:
    """Add where each prototype is drawn: in the window, or at the edge that it lies beyond."""
    side = np.select([points["prototype"] < WINDOW[0], points["prototype"] > WINDOW[1]], ["left", "right"], "inside")
    return rounded(points.assign(drawn=points["prototype"].clip(*WINDOW), side=side))


def _position_axis(title: str) -> alt.X:
    return alt.X(
        "drawn:Q", title=title, scale=alt.Scale(domain=list(WINDOW), nice=False), axis=alt.Axis(values=[-1, 0, 1, 2])
    )


def _side_shape() -> alt.Shape:
    scale = alt.Scale(
        domain=["original", "inside", "left", "right"], range=["circle", "diamond", "triangle-left", "triangle-right"]
    )
    return alt.Shape("side:N", scale=scale, legend=None)


def _shade() -> alt.Chart:
    """The interval [0, 1] that the samples are drawn from."""
    return (
        alt.Chart(pd.DataFrame({"start": [0.0], "end": [1.0]}))
        .mark_rect(color="#f0e442", opacity=0.25)
        .encode(x=alt.X("start:Q"), x2="end:Q")
    )


def _number(field: str, title: str | None = None) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", format=".3~g", title=title or field)


def _summarised() -> list[alt.Tooltip]:
    """A summary's numbers in a tooltip, of the columns of `_told`."""
    return [alt.Tooltip(f"{name} told:N", title=name) for name in SUMMARISED]


def _told(chart: alt.Chart) -> alt.Chart:
    """Add a summary's numbers as text: a single run has no SEM, nor has chance, and a tooltip would say null."""
    return chart.transform_calculate(
        **{f"{name} told": f"isValid(datum.{name}) ? format(datum.{name}, '.3~g') : '{MISSING}'" for name in SUMMARISED}
    )


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Floats to six significant digits: what a page needs, and the same text on any processor."""
    return frame.map(lambda cell: float(f"{cell:.6g}") if isinstance(cell, float) else cell)
