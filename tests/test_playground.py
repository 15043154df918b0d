"""The playground: its JavaScript against the companion, number by number, and its page in a headless browser."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import ROOT, open_page, requests, wait

from companion.core.data import TARGETS, sample_task
from companion.core.losses import (
    chamfer_loss,
    coverage_loss,
    fit_loss,
    overlap_loss,
    separation_loss,
    transport_loss,
)
from companion.core.metrics import expelled_fraction, match, reconstruction_error, specialization_ratio
from companion.core.network import Parameters, activations, initial_parameters, predict, prototypes
from companion.core.settings import MASKS, Attractor, Settings
from companion.core.train import train
from companion.engine import driver

SCRIPTS = ROOT / "assets" / "playground"
NETWORK, RANDOM = ((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in ("network", "random"))
CASES = json.loads((ROOT / "tests" / "reference" / "losses.json").read_text(encoding="utf-8"))
PAGE = "chapters/24-playground.html"
Evaluate = Callable[..., object]


def evaluate(browser, module: str, body: str, given: object = None) -> object:
    """Return what `body`, a function of `given`, returns in the browser; `science` in it is the module of that text."""
    script = f"""
      const [text, given, done] = arguments, plain = (_, value) => (ArrayBuffer.isView(value) ? [...value] : value);
      import(URL.createObjectURL(new Blob([text], {{ type: "text/javascript" }})))
        .then((science) => {{ {body} }})
        .then((value) => ({{ value }}), (error) => ({{ error: `${{error}}` }}))
        .then((answer) => done(JSON.stringify(answer, plain)));
    """
    answer = json.loads(browser.execute_async_script(script, module, given))
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


def check_losses(network: Evaluate) -> None:
    """Losses and gradients equal the companion's reference values; the attractors' equal the companion's own."""
    body = """return given.map(({ x, y, tau, w, b, a, c }) => Object.keys(science.LOSSES).map((name) => {
      const net = new science.Network(x, y, { w, b, a, c }), value = net.differentiate({ [name]: 1 }, tau);
      return [name, value, { ...net.slope, c: net.gradient.at(-1) }];
    }));"""
    stream, cases = np.random.default_rng(2), list(CASES)
    for size in (2, 9, 30):
        # Some prototypes far away, two of them equal, and two equal samples: transport's order has ties.
        drawn = {name: stream.normal(size=size).tolist() for name in "yba"} | {"c": 0.3, "tau": 0.05}
        drawn |= {"x": stream.uniform(size=size).tolist(), "w": stream.uniform(0.05, 2, size).tolist()}
        drawn["x"][1], drawn["w"][1], drawn["b"][1] = drawn["x"][0], drawn["w"][0], drawn["b"][0]
        cases.append(drawn)
    for case, found in zip(cases, network(body, cases), strict=True):
        assert [name for name, *_ in found] == ["fit", "overlap", "coverage", "chamfer", "transport", "separation"]
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
    loss = {
        "fit": lambda: fit_loss(predict(x, *p), y),
        "overlap": lambda: overlap_loss(activations(x, p.w, p.b)),
        "coverage": lambda: coverage_loss(x, prototypes(p.w, p.b), case["tau"]),
        "chamfer": lambda: chamfer_loss(x, prototypes(p.w, p.b), case["tau"]),
        "transport": lambda: transport_loss(x, prototypes(p.w, p.b)),
        "separation": lambda: separation_loss(prototypes(p.w, p.b), case["tau"]),
    }[name]()
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
    """Two hundred steps under each mask and attractor end where the companion's plain trainer ends."""
    body = """const { x, y, p, settings, runs } = given;
    return runs.map(([mask, attractor, balance]) => {
      const trainer = new science.Trainer(x, y, p, mask, ...settings, attractor, balance);
      trainer.train(200);
      return { ...trainer.parameters, steps: trainer.steps };
    });"""
    for size, strength, temperature in ((10, 0.7, 1e-2), (30, 1.0, 1e-4)):
        given, expected = trained(size, strength, temperature)
        for end, wanted in zip(network(body, given), expected, strict=True):
            assert end["steps"] == 200
            for name, value in wanted.items():
                close(end[name], value, 1e-6)


OTHERS = (Attractor.CHAMFER, Attractor.TRANSPORT)
RUNS = [(mask, Attractor.COVERAGE, 1.0) for mask in MASKS] + [
    (mask, attractor, balance) for mask in ("010", "111") for attractor in OTHERS for balance in (1.0, 7.5)
]
"""Mask, attractor and balance of the trainings that are compared."""


