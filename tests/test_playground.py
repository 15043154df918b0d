"""The playground: its JavaScript against the companion, number by number, and its page in a headless browser."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from conftest import ROOT, open_page, requests, wait
from literate import prose

from companion.core.data import TARGETS, sample_task
from companion.core.forms import COVERAGES, OVERLAPS, SEPARATIONS
from companion.core.losses import (
    chamfer_loss,
    coverage_loss,
    fit_loss,
    overlap_loss,
    separation_loss,
    transport_loss,
)
from companion.core.metrics import expelled_fraction, match, reconstruction_error, specialization_ratio
from companion.core.network import (
    EXPONENTS,
    INITIALISATIONS,
    Parameters,
    activations,
    in_nominal_activation,
    initial_parameters,
    output,
    predict,
    prototypes,
    starting_batch,
)
from companion.core.settings import (
    MASKS,
    Activation,
    Attractor,
    CoverageForm,
    Initialisation,
    Inputs,
    Optimiser,
    OverlapForm,
    Reduction,
    SeparationForm,
    Settings,
    Target,
)
from companion.core.train import train
from companion.engine import driver
from companion.studies.playground import LARGEST, LAST_SEED, LIMITS, NOT_THERE, link_to
from companion.sweeps.universes import AXES

SCRIPTS = ROOT / "assets" / "playground"
SCIENCE = {
    name: (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")
    for name in ("normal", "random", "forms", "network", "metrics")
}
"""The files that draw nothing, each behind those that it imports."""
CASES = json.loads((ROOT / "tests" / "reference" / "losses.json").read_text(encoding="utf-8"))
PAGE = "chapters/24-playground.html"
Evaluate = Callable[..., object]


def evaluate(browser, modules: dict[str, str], body: str, given: object = None) -> object:
    """Return what `body`, a function of `given`, returns in the browser; `science` in it is all the texts' exports."""
    script = """
      const [texts, given, done] = arguments, plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
      const urls = {}, at = (_, name) => JSON.stringify(urls[name]);
      for (const [name, text] of texts)
        urls[name] = URL.createObjectURL(
          new Blob([text.replace(/"\\.\\/(\\w+)\\.js"/g, at)], { type: "text/javascript" }));
      Promise.all(Object.values(urls).map((url) => import(url)))
        .then((modules) => Object.assign({}, ...modules))
        .then((science) => { BODY })
        .then((value) => ({ value }), (error) => ({ error: `${error}` }))
        .then((answer) => done(JSON.stringify(answer, plain)));
    """.replace("BODY", body)
    answer = json.loads(browser.execute_async_script(script, list(modules.items()), given))
    assert "error" not in answer, answer
    return answer["value"]


@pytest.fixture(scope="module")
def tab(browser, address):
    browser.get("about:blank")
    open_page(browser, address, "index.html")
    browser.set_script_timeout(60)
    return browser


def close(found: object, expected: object, tolerance: float) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(expected), rtol=tolerance, atol=tolerance)


LOSSES = {
    "fit": lambda x, y, h, value, at, tau: fit_loss(value, y),
    "overlap": lambda x, y, h, value, at, tau: overlap_loss(h),
    "coverage": lambda x, y, h, value, at, tau: coverage_loss(x, at, tau),
    "chamfer": lambda x, y, h, value, at, tau: chamfer_loss(x, at, tau),
    "transport": lambda x, y, h, value, at, tau: transport_loss(x, at),
    "separation": lambda x, y, h, value, at, tau: separation_loss(at, tau),
}
"""The companion's losses by the page's names, of data, responses, values, prototypes and τ."""
NAMED = {OverlapForm.PRODUCT, CoverageForm.SOFT_MINIMUM, SeparationForm.GAUSSIAN}
"""The nominal forms; the page calls the others by their levels."""


def check_losses(network: Evaluate) -> None:
    """Losses, in all their forms, and gradients equal the companion's reference values, or the companion's own."""
    body = """return given.map(({ x, y, tau, w, b, a, c, exponent }) => Object.keys(science.LOSSES).map((name) => {
      const net = new science.Network(x, y, { w, b, a, c }, exponent), value = net.differentiate({ [name]: 1 }, tau);
      return [name, value, { ...net.slope, c: net.gradient.at(-1) }];
    }));"""
    stream, cases = np.random.default_rng(2), [case | {"activation": "exp(-z²)"} for case in CASES]
    for size in (2, 9, 30):
        # Some prototypes far away, two of them equal, and two equal samples: transport's order has ties. One neuron
        # is so far away that the norm of its responses is below the least that a cosine divides by.
        drawn = {name: stream.normal(size=size).tolist() for name in "yba"} | {"c": 0.3, "tau": 0.05}
        drawn |= {"x": stream.uniform(size=size).tolist(), "w": stream.uniform(0.05, 2, size).tolist()}
        drawn["x"][1], drawn["w"][1], drawn["b"][1] = drawn["x"][0], drawn["w"][0], drawn["b"][0]
        if size == 30:
            drawn["b"][5] = 5.0
        cases += [drawn | {"activation": activation} for activation in Activation]
    given = [case | {"exponent": EXPONENTS[case["activation"]]} for case in cases]
    for case, found in zip(cases, network(body, given), strict=True):
        assert {name for name, *_ in found} == {*LOSSES, *OverlapForm, *CoverageForm, *SeparationForm} - NAMED
        for name, loss, gradients in found:
            if "losses" in case and name in case["losses"]:
                expected, slopes = case["losses"][name], case["gradients"][name]
            else:
                expected, slopes = by_the_companion(case, name)
            close(loss, expected, 1e-9)
            for symbol in "wbac":
                close(gradients[symbol], slopes[symbol], 1e-9)


