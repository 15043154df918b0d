"""What decides a run: one frozen, validated record of settings, and the levels of what is chosen by name.

A run is known by its settings, its size N and its seed. Whatever passes a setting on passes this record; functions that
are an equation take the numbers that stand in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cached_property, partial
from typing import Any, NamedTuple, Self

from companion.core.checks import (
    MOST_POINTS,
    MOST_STEPS,
    require_choice,
    require_flag,
    require_integer,
    require_number,
    shown,
)


class Switches(NamedTuple):
    """Which structural losses are on, in the order of the mask's three bits."""

    overlap: bool
    coverage: bool
    separation: bool


MASKS: dict[str, Switches] = {
    f"{bits:03b}": Switches(bool(bits & 4), bool(bits & 2), bool(bits & 1)) for bits in range(8)
}
"""The eight masks "000" … "111" in the order overlap-coverage-separation, each with its three switches."""

MASK_NAMES: dict[str, str] = {
    "000": "Std", "001": "Sep", "010": "Cov", "011": "Cov+Sep",
    "100": "Ovl", "101": "Ovl+Sep", "110": "Ovl+Cov", "111": "Full",
}  # fmt: skip
"""The paper's name of each mask."""

MASK_LABELS = {mask: f"{mask} {name}" for mask, name in MASK_NAMES.items()}
"""How pictures and tables write each mask, such as "010 Cov"."""


class Attractor(StrEnum):
    """What the mask's middle bit switches on: the paper's coverage, or one of two losses in its place."""

    COVERAGE = "coverage"
    CHAMFER = "chamfer"
    TRANSPORT = "transport"


class Target(StrEnum):
    """What gives the training points their values: on the line a function or labels drawn at random; in d dimensions a
    function along the cube's diagonal, or a table."""

    SINE = "sine"
    LINE = "line"
    STEP = "step"
    CHIRP = "chirp"
    LABELS = "labels"
    DIAGONAL = "diagonal"
    TABLE = "the table's"


class Neuron(StrEnum):
    """How a neuron sees its inputs: on the line; or in d dimensions, a width a coordinate or one direction."""

    LINE = "line"
    RADIAL = "radial"
    RIDGE = "ridge"


class Density(StrEnum):
    """How the inputs are distributed in the unit cube; or the name of a table whose rows they are."""

    UNIFORM = "uniform"
    ARCSINE = "arcsine"
    BELL = "bell"
    CLUSTERS = "clusters"
    DIABETES_2 = "diabetes-2"
    DIABETES_4 = "diabetes-4"
    LINNERUD_2 = "linnerud-2"


class Inputs(StrEnum):
    """How the inputs are placed: drawn at random from their density, or evenly spaced from 0 to 1."""

    RANDOM = "random"
    GRID = "grid"


class Initialisation(StrEnum):
    """Where training starts: how w and b are drawn. (In all of them a and c ~ U(-N^-½, N^-½).)"""

    UNIFORM_10 = "uniform-10"
    UNIFORM_1 = "uniform-1"
    UNIFORM_3 = "uniform-3"
    NORMAL_1 = "normal-1"
    NORMAL_5 = "normal-5"
    UNIFORM_N = "uniform-N"
    DATA_5 = "data-5"
    DATA_N = "data-N"


class Optimiser(StrEnum):
    """How the loss is minimised, full-batch: Adam, or gradient descent with momentum."""

    ADAM = "adam"
    MOMENTUM = "momentum"


class Activation(StrEnum):
    """A neuron's response to its z."""

    GAUSSIAN = "exp(-z²)"
    HALF = "exp(-z²/2)"


class CoverageForm(StrEnum):
    """The formula of the coverage loss."""

    SOFT_MINIMUM = "soft minimum"
    NEAREST = "nearest prototype"
    RESPONSE = "largest response"
    SOFT_ASSIGNMENT = "soft assignment"


class SeparationForm(StrEnum):
    """The formula of the separation loss, as a function of two prototypes' distance d."""

    GAUSSIAN = "exp(-d²/τ)"
    EXPONENTIAL = "exp(-d/√τ)"
    CAUCHY = "1/(1+d²/τ)"
    NEIGHBOUR = "nearest neighbour"


class OverlapForm(StrEnum):
    """The formula of the overlap loss."""

    PRODUCT = "product"
    COSINE = "cosine"
    GRAM = "squared Gram"
    COVARIANCE = "squared covariance"


class Reduction(StrEnum):
    """How a structural loss adds up its samples and pairs."""

    MEAN = "mean"
    SUM = "sum"


TARGETS_ON_THE_LINE = (Target.SINE, Target.LINE, Target.STEP, Target.CHIRP, Target.LABELS)
FORMS = (
    *("inputs", "initialisation", "activation", "coverage_form", "separation_form", "overlap_form", "reduction"),
    "matched",
)
"""Settings of which neurons in d dimensions take the nominal level alone."""
ROWS_OF_A_TABLE = (Density.DIABETES_2, Density.DIABETES_4, Density.LINNERUD_2)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "mask": partial(require_choice, allowed=MASKS),
    "strength": require_number,
    "temperature": partial(require_number, positive=True),
    "balance": require_number,
    "anneal": require_flag,
    "matched": require_flag,
    "dimension": partial(require_integer, least=1, most=MOST_POINTS),
    "step_size": partial(require_number, positive=True),
    "steps": partial(require_integer, least=0, most=MOST_STEPS),
}
"""What a setting that is no enumeration may be: a function of its name and its value, which it returns or refuses."""