@functools.cache
def trained(size: int, strength: float, temperature: float) -> tuple[dict, list[dict]]:
    """A task with its initial weights, and the weights that 200 steps of the companion's plain trainer end at."""
    (x, y), start = sample_task(size, 1000), initial_parameters(size, 1000)
    given = {"x": x.tolist(), "y": y.tolist(), "settings": [strength, temperature], "runs": RUNS}
    given["p"] = {name: value.tolist() for name, value in start._asdict().items()}
    settings = Settings(strength=strength, temperature=temperature, steps=200)
    runs = [
        train(x, y, start, settings.but(mask=mask, attractor=attractor, balance=balance)).parameters
        for mask, attractor, balance in RUNS
    ]
    return given, [parameters._asdict() for parameters in runs]


def check_random(random: Evaluate) -> None:
    """Inputs and initial weights are the companion's, bit for bit."""
    cases = [[size, seed] for size in range(2, 101) for seed in (0, 1, 1000, 2**32 - 1)]
    body = "return given.map((drawn) => [science.sampleInputs(...drawn), science.initialParameters(...drawn)]);"
    for (size, seed), (x, parameters) in zip(cases, random(body, cases), strict=True):
        assert x == sample_task(size, seed)[0].tolist(), (size, seed)
        for name, value in initial_parameters(size, seed)._asdict().items():
            assert parameters[name] == value.tolist(), (name, size, seed)


CHECKS = {
    check_losses: (
        NETWORK,
        {
            "the square's factor lost in the fit": ("(factor * 2 * error)", "(factor * error)"),
            "the pair's factor lost in overlap": ("r = (2 * factor) / count;", "r = factor / count;"),
            "a neuron overlapping itself": (
                "value += (h[row + j] * (sum - h[row + j]))",
                "value += (h[row + j] * sum)",
            ),
            "coverage repelling": ("{ net.pull[j] -= g; }),\n  chamfer", "{ net.pull[j] += g; }),\n  chamfer"),
            "coverage summed, not averaged": ("* Math.log(total)) / count", "* Math.log(total))"),
            "the mirror image repelling": ("(j, i, g) => { net.pull[j] += g; }", "(j, i, g) => { net.pull[j] -= g; }"),
            "prototypes matched in no order": ("positions[j] - positions[k] || j - k", "j - k"),
            "ties broken the other way": (
                "positions[j] - positions[k] || j - k",
                "positions[j] - positions[k] || k - j",
            ),
            "transport summed, not averaged": ("(2 * factor * d) / samples", "2 * factor * d"),
            "a pair's second half lost in separation": ("(4 * factor)", "(2 * factor)"),
            "the temperature lost in separation": ("(count * temperature)", "count"),
            "a prototype moved the wrong way by w": ("slope.w[j] -= (pull[j]", "slope.w[j] += (pull[j]"),
            "the input lost in dh/dw": ("slope.w[j] += d * x[i]", "slope.w[j] += d"),
            "the temperature lost in coverage's shares": (
                "(points[i] - candidates[k]) ** 2) / temperature)",
                "(points[i] - candidates[k]) ** 2))",
            ),
        },
    ),
    check_metrics: (
        NETWORK,
        {
            "prices of neurons left out of the matching": ("- row[i] - column[j]", "- row[i]"),
            "the last of tied neurons counted": ("row.indexOf", "row.lastIndexOf"),
            "prototypes expelled to the left only": (" || at > Math.max(...x)", ""),
            "distances along the input only": ("Math.hypot(xi - at, y[i] - values[j])", "Math.abs(xi - at)"),
        },
    ),
    check_training: (
        NETWORK,
        {
            "ε under the root": ("Math.sqrt(square[k]) / root + EPSILON", "Math.sqrt(square[k] + EPSILON) / root"),
            "ε before the correction": (
                "Math.sqrt(square[k]) / root + EPSILON",
                "(Math.sqrt(square[k]) + EPSILON) / root",
            ),
            "no correction of the mean": ("LEARNING_RATE / (1 - BETAS[0] ** this.steps)", "LEARNING_RATE"),
            "no correction of the square": ("Math.sqrt(1 - BETAS[1] ** this.steps)", "1"),
            "another decay": ("BETAS = [0.9, 0.999]", "BETAS = [0.9, 0.99]"),
            "bits read from the other end": ('mask[bit] === "1"', 'mask[2 - bit] === "1"'),
            "strength left out": ("? strength : 0", "? 1 : 0"),
            "balance left out": ("balance * coverage", "coverage"),
            "attractor left out": ("[attractor]: balance", "coverage: balance"),
        },
    ),
    check_random: (
        RANDOM,
        {
            "one random bit lost": (">> 11n) * 2 ** -53", ">> 12n) * 2 ** -52"),
            "N^-½ rounded twice": (
                "const [w, b, a] = [10, 1, bound]",
                "const [w, b, a] = [10, 1, 1 / Math.sqrt(size)]",
            ),
            "weights before their order": ("[w, b, a] = [10, 1, bound]", "[b, w, a] = [1, 10, bound]"),
            "another stream": ("randomStream(size, seed, 0)", "randomStream(size, seed, 1)"),
        },
    ),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_page_s_science_is_the_companion_s(tab, check):
    check(functools.partial(evaluate, tab, CHECKS[check][0]))


@pytest.mark.parametrize(
    ("check", "variant"),
    [(check, variant) for check, (_, variants) in CHECKS.items() for variant in variants],
    ids=lambda given: given if isinstance(given, str) else given.__name__,
)
def test_a_check_fails_for_a_false_variant(tab, check, variant):
    text, variants = CHECKS[check]
    right, wrong = variants[variant]
    assert text.count(right) == 1, "a variant that changes nothing, or more than it says"
    with pytest.raises(AssertionError):
        check(functools.partial(evaluate, tab, text.replace(right, wrong)))


def test_the_values_of_every_target_are_the_companion_s_to_the_last_bit_of_a_sine(tab):
    body = "return Object.entries(science.TARGETS).map(([name, target]) => [name, given.map(target)]);"
    found = dict(evaluate(tab, NETWORK, body, sample_task(100, 1000)[0].tolist()))
    assert list(found) == list(TARGETS)
    for name, values in found.items():
        np.testing.assert_allclose(values, sample_task(100, 1000, name)[1], rtol=0, atol=2**-52)


def test_a_matching_is_one_to_one_and_the_companion_s(tab):
    x, y, p, v = np.random.default_rng(1).normal(size=(4, 40))
    cost = np.hypot(x[:, None] - p, y[:, None] - v)
    assert evaluate(tab, NETWORK, "return science.match(given);", cost.tolist()) == match(x, y, p, v).neuron.tolist()


def test_training_stops_where_a_number_is_not_finite(tab):
    body = """const p = { w: [1, 0], b: [0.5, 0.5], a: [1, 1], c: 0 }, trainer = new science.Trainer([0, 1], [0, 1], p);
      return [trainer.train(3), trainer.steps, science.reconstructionError([0, 1], [0, 1], [0, Infinity], [0, 1])];"""
    assert evaluate(tab, NETWORK, body) == [False, 0, None], "JSON writes NaN as null"


def test_the_scripts_are_small():
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in SCRIPTS.glob("*.js")) < 500


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
        for name in ("attractor", "n", "lambda", "kappa", "tau", "target", "seed", "speed")
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
    "mask": "110", "attractor": "coverage", "n": "30", "lambda": "1", "kappa": "1", "tau": "0.0001", "target": "sine",
    "seed": "1000", "speed": "5",
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
    hidden = "return [...document.querySelectorAll('main img, .playground-still')].map((part) => part.offsetParent)"
    assert browser.execute_script(hidden) == [None, None], "the live page stands in the picture's place"


