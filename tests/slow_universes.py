"""The multiverse's universes trained again, slowly, by code that shares nothing with the book's module.

NumPy draws, steps and measures; PyTorch differentiates the losses, which are written here a second time, and does
nothing else. All masks, seeds and moved copies of a size are one batch, so each formula stands once, as a reader would
write it down: pairs as a matrix with its diagonal left out, no sorting, no identities.

A rounding grows in training, so two right programs may end apart. How far apart is measured, not guessed: beside each
run go `COPIES` copies of which, at the start and after every step, each parameter is moved up or down by about one unit
in its last place, as another order of the same sums would move it.

    python tests/slow_universes.py --numbers 3 17 --sizes 3 5 10 --out tests/slow_universes.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import qmc
from torch import Tensor

AXES = {
    "inputs": ("random", "grid"),
    "target": ("sine", "line", "step", "chirp", "labels"),
    "activation": ("exp(-z²)", "exp(-z²/2)"),
    "initialisation": (
        *("uniform-10", "uniform-1", "uniform-3", "normal-1", "normal-5"),
        *("uniform-N", "data-5", "data-N"),
    ),
    "coverage": ("soft minimum", "nearest prototype", "largest response", "soft assignment"),
    "separation": ("exp(-d²/τ)", "exp(-d/√τ)", "1/(1+d²/τ)", "nearest neighbour"),
    "overlap": ("product", "cosine", "squared Gram", "squared covariance"),
    "reduction": ("mean", "sum"),
    "λ": ("1", "0.01", "0.1", "10", "gradient-matched"),
    "τ": ("0.0001", "0.001", "0.01", "0.1", "1/N²"),
    "optimiser": ("Adam, 0.01", "Adam, 0.001", "momentum"),
    "steps": ("2,000", "500", "5,000", "20,000"),
}
NUMBER, SEED = 1024, 20261128
"""Universes of the scrambled Sobol' sequence, and the seed of its scrambling."""
MASKS = tuple(f"{bits:03b}" for bits in range(8))
"""Overlap, coverage, separation: a batch has one dimension of length 2 for each of the three."""
SEEDS = tuple(range(7000, 7010))
COPIES = 9
"""With the run itself ten: a further result that is just another of these lies outside their range in 2 of 11 cases."""
METRICS = (
    *("fit_mse", "reconstruction_error", "position_error", "value_error", "specialization_ratio"),
    *("expelled_fraction", "root_mean_square_error", "distinct_samples", "above_half", "outside_unit"),
)
RELATIVE, ABSOLUTE = 1e-3, 1e-6
"""Two numbers agree if they differ by no more than the larger of these."""

Names = Mapping[str, str]
"""Of one universe: the level's name by axis."""


def sobol_universes(number: int = NUMBER) -> list[dict[str, str]]:
    """Return the sample's universes in their order."""
    points = qmc.Sobol(len(AXES), seed=SEED).random(number)
    rows = [[levels[int(u * len(levels))] for levels, u in zip(AXES.values(), point, strict=True)] for point in points]
    return [dict(zip(AXES, row, strict=True)) for row in rows]


# --- where training starts ---

TARGETS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sine": lambda x: (1 + np.sin(2 * np.pi * x)) / 2,
    "line": lambda x: x,
    "step": lambda x: np.where(x < 0.5, 0.0, 1.0),
    "chirp": lambda x: (1 + np.sin(6 * np.pi * x**2)) / 2,
}