@dataclass(frozen=True)
class Settings:
    """All that decides a run besides its size and seed; without arguments, the book's nominal choice of mask 000.

    Book: chapter "Rerunning, and what we chose", section "What we chose where the paper is silent".

    Attributes:
        mask: one of `MASKS`, which structural losses are on.
        attractor: what the mask's middle bit switches on.
        strength: λ >= 0, one coefficient for all structural losses.
        temperature: τ > 0, in units of squared input.
        balance: κ >= 0, the attractor's part of λ.
        anneal: whether the repulsions' part of λ falls linearly during training.
        target, inputs, density, dimension: the training points.
        neuron: how a neuron sees them; "line" has dimension 1.
        initialisation: where training starts.
        optimiser, step_size, steps: how it goes on; momentum's step size is the largest that it tries.
        activation, coverage_form, separation_form, overlap_form, reduction: the formulas.
        matched: whether λ is counted, for each structural loss, in the fit's gradient over that loss's at the start.

    Raises:
        ValueError: naming the first setting that is not allowed, what was given and what is allowed.
    """

    mask: str = "000"
    attractor: Attractor = Attractor.COVERAGE
    strength: float = 1.0
    temperature: float = 1e-4
    balance: float = 1.0
    anneal: bool = False
    target: Target = Target.SINE
    inputs: Inputs = Inputs.RANDOM
    neuron: Neuron = Neuron.LINE
    dimension: int = 1
    density: Density = Density.UNIFORM
    initialisation: Initialisation = Initialisation.UNIFORM_10
    optimiser: Optimiser = Optimiser.ADAM
    step_size: float = 0.01
    steps: int = 2000
    activation: Activation = Activation.GAUSSIAN
    coverage_form: CoverageForm = CoverageForm.SOFT_MINIMUM
    separation_form: SeparationForm = SeparationForm.GAUSSIAN
    overlap_form: OverlapForm = OverlapForm.PRODUCT
    reduction: Reduction = Reduction.MEAN
    matched: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            given, levels = getattr(self, field.name), type(field.default)
            if issubclass(levels, StrEnum):
                checked = levels(require_choice(field.name, given, list(levels)))
            else:
                checked = CHECKS[field.name](field.name, given)
            object.__setattr__(self, field.name, checked)
        if self.neuron == Neuron.LINE:
            self._require("target", TARGETS_ON_THE_LINE)
            self._require("dimension", (1,))
            self._require("density", (Density.UNIFORM,))
        else:
            self._require("target", (Target.TABLE if self.density in ROWS_OF_A_TABLE else Target.DIAGONAL,))
            for name in FORMS:
                self._require(name, (getattr(type(self), name),))

    def _require(self, name: str, allowed: tuple[Any, ...]) -> None:
        """Refuse what does not go with the neuron or the density."""
        given = getattr(self, name)
        if given not in allowed:
            raise ValueError(
                f"{name}: {str(given)!r} was given with neuron {str(self.neuron)!r} and density {str(self.density)!r}; "
                f"allowed are {', '.join(repr(str(level)) for level in allowed)} there"
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the settings that a mapping holds by name; what it lacks is nominal.

        Raises:
            ValueError: if a name is no setting, or a value is not allowed.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"given: {shown(given)} was given; allowed is a mapping of names to values")
        for name in given:
            require_choice("setting", name, NAMES)
        return cls(**given)

    def but(self, **changes: Any) -> Self:
        """Return the settings with some of them changed.

        Raises:
            ValueError: as `of`.
        """
        return self.of({name: getattr(self, name) for name in NAMES} | changes)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the settings whose `text` is given.

        Raises:
            ValueError: if it is no JSON object of settings.
        """
        try:
            given = json.loads(text)
        except (TypeError, ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise ValueError(f"text: {shown(text)} was given; allowed is a JSON object such as " + '{"mask": "010"}')
        return cls.of(given)

    @cached_property
    def text(self) -> str:
        """The settings that are not nominal, as one line of JSON; a setting added later changes no older text."""
        given = asdict(self)
        changed = {field.name: given[field.name] for field in fields(self) if given[field.name] != field.default}
        return json.dumps(changed, ensure_ascii=False)

    @cached_property
    def key(self) -> str:
        """The first twelve digits of the SHA-256 of `text`: a name for files."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @cached_property
    def label(self) -> str:
        """A name for tables: the mask and, where its middle bit is on, what attracts, such as "110 transport κ=10"."""
        if not MASKS[self.mask].coverage:
            return self.mask
        balance = f" κ={self.balance:g}" if self.balance != 1 else ""
        return f"{self.mask} {self.attractor}{balance}{' annealed' if self.anneal else ''}"


NAMES = tuple(field.name for field in fields(Settings))
"""Of the settings, in their order."""


def require_settings(name: str, given: Any) -> Settings:
    """Return `given`, refusing what is no record of settings; one of a subclass equals none of these."""
    if type(given) is not Settings:
        raise ValueError(f"{name}: {shown(given)} was given; allowed are Settings, such as Settings(mask='010')")
    return given