def by_the_companion(case: dict, name: str) -> tuple[float, dict]:
    """A loss and its gradients by the companion's functions and autograd."""
    x, y = (torch.tensor(case[key], dtype=torch.float64) for key in "xy")
    p = Parameters(*(torch.tensor(case[key], dtype=torch.float64, requires_grad=True) for key in "wbac"))
    responses, at = activations(x, p.w, p.b, case["activation"]), prototypes(p.w, p.b)
    if name in OVERLAPS:
        loss = OVERLAPS[OverlapForm(name)].loss(responses)
    elif name in SEPARATIONS:
        loss = SEPARATIONS[SeparationForm(name)].loss(at, case["tau"])
    elif name in COVERAGES:
        loss = COVERAGES[CoverageForm(name)].loss(x, at, responses, case["tau"])
    else:
        loss = LOSSES[name](x, y, responses, output(responses, p.a, p.c), at, case["tau"])
    slopes = torch.autograd.grad(loss, p, allow_unused=True, materialize_grads=True)
    return loss.item(), {symbol: slope.tolist() for symbol, slope in zip("wbac", slopes, strict=True)}


def check_metrics(network: Evaluate) -> None:
    """The metrics equal the reference values, and the companion's on random networks and where neurons tie."""
    body = """return given.map(({ x, y, w, b, a, c }) => {
      const positions = science.prototypes(w, b), values = science.predict(positions, { w, b, a, c });
      return [positions, science.reconstructionError(x, y, positions, values),
        science.specializationRatio(science.activations(x, w, b)), science.expelledFraction(x, positions)];
    });"""
    for case, (positions, *numbers) in zip(CASES, network(body, CASES), strict=True):
        close(positions, case["prototypes"], 1e-12)
        close(
            numbers,
            [case[name] for name in ("reconstruction_error", "specialization_ratio", "expelled_fraction")],
            1e-9,
        )
    stream, runs = np.random.default_rng(0), []
    for size in (1, 2, 3, 7, 20, 50, 100):
        draw = {name: stream.normal(size=size).tolist() for name in "xyba"}
        runs.append(draw | {"w": stream.uniform(-10, 10, size).tolist(), "c": stream.normal()})
    # At the second sample every response rounds to 0: the first neuron, which has won already, counts again.
    runs.append({"x": [0, 100], "y": [0, 1], "w": [10, 10], "b": [0, -10], "a": [1, 1], "c": 0})
    for run, (positions, *numbers) in zip(runs, network(body, runs), strict=True):
        x, y, w, b, a, c = (torch.tensor(run[name], dtype=torch.float64) for name in "xywbac")
        close(positions, prototypes(w, b), 1e-12)
        values = predict(prototypes(w, b), w, b, a, c)
        expected = [
            reconstruction_error(x, y, prototypes(w, b), values),
            specialization_ratio(activations(x, w, b)),
            expelled_fraction(x, prototypes(w, b)),
        ]
        close(numbers, expected, 1e-9)


def check_training(network: Evaluate) -> None:
    """Two hundred steps, under each mask, form and optimiser, end where the companion's plain trainer ends."""
    body = """const { x, y, p, runs } = given;
    return runs.map((settings) => {
      const trainer = new science.Trainer(x, y, p, settings);
      while (trainer.steps < settings.steps && trainer.train(settings.steps - trainer.steps));
      return { ...trainer.parameters, steps: trainer.steps };
    });"""
    for size, strength, temperature, runs in TASKS:
        given, expected = trained(size, strength, temperature, runs)
        for settings, end, wanted in zip(given["runs"], network(body, given), expected, strict=True):
            assert end["steps"] == settings["steps"]
            for name, value in wanted.items():
                np.testing.assert_allclose(end[name], value, rtol=1e-6, atol=1e-6, err_msg=f"{size} {settings}")


OTHERS = (Attractor.CHAMFER, Attractor.TRANSPORT)
PLAIN = [
    *({"mask": mask} for mask in MASKS),
    *(
        {"mask": mask, "attractor": attractor, "balance": balance}
        for mask in ("010", "111")
        for attractor in OTHERS
        for balance in (1.0, 7.5)
    ),
]
READINGS = [
    *({"mask": "111", "overlap_form": form} for form in OverlapForm),
    *({"mask": "111", "coverage_form": form} for form in CoverageForm),
    *({"mask": "111", "separation_form": form} for form in SeparationForm),
    *({"mask": mask, "activation": Activation.HALF} for mask in ("000", "111")),
    *({"mask": "100", "reduction": Reduction.SUM, "strength": 1e-4, "overlap_form": form} for form in OverlapForm),
    *(
        {"mask": "001", "reduction": Reduction.SUM, "strength": 1e-3, "separation_form": form}
        for form in SeparationForm
    ),
    *({"mask": "010", "reduction": Reduction.SUM, "strength": 0.01, "coverage_form": form} for form in CoverageForm),
    *({"mask": "010", "reduction": Reduction.SUM, "strength": 0.01, "attractor": attractor} for attractor in OTHERS),
    *({"mask": "111", "matched": True, "strength": 0.1, "reduction": reduction} for reduction in Reduction),
    {"mask": "110", "matched": True, "balance": 2.0, "overlap_form": OverlapForm.COSINE, "activation": Activation.HALF},
    {"mask": "000", "step_size": 0.001},
    # With momentum a step size that does, one that is too large a tenth on, one only at the end, and two too large.
    *(
        {"optimiser": Optimiser.MOMENTUM, "mask": mask, "step_size": step_size, "strength": strength, "steps": steps}
        for mask, step_size, strength, steps in (
            ("100", 0.5, 0.7, 200),
            ("010", 1.0, 0.7, 200),
            ("001", 0.7, 30.0, 30),
            ("000", 30.0, 0.7, 200),
        )
    ),
]
TASKS = ((10, 0.7, 1e-2, "plain"), (30, 1.0, 1e-4, "plain"), (10, 0.7, 1e-2, "readings"))
"""Size, λ and τ of the trainings that are compared, and which these are; each names where it differs from its task."""


@functools.cache
def trained(size: int, strength: float, temperature: float, which: str) -> tuple[dict, list[dict]]:
    """A task with its initial weights, and the weights that 200 steps of the companion's plain trainer end at."""
    x, y, start = starting_batch(size, [1000])
    runs = [
        {"strength": strength, "temperature": temperature, "steps": 200} | run
        for run in (PLAIN if which == "plain" else READINGS)
    ]
    given = {"x": x[0].tolist(), "y": y[0].tolist(), "runs": runs}
    given["p"] = {name: value[0].tolist() for name, value in start._asdict().items()}
    ends = [train(x, y, start, Settings.of(run)).parameters for run in runs]
    return given, [{name: value[0] for name, value in parameters._asdict().items()} for parameters in ends]