def test_play_pauses_where_the_book_s_runs_end_and_goes_on(browser, address):
    opened(browser, address, "#mask=000&n=5")
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
    "separation at high temperature": {"mask": "001", "tau": "1"},
    "transport finds the points": {"mask": "010", "attractor": "transport"},
    "transport holds": {"mask": "110", "attractor": "transport", "kappa": "10"},
}


@functools.cache
def preset_end(preset: str) -> tuple[float, float, float]:
    """Expelled fraction at the start and at the end, and E at the end, of a preset's run by the companion."""
    (x, y), start = sample_task(30, 1000), initial_parameters(30, 1000)
    asked = DEFAULTS | PRESETS[preset]
    numbers = {"temperature": float(asked["tau"]), "balance": float(asked["kappa"])}
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
    opened(browser, address, "#n=7&seed=3")
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
    wanted = {"n": "12", "lambda": "2.5", "tau": "0.003", "seed": "7", "speed": "20"}
    for name, text in wanted.items():
        enter(browser, name, text)
    for name in ("coverage", "separation"):
        click(browser, name)
    assert controls(browser) == in_address(browser) == DEFAULTS | wanted | {"mask": "101"}
    link = browser.execute_script("return location.hash")
    opened(browser, address, link)
    assert controls(browser) == DEFAULTS | wanted | {"mask": "101"}
    assert status(browser).startswith("At step 0: mask 101 Ovl+Sep, N = 12")
    browser.execute_script("location.hash = 'mask=011&n=4'")
    wait(browser, 'document.querySelector("#playground [name=n]").value === "4"')
    assert controls(browser) == DEFAULTS | {"mask": "011", "n": "4"}
    browser.execute_script("location.hash = 'sec-presets'")
    assert controls(browser) == DEFAULTS | {"mask": "011", "n": "4"}, "a place of the page is no setting"


