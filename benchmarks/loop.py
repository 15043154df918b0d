"""The loop a user would write: PyTorch and autograd, one run after another.

Written as its expert would. Tried, one step of six (mask, size) pairs together, on one Zen 4 core:
    2.98 ms as below; 3.60 through the companion's total_loss, whose input checks would be counted against the loop
    Adam: 2.98 fused, 3.34 plain, 3.46 foreach; 2.85 with all parameters in one tensor
    2.80 with the operations picked for few kernels (addcmul, mv, dot, mse_loss): `loss` takes those that read as well
    3.07 with autograd.grad in place of backward
    2.90 with one thread as below, 2.96 with two: arrays this small gain nothing from a second
    torch.compile needs a C++ compiler on the user's machine, so it is left out. Where there is one it takes 2.18,
    and half a minute to compile six (mask, size) pairs of the 48: not 1.4 times as fast.
Two processes, one a core, would halve the time: its runs share nothing.
"""

from __future__ import annotations

import torch

from benchmarks.work import STRENGTH, TEMPERATURE, Start, Work, start_of
from companion.core.network import Parameters
from companion.core.settings import MASKS, Switches


def loss(x: torch.Tensor, y: torch.Tensor, parameters: Parameters, switches: Switches) -> torch.Tensor:
    """The total loss of one run, without checks."""
    w, b, a, c = parameters
    neurons = w.shape[0]
    pairs = neurons * (neurons - 1)
    h = torch.exp(-((x[:, None] * w + b) ** 2))
    result = torch.nn.functional.mse_loss(h @ a + c, y)
    if switches.overlap:
        s = h.sum(1)
        result = result + STRENGTH * (s @ s - (h**2).sum()) / (neurons * pairs)
    if switches.coverage or switches.separation:
        q = -b / w
        if switches.coverage:
            nearest = torch.logsumexp((x[:, None] - q) ** 2 * (-1 / TEMPERATURE), dim=1)
            result = result - STRENGTH * TEMPERATURE * nearest.mean()
        if switches.separation:
            closeness = torch.exp((q[:, None] - q) ** 2 * (-1 / TEMPERATURE))
            result = result + STRENGTH * (closeness.sum() - neurons) / pairs  # a prototype's own closeness is 1
    return result


def train(x: torch.Tensor, y: torch.Tensor, initial: Parameters, mask: str, steps: int) -> Parameters:
    """Train one run."""
    parameters = Parameters(*(value.clone().requires_grad_() for value in initial))
    optimizer = torch.optim.Adam(parameters, lr=0.01, fused=True)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss(x, y, parameters, MASKS[mask]).backward()
        optimizer.step()
    return Parameters(*(value.detach() for value in parameters))


def train_all(start: Start, mask: str, steps: int) -> Parameters:
    """Train runs one after another."""
    runs = [
        train(x, y, Parameters(*initial), mask, steps) for x, y, *initial in zip(*start[:2], *start[2], strict=True)
    ]
    return Parameters(*(torch.stack(column) for column in zip(*runs, strict=True)))


def run(work: Work) -> None:
    """Do the work."""
    torch.set_num_threads(1)
    for size in work.sizes:
        start = start_of(size, work.seeds)
        for mask in work.masks:
            train_all(start, mask, work.steps)