def check_random(random: Evaluate) -> None:
    """Inputs, labels and initial weights are the companion's, bit for bit; a grid's last bit is the processor's."""
    cases = [[size, seed] for size in range(2, 101) for seed in (0, 1, 1000, 2**32 - 1)]
    body = """return given.map((drawn) => [science.INPUTS.random(...drawn), science.INPUTS.grid(...drawn),
      science.labels(...drawn),
      Object.keys(science.INITIALISATIONS).map((name) => science.initialParameters(...drawn, name))]);"""
    for (size, seed), (x, grid, labels, starts) in zip(cases, random(body, cases), strict=True):
        assert x == sample_task(size, seed)[0].tolist(), (size, seed)
        np.testing.assert_allclose(grid, sample_task(size, seed, inputs="grid")[0], rtol=0, atol=2**-52)
        assert labels == sample_task(size, seed, "labels")[1].tolist(), (size, seed)
        for initialisation, parameters in zip(INITIALISATIONS, starts, strict=True):
            for name, value in initial_parameters(size, seed, initialisation)._asdict().items():
                assert parameters[name] == value.tolist(), (initialisation, name, size, seed)


CHECKS = {
    check_losses: {
        "the square's factor lost in the fit": ("(factor * 2 * error)", "(factor * error)"),
        "the pair's factor lost in overlap": ("r = (2 * factor) / count;", "r = factor / count;"),
        "a neuron overlapping itself": ("value += (h[row + j] * (sum - h[row + j]))", "value += (h[row + j] * sum)"),
        "coverage repelling": ("{ net.pull[j] -= g; }),\n  chamfer", "{ net.pull[j] += g; }),\n  chamfer"),
        "coverage summed, not averaged": ("* Math.log(total)) / count", "* Math.log(total))"),
        "the mirror image repelling": ("(j, i, g) => { net.pull[j] += g; }", "(j, i, g) => { net.pull[j] -= g; }"),
        "prototypes matched in no order": ("positions[j] - positions[k] || j - k", "j - k"),
        "ties broken the other way": ("positions[j] - positions[k] || j - k", "positions[j] - positions[k] || k - j"),
        "transport summed, not averaged": (
            "pull[places[k]] += (2 * factor * d) / samples",
            "pull[places[k]] += 2 * factor * d",
        ),
        "a pair's second half lost in separation": (
            "const r = 2 / pairs(neurons); // a pair is met",
            "const r = 1 / pairs(neurons); // a pair is met",
        ),
        "the temperature lost in separation": ("[near, (-2 * d * near) / temperature]", "[near, -2 * d * near]"),
        "a prototype moved the wrong way by w": ("slope.w[j] -= (pull[j]", "slope.w[j] += (pull[j]"),
        "the input lost in dh/dw": ("slope.w[j] += d * x[i]", "slope.w[j] += d"),
        "the temperature lost in coverage's shares": (
            "(points[i] - candidates[k]) ** 2) / temperature)",
            "(points[i] - candidates[k]) ** 2))",
        ),
        "the activation's half lost in its slope": ("-2 * exponent * push[at]", "-2 * push[at]"),
        "Gram entries summed, not averaged": ("product /= samples;", ""),
        "the square's factor lost in Gram entries": ("(factor * r * 2 * product)", "(factor * r * product)"),
        "a neuron's partner left where it is": ("push[row + k] += g * v[row + j];", ""),
        "covariances of responses that are not centred": ("h - mean[at % neurons]", "h"),
        "a response's length held still in the cosine": ("(still ? 0 : u[at] * along[j])", "0"),
        "a cosine without a least length": ("shortest = 1e-8", "shortest = 0"),
        "the nearest prototype repelled": (
            "pull[j] += (2 * factor * d) / samples",
            "pull[j] -= (2 * factor * d) / samples",
        ),
        "the largest response made smaller": ("responses.indexOf(largest)] -=", "responses.indexOf(largest)] +="),
        "the last of equal responses": ("responses.indexOf(largest)", "responses.lastIndexOf(largest)"),
        "shares held still in the soft assignment": (" * (1 - (d * d - sum / total) / temperature)", ""),
        "the root lost in exp(-d/√τ)": ("Math.abs(d) / Math.sqrt(temperature)", "Math.abs(d) / temperature"),
        "the square lost in the slope of 1/(1+d²/τ)": ("* near ** 2]", "* near]"),
        "a neuron its own nearest neighbour": ("k !== but && ", ""),
        "a nearest neighbour that does not yield": ("pull[k] += r;", ""),
    },
    check_metrics: {
        "prices of neurons left out of the matching": ("- row[i] - column[j]", "- row[i]"),
        "the last of tied neurons counted": ("row.indexOf", "row.lastIndexOf"),
        "prototypes expelled to the left only": (" || at > Math.max(...x)", ""),
        "distances along the input only": ("Math.hypot(xi - at, y[i] - values[j])", "Math.abs(xi - at)"),
    },
    check_training: {
        "ε under the root": ("Math.sqrt(square[k]) / root + EPSILON", "Math.sqrt(square[k] + EPSILON) / root"),
        "ε before the correction": ("Math.sqrt(square[k]) / root + EPSILON", "(Math.sqrt(square[k]) + EPSILON) / root"),
        "no correction of the mean": ("step_size / (1 - BETAS[0] ** this.steps)", "step_size"),
        "no correction of the square": ("Math.sqrt(1 - BETAS[1] ** this.steps)", "1"),
        "another decay": ("BETAS = [0.9, 0.999]", "BETAS = [0.9, 0.99]"),
        "bits read from the other end": ('mask[bit] === "1"', 'mask[2 - bit] === "1"'),
        "strength left out": ("= strength * (loss === attracts", "= (loss === attracts"),
        "balance left out": ("(loss === attracts ? balance : 1)", "1"),
        "balance given to all": ("(loss === attracts ? balance : 1)", "balance"),
        "attractor left out": ("[settings.coverage_form] : attractor;", "[settings.coverage_form] : 'coverage';"),
        "sums and gradients left out": (" * this.unit(loss)", ""),
        "the Gram's own sums left out": ("samples ** 2 * pairs", "samples * pairs"),
        "a neighbour a pair": ('if (loss === "nearest neighbour") return neurons;', ""),
        "a sum that is not matched": ('(count * norm("fit"))', 'norm("fit")'),
        "matched where training stands, not where it starts": ("this.theta.set(this.start);\n    const", "const"),
        "another momentum": ("MOMENTUM = 0.9", "MOMENTUM = 0.8"),
        "a step size looked at after a tenth only": (" || this.steps === steps", ""),
        "a step size looked at in the end only": ("this.steps === Math.floor(steps / 10) || ", ""),
        "a step size that falls to a half": ("PARTS = [1, 0.1, 0.01]", "PARTS = [1, 0.5, 0.25]"),
        "one fall only": ("this.tried === PARTS.length - 1", "this.tried === 1"),
        "momentum kept over a fall": (
            "this.tried += 1;\n    this.begin();",
            "this.tried += 1;\n    this.theta.set(this.start), this.steps = 0;",
        ),
    },
    check_random: {
        "one random bit lost": (">> 11n) * 2 ** -53", ">> 12n) * 2 ** -52"),
        "N^-½ rounded twice": (
            "uniform(stream, -bound, bound, size)",
            "uniform(stream, -1 / Math.sqrt(size), 1 / Math.sqrt(size), size)",
        ),
        "weights before their order": (
            "({ w: uniform(stream, -w, w, size), b: uniform(stream, -b, b, size) })",
            "({ b: uniform(stream, -b, b, size), w: uniform(stream, -w, w, size) })",
        ),
        "another stream": ("stream = randomStream(size, seed, 1)", "stream = randomStream(size, seed, 0)"),
        "labels before inputs": (".slice(size)", ".slice(0, size)"),
        "a word's upper half first": ("k % 2 ? halves >> 32n : word()", "k % 2 ? halves << 32n : word() >> 32n"),
        "prototypes at the data mirrored": (
            "b: w.map((value, j) => -value * at[j])",
            "b: w.map((value, j) => value * at[j])",
        ),
        "a normal draw's sign lost": ("(drawn & 0x100n ? -1 : 1)", "1"),
        "layers without their slopes": ("(HEIGHTS[k - 1] - HEIGHTS[k]) * unit() + HEIGHTS[k]", "HEIGHTS[k]"),
        "the tail on another side": ("drawn & 0x20000n", "drawn & 0x40000n"),
    },
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_page_s_science_is_the_companion_s(tab, check):
    check(functools.partial(evaluate, tab, SCIENCE))


@pytest.mark.parametrize(
    ("check", "variant"),
    [(check, variant) for check, variants in CHECKS.items() for variant in variants],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_a_check_fails_for_a_false_variant(tab, check, variant):
    right, wrong = CHECKS[check][variant]
    assert sum(text.count(right) for text in SCIENCE.values()) == 1, "one that changes nothing, or more than it says"
    false = {name: text.replace(right, wrong) for name, text in SCIENCE.items()}
    with pytest.raises(AssertionError):
        check(functools.partial(evaluate, tab, false))


def test_the_values_of_every_target_are_the_companion_s_to_the_last_bit_of_a_sine(tab):
    body = "return Object.entries(science.TARGETS).map(([name, target]) => [name, given.map(target)]);"
    found = dict(evaluate(tab, SCIENCE, body, sample_task(100, 1000)[0].tolist()))
    assert list(found) == list(TARGETS)
    for name, values in found.items():
        np.testing.assert_allclose(values, sample_task(100, 1000, name)[1], rtol=0, atol=2**-52)


def test_a_matching_is_one_to_one_and_the_companion_s(tab):
    x, y, p, v = np.random.default_rng(1).normal(size=(4, 40))
    cost = np.hypot(x[:, None] - p, y[:, None] - v)
    assert evaluate(tab, SCIENCE, "return science.match(given);", cost.tolist()) == match(x, y, p, v).neuron.tolist()


def test_training_stops_where_a_number_is_not_finite(tab):
    body = """const p = { w: [1, 0], b: [0.5, 0.5], a: [1, 1], c: 0 }, trainer = new science.Trainer([0, 1], [0, 1], p);
      return [trainer.train(3), trainer.steps, science.reconstructionError([0, 1], [0, 1], [0, Infinity], [0, 1])];"""
    assert evaluate(tab, SCIENCE, body) == [False, 0, None], "JSON writes NaN as null"


def test_the_scripts_are_small():
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in SCRIPTS.glob("*.js")]
    assert max(lines) < 250 and sum(lines) < 850


def test_training_s_settings_are_the_companion_s_with_their_levels(tab):
    nominal, levels = evaluate(tab, SCIENCE, "return [science.NOMINAL, Object.entries(science.FORMS)];")
    assert nominal == {name: asdict(Settings())[name] for name in nominal}
    assert [(name, list(forms)) for name, forms in levels] == [
        ("overlap_form", list(OverlapForm)),
        ("coverage_form", list(CoverageForm)),
        ("separation_form", list(SeparationForm)),
    ]


# --- the page ---


def opened(browser, address: str, fragment: str = "", width: int = 1280) -> None:
    """Open the page afresh, at some settings."""
    browser.get("about:blank")
    open_page(browser, address, PAGE + fragment, width)
    wait(browser, 'document.querySelector("#playground [data-number=step]").textContent !== ""')


def look(browser, selector: str, of: str = "textContent") -> object:
    return browser.execute_script(f"return document.querySelector('#playground {selector}').{of}")


def click(browser, name: str) -> None:
    browser.execute_script(f'document.querySelector("#playground [name={name}]").click()')


def number(browser, name: str) -> float:
    return float(look(browser, f"[data-number={name}]"))


def status(browser) -> str:
    return look(browser, "[role=status]")


def enter(browser, name: str, text: str) -> None:
    """Type a text into a field, as a reader does with the keyboard."""
    from selenium.webdriver import Keys

    browser.find_element("css selector", f"#playground [name={name}]").send_keys(
        Keys.CONTROL, "a", Keys.NULL, text, Keys.TAB
    )


def controls(browser) -> dict[str, str]:
    """What the controls show, under the names that the address has for it."""
    shown = {
        name: look(browser, f"[name={name}]", "value")
        for name in ("attractor", "size", "strength", "balance", "temperature", "target", "seed", "speed")
    }
    return shown | {"mask": look(browser, ".pg-mask").split()[0]}


def in_address(browser) -> dict[str, str]:
    pairs = browser.execute_script("return [...new URLSearchParams(location.hash.slice(1))]")
    return dict(pairs)


def finish(browser) -> None:
    """Train to where the page pauses by itself."""
    enter(browser, "speed", "100")
    click(browser, "play")
    wait(browser, 'document.querySelector("#playground [role=status]").textContent.includes("Paused at step 2000")')


DEFAULTS = {
    "mask": "110", "attractor": "coverage", "size": "30", "strength": "1", "balance": "1", "temperature": "0.0001",
    "target": "sine", "seed": "1000", "speed": "5",
}  # fmt: skip


def test_the_page_opens_at_its_defaults_and_does_not_start_by_itself(browser, address):
    opened(browser, address)
    assert controls(browser) == DEFAULTS and in_address(browser) == {}
    assert number(browser, "step") == 0 and look(browser, "[name=play]") == "Play"
    x, y = sample_task(30, 1000)
    start = initial_parameters(30, 1000)
    positions = prototypes(start.w, start.b)
    error = reconstruction_error(x, y, positions, predict(positions, *start))
    assert number(browser, "error") == pytest.approx(error, rel=5e-3)
    assert number(browser, "expelled") == pytest.approx(expelled_fraction(x, positions), rel=5e-3)
    ratio = specialization_ratio(activations(x, start.w, start.b))
    assert number(browser, "special") == pytest.approx(ratio, rel=5e-3)
    (settings,) = on_the_page(browser, address, "page.trainer.settings")
    nominal = asdict(Settings("110"))
    assert {name: settings[name] for name in nominal if name not in NOT_THERE} == {
        name: level for name, level in nominal.items() if name not in NOT_THERE
    }
    hidden = "return [...document.querySelectorAll('main img, .playground-still')].map((part) => part.offsetParent)"
    assert browser.execute_script(hidden) == [None, None], "the live page stands in the picture's place"


def test_play_pauses_where_the_book_s_runs_end_and_goes_on(browser, address):
    opened(browser, address, "#mask=000&size=5")
    finish(browser)
    assert number(browser, "step") == 2000 and look(browser, "[name=play]") == "Play"
    x, y = sample_task(5, 1000)
    end = train(x, y, initial_parameters(5, 1000), Settings("000")).parameters
    positions = prototypes(end.w, end.b)
    assert number(browser, "error") == pytest.approx(
        reconstruction_error(x, y, positions, predict(positions, *end)), rel=5e-3
    )
    click(browser, "play")
    wait(browser, 'Number(document.querySelector("#playground [data-number=step]").textContent) > 2000')
    assert look(browser, "[name=play]") == "Pause"
    click(browser, "play")
    reached = number(browser, "step")
    assert f"Paused at step {reached:.0f}" in status(browser)
    assert f"step {reached:.0f}," in look(browser, ".pg-network", "ariaLabel")
    click(browser, "step")
    assert number(browser, "step") == reached + 1
    assert f"step {reached + 1:.0f}," in look(browser, ".pg-network", "ariaLabel")
    click(browser, "reset")
    assert number(browser, "step") == 0 and "step 0" in status(browser)


PRESETS = {
    "the fit alone": {"mask": "000"},
    "overlap expels": {"mask": "100"},
    "coverage cannot hold": {"mask": "110"},
    "separation at high temperature": {"mask": "001", "temperature": "1"},
    "transport finds the points": {"mask": "010", "attractor": "transport"},
    "transport holds": {"mask": "110", "attractor": "transport", "balance": "10"},
}


@functools.cache
def preset_end(preset: str) -> tuple[float, float, float]:
    """Expelled fraction at the start and at the end, and E at the end, of a preset's run by the companion."""
    (x, y), start = sample_task(30, 1000), initial_parameters(30, 1000)
    asked = DEFAULTS | PRESETS[preset]
    numbers = {"temperature": float(asked["temperature"]), "balance": float(asked["balance"])}
    end = driver.train(x, y, start, Settings(asked["mask"], asked["attractor"], **numbers)).parameters
    before, after = prototypes(start.w, start.b), prototypes(end.w, end.b)
    error = reconstruction_error(x, y, after, predict(after, *end))
    return expelled_fraction(x, before), expelled_fraction(x, after), error


def shows_its_claim(preset: str, before: float, after: float, error: float) -> bool:
    _, alone, alone_error = preset_end("the fit alone")
    _, covered, covered_error = preset_end("coverage cannot hold")
    return {
        "the fit alone": after <= before,
        "separation at high temperature": after > max(before, alone) and error > 10 * alone_error,
        "transport finds the points": error < alone_error / 10,
        "transport holds": after < covered / 2 and error < covered_error / 10,
    }.get(preset, after > max(before, alone))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_shows_its_claim_in_the_companion_and_on_the_page(browser, address, preset):
    settings = DEFAULTS | PRESETS[preset]
    before, after, error = preset_end(preset)
    assert shows_its_claim(preset, before, after, error)
    opened(browser, address, "#size=7&seed=3")
    script = (
        "[...document.querySelectorAll('.pg-presets button')].find((button) => button.textContent === arguments[0])"
    )
    browser.execute_script(f"{script}.click()", preset)
    assert controls(browser) == in_address(browser) == settings
    told = {"separation at high temperature": [f"{after:.2f}"], "transport finds the points": [f"{error:.2g}"]}
    told["transport holds"] = [f"{after:.2f}", f"{error:.2g}"]
    assert all(number in status(browser) for number in [*told.get(preset, [f"{before:.2f}", f"{after:.2f}"]), "Play"])
    finish(browser)
    assert shows_its_claim(preset, before, number(browser, "expelled"), number(browser, "error"))


def test_settings_go_into_the_address_and_come_back(browser, address):
    opened(browser, address)
    wanted = {"size": "12", "strength": "2.5", "temperature": "0.003", "seed": "7", "speed": "20"}
    for name, text in wanted.items():
        enter(browser, name, text)
    for name in ("coverage", "separation"):
        click(browser, name)
    assert controls(browser) == in_address(browser) == DEFAULTS | wanted | {"mask": "101"}
    link = browser.execute_script("return location.hash")
    opened(browser, address, link)
    assert controls(browser) == DEFAULTS | wanted | {"mask": "101"}
    assert status(browser).startswith("At step 0: mask 101 Ovl+Sep, N = 12")
    browser.execute_script("location.hash = 'mask=011&size=4'")
    wait(browser, 'document.querySelector("#playground [name=size]").value === "4"')
    assert controls(browser) == DEFAULTS | {"mask": "011", "size": "4"}
    browser.execute_script("location.hash = 'sec-presets'")
    assert controls(browser) == DEFAULTS | {"mask": "011", "size": "4"}, "a place of the page is no setting"


BAD = {
    "#size=1000": ("size", "whole numbers from 2 to 100", {"size": "100"}),
    "#size=1": ("size", "from 2 to 100", {"size": "2"}),
    "#size=-5": ("size", "from 2 to 100", {"size": "2"}),
    "#size=2.5": ("size", "whole numbers", {}),
    "#size=abc": ("size", "whole numbers", {}),
    "#size=": ("size", "whole numbers", {}),
    "#size=NaN": ("size", "whole numbers", {}),
    "#size=0x10": ("size", "whole numbers", {}),
    "#strength=-1": ("strength", "from 0 to 1000", {"strength": "0"}),
    "#strength=Infinity": ("strength", "from 0 to 1000", {}),
    "#strength=1e999": ("strength", "from 0 to 1000", {}),
    "#balance=-1": ("balance", "from 0 to 1000", {"balance": "0"}),
    "#attractor=magnet": ("attractor", "coverage, chamfer, transport", {}),
    "#temperature=0": ("temperature", "from 0.000001 to 10", {"temperature": "0.000001"}),
    "#temperature=1e9": ("temperature", "to 10", {"temperature": "10"}),
    "#seed=1e300": ("seed", "to 4294967295", {"seed": "4294967295"}),
    "#seed=-1": ("seed", "from 0", {"seed": "0"}),
    "#speed=0": ("speed", "from 1 to 100", {"speed": "1"}),
    "#mask=112": ("mask", "000, 001, 010", {}),
    "#mask=toString": ("mask", "111", {}),
    "#target=cosine": ("target", "sine, line, step, chirp, labels", {}),
    "#overlap_form=magnet": ("overlap_form", "product, cosine, squared Gram, squared covariance", {}),
    "#activation=exp(-z)": ("activation", "exp(-z²), exp(-z²/2)", {}),
    "#matched=maybe": ("matched", "false, true", {}),
    "#steps=many": ("steps", "whole numbers from 1 to 100000", {}),
    "#anneal=true": ("anneal", "mask, attractor, size", {}),
    "#colour=red": ("colour", "mask, attractor, size, strength, balance, temperature, target, seed, speed, inputs", {}),
    "#__proto__=1": ("__proto__", "mask, attractor, size", {}),
    "#garbage": ("garbage", "mask, attractor", {}),
    "#%E0%A4%A": ("no setting", "mask, attractor", {}),
    "#mask=100&size=9&size=x&temperature=": ("size", "temperature", {"mask": "100", "size": "9"}),
    "#size=<img src=x onerror=alert(1)>": ("size", "whole numbers", {}),
    "#size=" + "9" * 5000: ("size", "from 2 to 100", {}),
}


@pytest.mark.parametrize("fragment", BAD, ids=lambda fragment: fragment[:40])
def test_a_bad_address_gives_words_and_a_working_page(browser, address, fragment):
    name, allowed, settings = BAD[fragment]
    opened(browser, address, fragment)
    assert name in status(browser) and allowed in status(browser) and len(status(browser)) < 600
    assert controls(browser) == in_address(browser) == DEFAULTS | settings
    click(browser, "step")
    assert number(browser, "step") == 1
    assert browser.get_log("browser") == []


def test_links_with_the_older_names_open_what_they_did(browser, address):
    opened(browser, address, "#mask=011&n=12&lambda=2.5&kappa=3&tau=0.003")
    wanted = {"mask": "011", "size": "12", "strength": "2.5", "balance": "3", "temperature": "0.003"}
    assert controls(browser) == in_address(browser) == DEFAULTS | wanted


def on_the_page(browser, address: str, names: str) -> object:
    """What the page's module exports, a list of expressions of `page`."""
    module = json.dumps(f"{address}assets/playground/page.js")
    return browser.execute_async_script(f"const done = arguments[0]; import({module}).then((page) => done([{names}]))")


OFFERED = {
    **{name: name for name in ("inputs", "target", "activation", "initialisation", "reduction")},
    **{axis: f"{axis}_form" for axis in ("coverage", "separation", "overlap")},
}
"""The settings of which the page has a select with all levels of an axis, by axis."""


def test_the_page_offers_the_levels_of_the_axes_under_their_names(browser, address):
    opened(browser, address)
    options = "return [...document.querySelector(`#playground [name=${arguments[0]}]`).options].map((one) => %s)"
    for axis, name in OFFERED.items():
        assert browser.execute_script(options % "one.text", name) == [level.name for level in AXES[axis]]
        assert browser.execute_script(options % "one.value", name) == [level.settings[name] for level in AXES[axis]]
    assert AXES["λ"][-1].name in browser.execute_script(options % "one.text", "matched")
    assert browser.execute_script(options % "one.value", "optimiser") == list(Optimiser)
    for axis in ("λ", "τ", "optimiser", "steps"):
        for level in AXES[axis]:
            for size in (2, LARGEST):
                assert link_to(Settings.of(level.at(size)), size, 0), level


LINKS = [
    (Settings("100", overlap_form=OverlapForm.COSINE, temperature=0.01, matched=True), 12, 7),
    (
        Settings(
            mask="111",
            strength=0.02,
            target=Target.LABELS,
            initialisation=Initialisation.NORMAL_5,
            optimiser=Optimiser.MOMENTUM,
            step_size=1.0,
            steps=500,
            activation=Activation.HALF,
            coverage_form=CoverageForm.SOFT_ASSIGNMENT,
            separation_form=SeparationForm.CAUCHY,
            overlap_form=OverlapForm.GRAM,
            reduction=Reduction.SUM,
        ),
        5,
        LAST_SEED,
    ),
    (Settings("010", Attractor.TRANSPORT, balance=10.0, step_size=1e-3, inputs=Inputs.GRID), LARGEST, 0),
]


@pytest.mark.parametrize(("settings", "size", "seed"), LINKS, ids=["forms", "all", "attractor"])
def test_a_link_opens_its_network_and_the_page_links_to_the_same(browser, address, settings, size, seed):
    link = link_to(settings, size, seed)
    assert PAGE.endswith(link.partition("#")[0])
    opened(browser, address, "#" + link.partition("#")[2])
    assert "was given" not in status(browser) and "is no setting" not in status(browser)
    assert look(browser, "details", "open")
    parts = "page.trainer.settings, [...page.trainer.x], [...page.trainer.y], [...page.trainer.theta]"
    found, x, y, theta = on_the_page(browser, address, parts)
    expected = {name: value for name, value in asdict(settings).items() if name not in NOT_THERE}
    assert {name: found[name] for name in expected} == expected
    assert (found["size"], found["seed"]) == (size, seed)
    task, start = (
        sample_task(size, seed, settings.target, settings.inputs),
        initial_parameters(size, seed, settings.initialisation),
    )
    close(x, task[0], 1e-15)
    close(y, task[1], 1e-15)
    assert theta == torch.cat([value.reshape(-1) for value in start]).tolist()
    nominal = in_nominal_activation(start, settings.activation)
    positions = prototypes(nominal.w, nominal.b)
    error = reconstruction_error(*task, positions, predict(positions, *nominal))
    assert number(browser, "error") == pytest.approx(error, rel=5e-3)
    ratio = specialization_ratio(activations(task[0], nominal.w, nominal.b))
    assert number(browser, "special") == pytest.approx(ratio, rel=5e-3)
    browser.execute_script("history.replaceState(null, '', location.pathname)")
    click(browser, "copy")
    linked, again = in_address(browser), dict(parse_qsl(link.partition("#")[2]))
    told = {name: text for name, text in linked.items() if name in again or DEFAULTS.get(name) != text}
    assert told.keys() == again.keys()
    for name, text in again.items():
        assert told[name] == text or float(told[name]) == float(text)
    assert look(browser, "[name=copy]") == "Link to this"


def test_links_hold_what_the_page_takes_and_no_more():
    page = prose("24-playground")
    limits = {"size": (2, LARGEST), "seed": (0, LAST_SEED)} | LIMITS
    found = re.findall(r'name="(\w+)" type="number" min="([\d.]+)" max="([\d.]+)"', page)
    assert {name: (float(least), float(most)) for name, least, most in found if name != "speed"} == limits
    for arguments, words in (
        ((Settings(), 101, 0), "size: 101 was given; allowed are whole numbers from 2 to 100"),
        ((Settings(), 2, 2**32), "seed: 4294967296 was given; allowed are whole numbers from 0 to 4294967295"),
        (
            (Settings(strength=1e4), 2, 0),
            "strength: 10000.0 was given; allowed on the page are numbers from 0.0 to 1000",
        ),
        ((Settings(steps=0), 2, 0), "steps: 0 was given; allowed on the page are numbers from 1 to 100000"),
        ((Settings(anneal=True), 2, 0), "anneal: True was given; allowed on the page is False"),
        ((Settings(neuron="radial", target="diagonal"), 2, 0), "allowed on the page is"),
        (("000", 2, 0), "settings: '000' was given"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            link_to(*arguments)


def test_momentum_begins_again_where_its_step_size_is_too_large(browser, address):
    """On these points 2 is too large, and 0.2 is not."""
    settings = Settings(optimiser=Optimiser.MOMENTUM, step_size=2.0, steps=200)
    opened(browser, address, "#" + link_to(settings, 10, 1000).partition("#")[2] + "&speed=15")
    click(browser, "play")
    wait(browser, 'document.querySelector("#playground [role=status]").textContent.includes("Paused at step 200,")')
    assert on_the_page(browser, address, "page.trainer.rate") == [pytest.approx(0.2)]
    x, y, start = starting_batch(10, [1000])
    end = Parameters(*(value[0] for value in train(x, y, start, settings).parameters))
    positions = prototypes(end.w, end.b)
    error = reconstruction_error(x[0], y[0], positions, predict(positions, *end))
    assert number(browser, "error") == pytest.approx(error, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [("size", "500", "100"), ("size", "1", "2"), ("temperature", "e", "0.0001"), ("strength", "-3", "0")],
)
def test_a_bad_field_gives_words_and_a_working_page(browser, address, name, text, kept):
    opened(browser, address)
    enter(browser, name, text)
    assert status(browser).startswith(f"{name}: ") and "allowed are" in status(browser)
    assert controls(browser) == in_address(browser) == DEFAULTS | {name: kept}


def test_other_losses_go_on_and_other_data_start_again(browser, address):
    from selenium.webdriver.support.ui import Select

    opened(browser, address)
    click(browser, "step")
    click(browser, "separation")
    assert number(browser, "step") == 1 and "From step 1 on: mask 111 Full" in status(browser)
    enter(browser, "temperature", "0.5")
    assert number(browser, "step") == 1 and "τ = 0.5" in status(browser)
    enter(browser, "seed", "1001")
    assert number(browser, "step") == 0
    click(browser, "step")
    Select(browser.find_element("css selector", "#playground [name=target]")).select_by_visible_text("step")
    assert number(browser, "step") == 0 and in_address(browser)["target"] == "step"
    assert ", step, seed 1001" in status(browser)
    assert on_the_page(browser, address, "...page.trainer.y") == sample_task(30, 1001, "step")[1].tolist()


def test_forms_go_on_and_another_network_or_optimiser_starts_again(browser, address):
    from selenium.webdriver.support.ui import Select

    def choose(name: str, level: str) -> None:
        Select(browser.find_element("css selector", f"#playground [name={name}]")).select_by_visible_text(level)

    opened(browser, address)
    assert not look(browser, "details", "open") and look(browser, ".pg-others") == ""
    browser.find_element("css selector", "#playground summary").click()
    click(browser, "step")
    choose("overlap_form", "cosine")
    choose("matched", "gradient-matched")
    assert number(browser, "step") == 1 and status(browser).endswith("overlap: cosine, λ: gradient-matched.")
    assert in_address(browser) == DEFAULTS | {"overlap_form": "cosine", "matched": "true"}
    choose("optimiser", "momentum")
    assert number(browser, "step") == 0 and look(browser, ".pg-others") == "(4 chosen)"
    assert in_address(browser).items() >= {"optimiser": "momentum", "step_size": "1"}.items()
    click(browser, "step")
    choose("initialisation", "data-N")
    assert number(browser, "step") == 0
    for name, level in (("optimiser", "Adam"), ("initialisation", "uniform-10"), ("overlap_form", "product")):
        choose(name, level)
    assert in_address(browser) == DEFAULTS | {"matched": "true"}
    assert browser.get_log("browser") == []


def test_a_weight_of_zero_stops_training_with_words(browser, address):
    opened(browser, address)
    module = json.dumps(f"{address}assets/playground/page.js")
    browser.execute_async_script(
        f"const done = arguments[0]; import({module}).then((page) => {{ page.trainer.w[0] = 0; done(); }})"
    )
    click(browser, "play")
    wait(browser, 'document.querySelector("#playground [role=status]").textContent.startsWith("Stopped at step 0")')
    assert look(browser, "[data-number=error]") == "–"
    click(browser, "reset")
    click(browser, "step")
    assert number(browser, "step") == 1 and browser.get_log("browser") == []


def test_the_keyboard_reaches_and_works_every_control(browser, address):
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    opened(browser, address)
    browser.execute_script("document.querySelector('#playground summary').focus()")
    press(Keys.ENTER)
    assert look(browser, "details", "open")
    names = "return [...document.querySelectorAll('#playground :is(button, input, select, summary)')].map((control) => "
    count = len(browser.execute_script(names + "1)"))
    browser.execute_script("document.querySelector('#playground button').focus()")
    reached = []
    for _ in range(count):
        reached.append(browser.execute_script("const at = document.activeElement; return at.name || at.textContent"))
        assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if reached[-1] == "separation":
            press(Keys.SPACE)
        if reached[-1] == "step":
            press(Keys.ENTER)
        press(Keys.TAB)
    assert len(reached) == count == 6 + 3 + 1 + 6 + 3 + 1 + 1 + 11 + 4 and {
        "play",
        "reset",
        "copy",
        "size",
        "temperature",
        "target",
        "initialisation",
        "steps",
    } <= set(reached)
    assert controls(browser)["mask"] == "111" and number(browser, "step") == 1
    slider = browser.find_element("css selector", "#playground [data-of=temperature]")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert controls(browser)["temperature"] == in_address(browser)["temperature"] == "0.00013"
    # The browser's own names for assistive technology.
    for control in browser.find_elements("css selector", "#playground :is(button, input, select, canvas)"):
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")


@pytest.mark.parametrize("width", [390, 1280, 2000])
def test_the_page_fits_the_screen_while_it_trains(browser, address, width):
    opened(browser, address, "#size=100&mask=111&speed=2", width)
    browser.get_log("performance")
    browser.execute_script("document.querySelector('#playground details').open = true")
    click(browser, "play")
    wait(browser, 'Number(document.querySelector("#playground [data-number=step]").textContent) > 10')
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    click(browser, "play")
    assert browser.get_log("browser") == [] and all(url.startswith(address) for url in requests(browser))


def inks(browser) -> tuple[str, str]:
    """The data's colour in the legend, and the network's picture."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    color = browser.execute_script(
        "return getComputedStyle(document.querySelector('#playground [data-ink=data]')).color"
    )
    return color, browser.execute_script("return document.querySelector('.pg-network').toDataURL()")


def test_the_pictures_follow_the_theme(browser, address):
    opened(browser, address)
    light = inks(browser)
    browser.execute_script('document.querySelector("#theme, .quarto-color-scheme-toggle").click()')
    dark = inks(browser)
    assert light[0] != dark[0] and light[1] != dark[1]
    # Quarto tells its theme by a class of the body, the embedded build by an attribute of the root.
    for name, expected in (("quarto-light", light), ("quarto-dark", dark)):
        browser.execute_script("document.body.classList.remove('quarto-light', 'quarto-dark')")
        browser.execute_script("document.body.classList.add(arguments[0])", name)
        assert inks(browser)[0] == expected[0]
    browser.execute_script("localStorage.clear()")


def test_with_reduced_motion_few_pictures_are_drawn(browser, address):
    counts = {}
    for preference in ("no-preference", "reduce"):
        feature = {"name": "prefers-reduced-motion", "value": preference}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        opened(browser, address, "#size=5&speed=20")
        assert number(browser, "step") == 0
        browser.execute_script(
            """window.drawn = 0;
            new MutationObserver(() => { window.drawn += 1; })
              .observe(document.querySelector("[data-number=step]"), { childList: true });"""
        )
        click(browser, "play")
        wait(browser, 'document.querySelector("#playground [role=status]").textContent.includes("Paused")')
        counts[preference] = browser.execute_script("return window.drawn")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert counts["no-preference"] > 50 > counts["reduce"]


def test_without_javascript_the_picture_and_its_sentence_stand(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get("about:blank")
        browser.get(address + PAGE)
        assert browser.find_element("css selector", ".playground-still").is_displayed()
        assert browser.find_element("css selector", "main img").is_displayed()
        assert not browser.find_element("css selector", "#playground").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