BAD = {
    "#n=1000": ("n", "whole numbers from 2 to 100", {"n": "100"}),
    "#n=1": ("n", "from 2 to 100", {"n": "2"}),
    "#n=-5": ("n", "from 2 to 100", {"n": "2"}),
    "#n=2.5": ("n", "whole numbers", {}),
    "#n=abc": ("n", "whole numbers", {}),
    "#n=": ("n", "whole numbers", {}),
    "#n=NaN": ("n", "whole numbers", {}),
    "#n=0x10": ("n", "whole numbers", {}),
    "#lambda=-1": ("lambda", "from 0 to 1000", {"lambda": "0"}),
    "#lambda=Infinity": ("lambda", "from 0 to 1000", {}),
    "#lambda=1e999": ("lambda", "from 0 to 1000", {}),
    "#kappa=-1": ("kappa", "from 0 to 1000", {"kappa": "0"}),
    "#attractor=magnet": ("attractor", "coverage, chamfer, transport", {}),
    "#tau=0": ("tau", "from 0.000001 to 10", {"tau": "0.000001"}),
    "#tau=1e9": ("tau", "to 10", {"tau": "10"}),
    "#seed=1e300": ("seed", "to 4294967295", {"seed": "4294967295"}),
    "#seed=-1": ("seed", "from 0", {"seed": "0"}),
    "#speed=0": ("speed", "from 1 to 100", {"speed": "1"}),
    "#mask=112": ("mask", "000, 001, 010", {}),
    "#mask=toString": ("mask", "111", {}),
    "#target=cosine": ("target", "sine, line, step, chirp", {}),
    "#colour=red": ("colour", "mask, attractor, n, lambda, kappa, tau, target, seed, speed", {}),
    "#__proto__=1": ("__proto__", "mask, attractor, n", {}),
    "#garbage": ("garbage", "mask, attractor", {}),
    "#%E0%A4%A": ("no setting", "mask, attractor", {}),
    "#mask=100&n=9&n=x&tau=": ("n", "tau", {"mask": "100", "n": "9"}),
    "#n=<img src=x onerror=alert(1)>": ("n", "whole numbers", {}),
    "#n=" + "9" * 5000: ("n", "from 2 to 100", {}),
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


@pytest.mark.parametrize(
    ("name", "text", "kept"), [("n", "500", "100"), ("n", "1", "2"), ("tau", "e", "0.0001"), ("lambda", "-3", "0")]
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
    enter(browser, "tau", "0.5")
    assert number(browser, "step") == 1 and "τ = 0.5" in status(browser)
    enter(browser, "seed", "1001")
    assert number(browser, "step") == 0
    click(browser, "step")
    Select(browser.find_element("css selector", "#playground [name=target]")).select_by_visible_text("step")
    assert number(browser, "step") == 0 and in_address(browser)["target"] == "step"
    assert ", step, seed 1001" in status(browser)
    module = json.dumps(f"{address}assets/playground/page.js")
    script = f"const done = arguments[0]; import({module}).then((page) => done([...page.trainer.y]))"
    assert browser.execute_async_script(script) == sample_task(30, 1001, "step")[1].tolist()


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
    names = "return [...document.querySelectorAll('#playground :is(button, input, select)')].map((control) => "
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
    assert len(reached) == count == 6 + 3 + 1 + 6 + 3 + 1 + 4 and {
        "play",
        "reset",
        "copy",
        "n",
        "tau",
        "target",
    } <= set(reached)
    assert controls(browser)["mask"] == "111" and number(browser, "step") == 1
    slider = browser.find_element("css selector", "#playground [data-of=tau]")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert controls(browser)["tau"] == in_address(browser)["tau"] == "0.00013"
    # The browser's own names for assistive technology.
    for control in browser.find_elements("css selector", "#playground :is(button, input, select, canvas)"):
        assert control.accessible_name.strip(), control.get_attribute("outerHTML")


@pytest.mark.parametrize("width", [400, 1280, 2000])
def test_the_page_fits_the_screen_while_it_trains(browser, address, width):
    opened(browser, address, "#n=100&mask=111&speed=2", width)
    browser.get_log("performance")
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
        opened(browser, address, "#n=5&speed=20")
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
