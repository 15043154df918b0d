"""The network: one hidden layer of Gaussian neurons, and the prototype at which each of them peaks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from companion.core.checks import require_finite, require_same_runs, require_same_shape
from companion.core.data import random_stream, sample_task


class Parameters(NamedTuple):
    """Parameters of a batch of networks: w, b, a of shape (..., neurons), c of shape (...)."""

    w: torch.Tensor
    b: torch.Tensor
    a: torch.Tensor
    c: torch.Tensor


def activations(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return h_ij = exp(-(w_j x_i + b_j)²), the response of neuron j to sample i.

    Book: chapter "The model and its prototypes", equation (activation).

    Args:
        x: inputs, shape (..., samples).
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).

    Returns:
        Responses in [0, 1], shape (..., samples, neurons).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    require_same_shape(w=w, b=b)
    require_same_runs(x=x, w=w)
    require_finite(x=x)
    z = x.unsqueeze(-1) * w.unsqueeze(-2) + b.unsqueeze(-2)
    return torch.exp(-(z**2))


def output(activations: torch.Tensor, a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Return f(x_i) = Σ_j a_j h_ij + c from the responses.

    Book: chapter "The model and its prototypes", equation (output).

    Args:
        activations: responses h, shape (..., samples, neurons).
        a: output weights, shape (..., neurons).
        c: output bias, shape (...).

    Returns:
        Values, shape (..., samples).
    """
    return (activations @ a.unsqueeze(-1)).squeeze(-1) + c.unsqueeze(-1)


def predict(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, a: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Return the network's values f(x_i) = Σ_j a_j exp(-(w_j x_i + b_j)²) + c.

    Book: chapter "The model and its prototypes", equation (output).

    Args:
        x: inputs, shape (..., samples); any points, not only the training inputs.
        w: input weights, shape (..., neurons).
        b: biases, shape (..., neurons).
        a: output weights, shape (..., neurons).
        c: output bias, shape (...).

    Returns:
        Values, shape (..., samples).

    Raises:
        ValueError: if shapes do not fit or x is not finite.
    """
    require_same_shape(w=w, b=b, a=a)
    if c.shape != w.shape[:-1]:
        raise ValueError(f"shapes: c {tuple(c.shape)} was given; allowed is one value a run, {tuple(w.shape[:-1])}")
    return output(activations(x, w, b), a, c)


def prototypes(w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return x̂_j = -b_j / w_j, the input at which neuron j responds most.

    Book: chapter "The model and its prototypes", equation (prototype).

    Args:
        w: input weights, shape (..., neurons); a weight of exactly 0 gives an infinite prototype.
        b: biases, shape (..., neurons).

    Returns:
        Prototypes, shape (..., neurons), anywhere on the real line.

    Raises:
        ValueError: if shapes differ.
    """
    require_same_shape(w=w, b=b)
    return -b / w


def initial_parameters(size: int, seed: int) -> Parameters:
    """Draw the initial parameters of one run: w ~ U(-10, 10), b ~ U(-1, 1), a and c ~ U(-N^-½, N^-½).

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        size: number of neurons N (equal to the number of training points), at least 2.
        seed: at least 0; masks of one seed share these values.

    Returns:
        w, b, a, float64 of shape (size,), and c of shape ().

    Raises:
        ValueError: if size or seed is out of range.
    """
    stream = random_stream(size, seed, purpose=1)
    bound = size**-0.5
    w = stream.uniform(-10.0, 10.0, size)
    b = stream.uniform(-1.0, 1.0, size)
    a = stream.uniform(-bound, bound, size)
    c = stream.uniform(-bound, bound)
    return Parameters(*(torch.as_tensor(value, dtype=torch.float64) for value in (w, b, a, c)))


def starting_batch(
    size: int, seeds: Iterable[int], target: str = "sine"
) -> tuple[torch.Tensor, torch.Tensor, Parameters]:
    """Return the training data and the initial parameters of some seeds, as one batch of runs.

    Book: chapter "The model and its prototypes", section "Where training starts".

    Args:
        size: N, at least 2.
        seeds: one a run, each at least 0.
        target: a name in `companion.core.data.TARGETS`.

    Returns:
        x and y of shape (seeds, size); w, b, a of shape (seeds, size) and c of shape (seeds,).

    Raises:
        ValueError: if an argument is out of range.
    """
    starts = [(*sample_task(size, seed, target), *initial_parameters(size, seed)) for seed in seeds]
    x, y, *parameters = (torch.stack(column) for column in zip(*starts, strict=True))
    return x, y, Parameters(*parameters)
