"""The metrics of trained runs at once, on the line and in d dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.core import hull, metrics
from companion.core.checks import require_choice, require_finite
from companion.core.network import GEOMETRIES, SHAPES, Parameters, output, require_networks
from companion.core.settings import Neuron

METRICS = (
    *("fit_mse", "reconstruction_error", "position_error", "value_error"),
    *("specialization_ratio", "expelled_fraction"),
)
READINGS = ("root_mean_square_error", "distinct_samples", "above_half", "outside_unit")
"""Other readings of what the paper measures: E as a root mean square; the specialization ratio by neuron, and by a
response above ½; and what is expelled from [0, 1]."""


def measure(x: Tensor, y: Tensor, parameters: Parameters, neuron: str = "line") -> dict[str, np.ndarray]:
    """Return the metrics of trained runs, computed in float64; on the line each run's are the same in any company.

    A run whose parameters or prototypes are not finite keeps its row, with NaN in every metric.

    Args:
        x, y: training data: y of shape (runs, samples), x too, or (runs, samples, d).
        parameters: of the runs, as `companion.core.network.starting_batch` gives their starts.
        neuron: one of `companion.core.settings.Neuron`.

    Returns:
        By the names in `METRICS`, each of shape (runs,). The position error has the best matching of positions alone,
        the value error has E's. Expelled in d dimensions is outside the samples' convex hull.

    Raises:
        ValueError: if one run is given without a dimension of runs, a type or shape does not fit the neuron, or x or y
            is not finite.
    """
    every = measure_every_reading(x, y, parameters, neuron)
    return {name: every[name] for name in METRICS}


@np.errstate(all="ignore")
def measure_every_reading(x: Tensor, y: Tensor, parameters: Parameters, neuron: str = "line") -> dict[str, np.ndarray]:
    """Return what `measure` does, and the `READINGS` beside it.

    Book: chapter "Every reading at once", section "Readings of the same weights".
    Args, Returns and Raises: as of `measure`.
    """
    x, y, *numbers = _in_float64(neuron, parameters, x=x, y=y)
    parameters = Parameters(*numbers)
    positions, values = reconstructions(x, parameters, neuron)
    finite = values.isfinite().all(-1)
    found = {name: np.full(len(y), math.nan) for name in (*METRICS, *READINGS)}
    if finite.any():
        x, y, positions, values = (given[finite] for given in (x, y, positions, values))
        kept = Parameters(*(value[finite] for value in parameters))
        responses = GEOMETRIES[Neuron(neuron)].respond(x, kept.w, kept.b)
        on_line, level = neuron == Neuron.LINE, torch.zeros_like(y)
        expelled = metrics.expelled_fraction if on_line else hull.expelled_fraction
        # Where all values are alike, E matches positions alone.
        apart = (
            metrics.position_error(x, positions)
            if on_line
            else metrics.reconstruction_error(x, level, positions, level)
        )
        squares = (_values(responses, kept, neuron) - y) ** 2
        rows = list(zip(*(given.numpy() for given in (x, y, positions, values)), strict=True))
        matched = [metrics.match_run(*row) for row in rows]
        outside = (positions < 0) | (positions > 1)
        of_finite = (
            squares.numpy().mean(-1) if on_line else squares.mean(-1).numpy(),  # the stored runs' bits
            np.array([one.distance.mean() for one in matched]),
            apart,
            np.array([metrics.value_gap(row, one) for row, one in zip(rows, matched, strict=True)]),
            metrics.specialization_ratio(responses),
            expelled(x, positions),
            np.array([math.sqrt((one.distance**2).mean()) for one in matched]),
            metrics.distinct_samples(responses),
            (responses > 0.5).any(-2).double().mean(-1).numpy(),
            (outside if on_line else outside.any(-1)).double().mean(-1).numpy(),
        )
        for name, value in zip((*METRICS, *READINGS), of_finite, strict=True):
            found[name][finite.numpy()] = value
    return found


def reconstructions(
    x: Tensor, parameters: Parameters, neuron: str = "line"
) -> tuple[Tensor, Float[Tensor, "*runs neurons"]]:
    """Return the prototypes x̂ of trained runs and the network's values f(x̂), computed in float64.

    Args: those of `measure`.

    Returns:
        x̂, shape (runs, neurons) or (runs, neurons, d); f(x̂), shape (runs, neurons), NaN in a run whose parameters or
        prototypes are not all finite.

    Raises:
        ValueError: as `measure`.
    """
    x, *numbers = _in_float64(neuron, parameters, x=x)
    parameters, geometry = Parameters(*numbers), GEOMETRIES[Neuron(neuron)]
    positions = geometry.peak(parameters.w, parameters.b, x)
    flat = [value.reshape(len(value), -1) for value in (positions, *parameters)]
    finite = torch.stack([value.isfinite().all(-1) for value in flat]).all(0)
    values = torch.full_like(parameters.a, math.nan)
    if finite.any():
        kept = Parameters(*(value[finite] for value in parameters))
        values[finite] = _values(geometry.respond(positions[finite], kept.w, kept.b), kept, neuron)
    return positions, values


def _in_float64(neuron: str, parameters: Parameters, **data: Tensor) -> Iterator[Tensor]:
    """Return data and parameters of a batch of runs, off their device and their graph."""
    shapes = SHAPES[Neuron(require_choice("neuron", neuron, list(Neuron)))]
    given = require_networks({name: shape.replace("*", "") for name, shape in shapes.items()}, parameters, **data)
    require_finite(**{name: given[name] for name in data})
    return (value.detach().cpu().double().resolve_neg() for value in given.values())


def _values(responses: Tensor, parameters: Parameters, neuron: str) -> Tensor:
    """Return the network's values, shape (runs, samples), from responses; see `companion.core.network.output`.

    That one multiplies matrices, which rounds differently with the number of runs; a sum along the last axis, NumPy's,
    does not. The stored runs in d dimensions were measured by the product, and stay so.
    """
    if neuron != Neuron.LINE:
        return output(responses, parameters.a, parameters.c)
    summed = (responses.numpy() * parameters.a.numpy()[:, None, :]).sum(-1) + parameters.c.numpy()[:, None]
    return torch.from_numpy(summed)