def draw_data(names: Names, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of one run."""
    stream = np.random.default_rng([size, seed, 0])
    x, labels = stream.random(size), stream.random(size)
    if names["inputs"] == "grid":
        x = np.arange(size) / (size - 1)
    return x, labels if names["target"] == "labels" else TARGETS[names["target"]](x)


def draw_start(names: Names, size: int, seed: int) -> np.ndarray:
    """Return w, b, a and c of one run, one after the other: shape (3 size + 1,)."""
    stream, level = np.random.default_rng([size, seed, 1]), names["initialisation"]
    kind, number = level.split("-")
    width = size if number == "N" else int(number)
    if kind == "uniform":
        w = stream.uniform(-width, width, size)
        reach = width / 10 if number == "N" else 1.0
        b = stream.uniform(-reach, reach, size)
    elif kind == "normal":
        w, b = stream.normal(0, width, size), stream.normal(0, 1, size)
    else:
        steepness = stream.uniform(width / 2, 3 * width / 2, size)
        w = steepness * stream.choice([-1.0, 1.0], size)
        b = -w * stream.random(size)
    bound = size**-0.5
    return np.concatenate([w, b, stream.uniform(-bound, bound, size + 1)])


# --- losses; responses h of shape (..., samples, neurons), prototypes p of shape (..., neurons) ---


def off_diagonal(matrix: Tensor) -> Tensor:
    """Return a matrix with zeros on its diagonal."""
    return torch.where(torch.eye(matrix.shape[-1], dtype=torch.bool), 0.0, matrix)


def overlap(form: str, h: Tensor) -> tuple[Tensor, int]:
    """Return what the overlap sums to, and what it is divided by where it is a mean."""
    samples, neurons = h.shape[-2:]
    pairs = neurons * (neurons - 1)
    if form == "cosine":
        h = h / torch.sqrt(torch.clamp((h**2).sum(-2, keepdim=True), min=1e-16))
    if form == "squared covariance":
        h = h - h.mean(-2, keepdim=True)
    products = off_diagonal(h.mT @ h)
    summed = {
        "product": lambda: (products, samples * pairs),
        "cosine": lambda: (products, pairs),
        "squared Gram": lambda: (products**2, samples**2 * pairs),
        "squared covariance": lambda: ((products / samples) ** 2, pairs),
    }
    terms, number = summed[form]()
    return terms.sum((-2, -1)), number


def coverage(form: str, x: Tensor, p: Tensor, h: Tensor, tau: float) -> tuple[Tensor, int]:
    """Return the same of the coverage."""
    squared = (x[..., :, None] - p[..., None, :]) ** 2
    nearest = squared.min(-1).values
    if form == "nearest prototype":
        terms = nearest
    elif form == "largest response":
        terms = 1 - h.max(-1).values
    else:
        weights = torch.exp((nearest[..., None].detach() - squared) / tau)
        if form == "soft minimum":
            terms = nearest.detach() - tau * torch.log(weights.sum(-1))
        else:
            terms = (weights * squared).sum(-1) / weights.sum(-1)
    return terms.sum(-1), x.shape[-1]


def separation(form: str, p: Tensor, tau: float) -> tuple[Tensor, int]:
    """Return the same of the separation."""
    neurons = p.shape[-1]
    distance = torch.abs(p[..., :, None] - p[..., None, :])
    if form == "nearest neighbour":
        other = torch.where(torch.eye(neurons, dtype=torch.bool), math.inf, distance)
        return torch.exp(-(other.min(-1).values ** 2) / tau).sum(-1), neurons
    closeness = {
        "exp(-d²/τ)": lambda: torch.exp(-(distance**2) / tau),
        "exp(-d/√τ)": lambda: torch.exp(-distance / math.sqrt(tau)),
        "1/(1+d²/τ)": lambda: 1 / (1 + distance**2 / tau),
    }
    return off_diagonal(closeness[form]()).sum((-2, -1)), neurons * (neurons - 1)


class Universe:
    """The losses of one universe at one size, for all masks at once.

    Parameters θ are w, b, a and c in one last dimension. A batch has the three dimensions of the mask first.
    """

    def __init__(self, names: Names, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> None:
        """Data and starts of one mask's runs, shape (runs, ...)."""
        self.names, self.size = names, x.shape[-1]
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.tau = self.size**-2.0 if names["τ"] == "1/N²" else float(names["τ"])
        self.weights: list[Tensor | float] = [1.0 if names["λ"] == "gradient-matched" else float(names["λ"])] * 3
        if names["λ"] == "gradient-matched":
            fit, *structural = (self.norms(start, term) for term in (self.fit, *self.terms))
            self.weights = [torch.from_numpy(fit / (norm + 1e-8)) for norm in structural]

    def parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w, b, a, c = torch.split(theta, [self.size, self.size, self.size, 1], -1)
        return w, b, a, c[..., 0]

    def responses(self, x: Tensor, theta: Tensor) -> Tensor:
        w, b, *_ = self.parts(theta)
        z = w[..., None, :] * x[..., :, None] + b[..., None, :]
        return torch.exp(-(z**2) / {"exp(-z²)": 1, "exp(-z²/2)": 2}[self.names["activation"]])

    def values(self, h: Tensor, theta: Tensor) -> Tensor:
        _, _, a, c = self.parts(theta)
        return (a[..., None, :] * h).sum(-1) + c[..., None]

    def prototypes(self, theta: Tensor) -> Tensor:
        w, b, *_ = self.parts(theta)
        return -b / w

    def fit(self, theta: Tensor, h: Tensor) -> Tensor:
        return ((self.values(h, theta) - self.y) ** 2).mean(-1)

    def reduced(self, summed: Tensor, number: int) -> Tensor:
        return summed if self.names["reduction"] == "sum" else summed / number

    @property
    def terms(self) -> tuple[Callable[[Tensor, Tensor], Tensor], ...]:
        """Overlap, coverage and separation, each of θ and h, in the order of the mask."""
        names, tau = self.names, self.tau
        return (
            lambda theta, h: self.reduced(*overlap(names["overlap"], h)),
            lambda theta, h: self.reduced(*coverage(names["coverage"], self.x, self.prototypes(theta), h, tau)),
            lambda theta, h: self.reduced(*separation(names["separation"], self.prototypes(theta), tau)),
        )

    def norms(self, theta: np.ndarray, term: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
        """Return the norm of one term's gradient, of each run."""
        leaf = torch.from_numpy(theta.copy()).requires_grad_()
        (gradient,) = torch.autograd.grad(term(leaf, self.responses(self.x, leaf)).sum(), leaf)
        return np.linalg.norm(gradient.numpy(), axis=-1)

    def losses(self, theta: Tensor) -> Tensor:
        """Return the total loss of each run, shape (2, 2, 2, runs), of θ with these dimensions first."""
        h = self.responses(self.x, theta)
        loss = self.fit(theta, h)
        for bit, (weight, term) in enumerate(zip(self.weights, self.terms, strict=True)):
            # Only runs that have the term on: elsewhere it might be no number, and 0 times that is none either.
            chosen = term(theta.select(bit, 1), h.select(bit, 1)) * weight
            loss = loss + torch.stack([torch.zeros_like(chosen), chosen], bit)
        return loss

    def loss_and_gradient(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        leaf = torch.from_numpy(theta).requires_grad_()
        losses = self.losses(leaf)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        return losses.detach().numpy(), gradient.numpy()


# --- training ---


class Adam:
    def __init__(self, rate: float) -> None:
        self.rate, self.step, self.mean, self.square = rate, 0, 0.0, 0.0

    def __call__(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        self.step += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        mean, square = self.mean / (1 - 0.9**self.step), self.square / (1 - 0.999**self.step)
        return theta - self.rate * mean / (np.sqrt(square) + 1e-8)


class Momentum:
    def __init__(self, rate: float) -> None:
        self.rate, self.velocity = rate, 0.0

    def __call__(self, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        self.velocity = 0.9 * self.velocity + gradient
        return theta - self.rate * self.velocity


OPTIMISERS: dict[str, list[Callable[[], Adam | Momentum]]] = {
    "Adam, 0.01": [lambda: Adam(0.01)],
    "Adam, 0.001": [lambda: Adam(0.001)],
    "momentum": [lambda: Momentum(1.0), lambda: Momentum(0.1), lambda: Momentum(0.01)],
}
"""What a run tries, in this order: the next one where the loss is above the start's, or no number, after a tenth of the
steps or at the end. The last one stands."""


def moved(theta: np.ndarray, coins: np.random.Generator) -> np.ndarray:
    """Return θ of shape (..., copies, seeds, parameters), all but the first copy moved by about one last digit."""
    up = coins.random(theta.shape, dtype=np.float32) < 0.5
    up[..., 0, :, :] = False
    down = ~up
    down[..., 0, :, :] = False
    return theta * (1 + 2.0**-52 * (up.astype(float) - down))


def trained(universe: Universe, start: np.ndarray, coins: np.random.Generator) -> np.ndarray:
    """Return θ after all steps, of shape (2, 2, 2, copies, seeds, parameters), from θ of that shape."""
    steps = int(universe.names["steps"].replace(",", ""))
    before, _ = universe.loss_and_gradient(start)
    chosen, left = start, np.ones(before.shape, bool)
    for optimiser in OPTIMISERS[universe.names["optimiser"]]:
        step_on, theta, too_large = optimiser(), start, np.zeros(before.shape, bool)
        for step in range(1, steps + 1):
            _, gradient = universe.loss_and_gradient(theta)
            theta = moved(step_on(theta, gradient), coins)
            if step in (steps // 10, steps):
                loss, _ = universe.loss_and_gradient(theta)
                too_large |= ~(loss <= before)
        chosen = np.where(left[..., None], theta, chosen)
        left &= too_large
        if not left.any():
            break
    return chosen


# --- measures ---


def measured(universe: Universe, theta: np.ndarray) -> np.ndarray:
    """Return the metrics of trained runs, shape (..., len(METRICS)); not finite in any part, a run has NaN in all."""
    with torch.no_grad():
        tensor = torch.from_numpy(theta)
        p = universe.prototypes(tensor)
        h = universe.responses(universe.x, tensor)
        fitted, values = universe.values(h, tensor).numpy(), universe.values(universe.responses(p, tensor), tensor)
    p, h, values = p.numpy(), h.numpy(), values.numpy()
    found = np.full((*theta.shape[:-1], len(METRICS)), math.nan)
    for place in np.ndindex(*theta.shape[:-1]):
        x, y = universe.x[place[-1]].numpy(), universe.y[place[-1]].numpy()
        if np.isfinite(theta[place]).all() and np.isfinite(p[place]).all() and np.isfinite(values[place]).all():
            found[place] = measured_run(x, y, p[place], values[place], h[place], fitted[place])
    return found


def measured_run(
    x: np.ndarray, y: np.ndarray, p: np.ndarray, values: np.ndarray, h: np.ndarray, fitted: np.ndarray
) -> list[float]:
    """Return one run's metrics: of data x and y, prototypes p, the network's values there, responses h and f(x)."""
    size = len(x)
    distance = np.hypot(x[:, None] - p[None, :], y[:, None] - values[None, :])
    samples, neurons = linear_sum_assignment(distance)
    pairs = distance[samples, neurons]
    answering = [int(np.argmax(h[:, j])) for j in range(size) if h[:, j].max() > 0]
    return [
        float(np.mean((fitted - y) ** 2)),
        float(np.mean(pairs)),
        float(np.mean(np.abs(np.sort(x) - np.sort(p)))),
        float(np.mean(np.abs(y[samples] - values[neurons]))),
        len({int(np.argmax(h[i])) for i in range(size)}) / size,
        float(np.mean([not x.min() <= position <= x.max() for position in p])),
        float(np.sqrt(np.mean(pairs**2))),
        len(set(answering)) / size,
        float(np.mean([h[:, j].max() > 0.5 for j in range(size)])),
        float(np.mean([not 0 <= position <= 1 for position in p])),
    ]


# --- medians ---


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how far numbers differ, in units in which `RELATIVE` is what agrees: 0 where both are NaN or infinite."""
    gap = np.abs(one - other) / np.maximum(np.abs(other), ABSOLUTE / RELATIVE)
    return np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.where(np.isnan(gap), math.inf, gap))


def begun(names: Names, size: int, seeds: Sequence[int] = SEEDS, copies: int = COPIES) -> tuple[Universe, np.ndarray]:
    """Return a universe at one size and its start, shape (2, 2, 2, 1 + copies, seeds, parameters)."""
    x, y = (np.array(rows) for rows in zip(*(draw_data(names, size, seed) for seed in seeds), strict=True))
    one = np.array([draw_start(names, size, seed) for seed in seeds])
    start = moved(np.repeat(one[None], 1 + copies, 0), np.random.default_rng([size, 0]))
    return Universe(names, x, y, start), np.tile(start, (2, 2, 2, 1, 1, 1))


@np.errstate(all="ignore")
def medians(names: Names, size: int, seeds: Sequence[int] = SEEDS, copies: int = COPIES) -> dict[str, Any]:
    """Return by mask the metrics' medians over the seeds, in their order, and what the moved copies make of them.

    `moved` is how far a metric of any run is `apart` in any copy; `least` and `greatest` are the range of the median
    over the run and its copies. As in the stored runs a metric has seven digits, and NaN does not count.
    """
    universe, start = begun(names, size, seeds, copies)
    found = measured(universe, trained(universe, start, np.random.default_rng([size, 1])))
    rows: dict[str, Any] = {}
    for mask in MASKS:
        runs = found[tuple(map(int, mask))]
        middle = np.array([np.ma.median(np.ma.masked_invalid(copy), axis=0).filled(math.nan) for copy in runs])
        rows[mask] = {
            "moved": float(f"{apart(runs, runs[:1]).max():.2g}"),
            "median": shortened(middle[0]),
            "least": shortened(middle.min(0)),
            "greatest": shortened(middle.max(0)),
        }
    return rows


def shortened(values: np.ndarray) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train universes again and write their medians.")
    parser.add_argument("--numbers", type=int, nargs="+", required=True, help="universes' places in the Sobol' sample")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 5, 10, 20])
    parser.add_argument("--copies", type=int, default=COPIES, help="moved copies of each run")
    parser.add_argument("--out", type=Path, required=True, help="JSON; what is in it already is kept")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sample = sobol_universes()
    kept = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    for number in given.numbers:
        universe = kept.setdefault(str(number), {"names": sample[number], "sizes": {}})
        for size in given.sizes:
            if str(size) not in universe["sizes"]:
                started = time.perf_counter()
                universe["sizes"][str(size)] = medians(sample[number], size, copies=given.copies)
                given.out.write_text(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
                print(f"universe {number}, N = {size}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
