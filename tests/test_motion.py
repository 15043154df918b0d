"""Prototypes in motion: the stored paths, their picture, the page that moves them, and the live force field."""

from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, open_page, rows, wait

from companion.core.data import sample_task
from companion.core.losses import coverage_loss, fit_loss, overlap_loss, separation_loss
from companion.core.metrics import expelled_fraction
from companion.core.network import activations, initial_parameters, predict, prototypes
from companion.core.settings import MASK_LABELS, MASKS, Settings
from companion.core.train import train
from companion.show import charts
from companion.studies import motion
from companion.sweeps.runs import WINDOW

PAGE, FIELD = "chapters/23-motion.html", "chapters/19-forces.html"
SEED, STEPS = 1000, 2000


@pytest.fixture(scope="module")
def moves() -> pd.DataFrame:
    return pd.read_parquet(ROOT / "data/trajectories.parquet")


def path(moves: pd.DataFrame, mask: str, size: int) -> np.ndarray:
    """Positions of a run, shape (kept steps, neurons)."""
    return moves.query("mask == @mask and size == @size")["position"].to_numpy().reshape(-1, size)


# --- the stored paths ---


def test_the_stored_paths_are_complete_and_small(moves):
    kept = motion.kept_steps(STEPS)
    design = [
        (mask, size, step, neuron) for size in motion.SIZES for mask in MASKS for step in kept for neuron in range(size)
    ]
    assert list(moves[["mask", "size", "step", "neuron"]].itertuples(index=False, name=None)) == design
    assert moves["position"].notna().all() and moves["position"].dtype == np.float64
    settings = {"seed": SEED, "strength": 1.0, "temperature": 1e-4, "steps": STEPS, "learning_rate": 0.01}
    assert settings.items() <= moves.attrs.items() and moves.attrs["versions"]["torch"].startswith("2.13.0")
    page = len(json.dumps(motion.page_data(moves), separators=(",", ":")))
    assert (ROOT / "data/trajectories.parquet").stat().st_size + page < 2_000_000


def test_kept_steps_are_dense_where_training_moves_fast():
    kept = motion.kept_steps(STEPS)
    assert kept[:5] == [0, 1, 2, 3, 5] and kept[-1] == STEPS and len(kept) == 100
    assert (np.diff(kept, 2) >= -1).all() and sum(step <= STEPS / 4 for step in kept) == 50
    assert motion.kept_steps(3) == [0, 1, 2, 3]
    for wrong in (0, 2.5, True):
        with pytest.raises(ValueError, match="steps"):
            motion.kept_steps(wrong)


def test_a_path_begins_at_the_initial_prototypes(moves):
    for size in motion.SIZES:
        initial = initial_parameters(size, SEED)
        for mask in MASKS:
            np.testing.assert_allclose(path(moves, mask, size)[0], prototypes(initial.w, initial.b), rtol=1e-12)


def test_a_path_of_up_to_twenty_ends_where_the_replication_s_run_ends(moves, replication):
    ends = replication[replication["seed"] == SEED].set_index(["mask", "size"])
    for mask in MASKS:
        for size in (5, 20):
            run = ends.loc[mask, size]
            np.testing.assert_allclose(path(moves, mask, size)[-1], -run["b"] / run["w"], rtol=1e-6, atol=1e-9)


def check_early(moves: pd.DataFrame) -> None:
    """Paths at N = 5 and 20 follow the plain trainer's through the first hundred steps."""
    early = [step for step in motion.kept_steps(STEPS) if step <= 100]
    for size in (5, 20):
        (x, y), initial = sample_task(size, SEED), initial_parameters(size, SEED)
        for mask in ("000", "010", "100", "111"):
            at = train(x, y, initial, Settings(mask, steps=100), early).recorded
            again = prototypes(at.w, at.b)
            np.testing.assert_allclose(path(moves, mask, size)[: len(early)], again, rtol=1e-6, atol=1e-8)


@pytest.mark.long
def test_early_steps_are_those_of_the_plain_trainer(moves):
    check_early(moves)


FALSE_PATHS = {
    "mirrored": lambda table: table.assign(position=-table["position"]),
    "masks swapped": lambda table: table.assign(mask=table["mask"].replace({"000": "100", "100": "000"})),
    "a step late": lambda table: table.assign(position=table.groupby(["mask", "size", "neuron"])["position"].shift(-1)),
    "single precision": lambda table: table.assign(position=table["position"] * (1 + 1e-5)),
}


@pytest.mark.parametrize("name", FALSE_PATHS)
def test_early_steps_fail_for_a_false_variant(moves, name):
    with pytest.raises(AssertionError):
        check_early(FALSE_PATHS[name](moves))


def test_trained_again_the_largest_runs_have_the_same_statistics(moves):
    """Rounding may send a prototype of N = 100 elsewhere on another machine: early steps are close, late ones alike."""
    again = motion.trajectories(sizes=[100], masks=["000", "111"], seed=SEED)
    counts = motion.outside(again).set_index(["mask", "step"])["outside"]
    stored = motion.outside(moves).query("size == 100").set_index(["mask", "step"])["outside"]
    for mask in ("000", "111"):
        then, now = path(moves, mask, 100), path(again, mask, 100)
        np.testing.assert_allclose(now[:10], then[:10], rtol=1e-6, atol=1e-8)
        assert (counts[mask] - stored[mask]).abs().max() <= 10
        assert abs(np.median(now[-1]) - np.median(then[-1])) < 0.1


def test_paths_of_a_reader_s_own_are_checked():
    with pytest.raises(ValueError, match="mask"):
        motion.trajectories(sizes=[5], masks=["222"], steps=10)
    small = motion.trajectories(sizes=[5], masks=["010"], seed=7, steps=10)
    assert len(small) == 5 * 11 and small.attrs["seed"] == 7


# --- what is counted ---


def test_outside_counts_what_the_metric_calls_expelled(moves):
    counts = motion.outside(moves).set_index(["mask", "size", "step"])["outside"]
    for mask, size, step in (("000", 5, 0), ("100", 100, STEPS), ("011", 20, 500)):
        at = path(moves, mask, size)[motion.kept_steps(STEPS).index(step)]
        assert counts[mask, size, step] == round(size * expelled_fraction(sample_task(size, SEED)[0], at))


@pytest.mark.parametrize(
    ("counts", "half"),
    [([4, 5, 6, 8], 2), ([4, 4, 5, 5], 2), ([4, 9, 3, 6], 1), ([4, 5, 4, 4], None), ([4, 3, 2, 1], None)],
)
def test_half_of_the_net_expulsions(counts, half):
    frame = pd.DataFrame({"mask": "100", "size": 20, "step": [0, 1, 2, 3], "outside": counts})
    found = motion.expulsions(frame).iloc[0]
    assert (found["start"], found["end"], found["net"]) == (counts[0], counts[-1], counts[-1] - counts[0])
    assert np.isnan(found["half"]) if half is None else found["half"] == half


def test_net_expulsions_and_halves_in_words():
    found = pd.DataFrame(
        {"mask": ["000", "111"] * 2, "size": [5, 5, 20, 20], "net": [0, -2, 3, 7], "half": [np.nan, np.nan, 16, 720]}
    )
    table = motion.expulsion_table(found)
    assert list(table) == ["net, N = 5", "net, N = 20", "half by, N = 5", "half by, N = 20"]
    assert table.loc["000 Std"].tolist() == ["0", "+3", "–", "16"]
    assert table.loc["111 Full"].tolist() == ["-2", "+7", "–", "720"]


def test_ends_of_made_up_paths():
    x = np.sort(sample_task(5, 7)[0].numpy())
    start, end = np.array([-1, x[1], x[2], 3, 4]), np.array([x[2] - 0.009, x[2] + 0.009, x[4] + 1, x[4] + 1.25, 9])
    paths = {"mask": "010", "size": 5, "step": np.repeat([0, 10], 5), "neuron": np.tile(range(5), 2)}
    moves = pd.DataFrame(paths | {"position": np.concatenate([start, end])})
    moves.attrs = {"seed": 7, "temperature": 1e-4}
    outside_before, outside_after, left, at, gap, move = motion.ends(moves, 5).loc["010 Cov"]
    assert (outside_before, outside_after) == (3, 3) and left == 1
    assert at == (np.abs(x - end[:2, None]).min(0) < 0.01).sum() == 1, "of samples, not of prototypes"
    assert gap == pytest.approx(0.018) and move == pytest.approx(np.median(np.abs(end - start)))


@pytest.mark.long
def test_counts_over_seeds_are_sums(moves):
    one, other, both = (motion.outside_over(seeds) for seeds in ((SEED,), (SEED + 1,), (SEED, SEED + 1)))
    assert (both["outside"] == one["outside"] + other["outside"]).all()
    at_start = motion.outside(moves).merge(one, on=["mask", "size", "step"]).query("step <= 100")
    assert (at_start["outside_x"] == at_start["outside_y"]).all() and len(at_start) > 100


def test_runs_have_the_settings_of_their_paths(moves):
    runs = motion.runs_of(moves)
    assert runs[["mask", "size"]].to_numpy().tolist() == [[mask, size] for size in motion.SIZES for mask in MASKS]
    assert set(runs["seed"]) == {SEED} and set(runs["steps"]) == {STEPS} and "versions" in runs.attrs


def test_positions_on_the_page_keep_the_side_of_those_beyond():
    low, high = WINDOW
    at = np.array([-np.inf, low - 1e-9, low, (low + high) / 2, high, high + 1e-9, np.inf])
    assert motion.window_units(at).tolist() == [-1, -1, 0, 500, 1000, 1001, 1001]


def test_the_page_holds_every_position_to_a_thousandth_of_the_window(moves):
    data = motion.page_data(moves)
    assert data["steps"] == motion.kept_steps(STEPS) and list(data["sizes"]) == ["5", "20", "100"]
    for size, found in data["sizes"].items():
        assert [run["mask"] for run in found["runs"]] == list(MASKS) and len(found["samples"]) == int(size)
        for run in found["runs"]:
            at, drawn = path(moves, run["mask"], int(size)), np.array(run["drawn"])
            inside = (at >= WINDOW[0]) & (at <= WINDOW[1])
            assert np.abs(WINDOW[0] + drawn / 1000 * 4 - at)[inside].max() <= 0.002 + 1e-9
            assert ((drawn == -1) == (at < WINDOW[0])).all() and ((drawn == 1001) == (at > WINDOW[1])).all()


# --- the picture ---


@pytest.mark.long
def test_the_picture_shows_the_stored_paths_of_every_mask(moves):
    x, _ = sample_task(20, SEED)
    chart = charts.motion(x, moves[moves["size"] == 20])
    drawn = [row for row in rows(chart) if "neuron" in row]
    panels = [json.dumps(panel["title"]) for panel in chart.to_dict()["concat"]]
    assert all(label in text for label, text in zip(MASK_LABELS.values(), panels, strict=True))
    kept = sorted({row["step"] for row in drawn})
    assert kept[0] == 0 and kept[-1] == STEPS and len(drawn) == len(MASKS) * 20 * len(kept)
    shown = {(row["step"], row["neuron"], row["position"]) for row in drawn}
    for mask in MASKS:
        for step in (kept[0], kept[len(kept) // 2], STEPS):
            at = path(moves, mask, 20)[motion.kept_steps(STEPS).index(step)]
            for neuron, position in enumerate(at):
                inside = WINDOW[0] <= position <= WINDOW[1]
                assert (step, neuron, float(f"{position:.6g}") if inside else None) in shown
        beyond = (path(moves, mask, 20)[-1] < WINDOW[0]).sum()
        assert f"beyond: {beyond} below" in panels[list(MASKS).index(mask)]


@pytest.mark.long
def test_fewer_steps_are_drawn_where_asked_for(moves):
    x, _ = sample_task(5, SEED)
    drawn = {row["step"] for row in rows(charts.motion(x, moves[moves["size"] == 5], every=4)) if "neuron" in row}
    kept = motion.kept_steps(STEPS)
    assert drawn == {0, *kept[::-4]}


# --- the page ---

SLIDER = 'document.querySelector(".motion input[type=range]")'
SAID = 'document.querySelector(".motion output").textContent'
BUTTON = 'document.querySelector(".motion button").textContent'


@pytest.fixture
def page(browser, address):
    """The chapter's page in the browser, with nothing in its log afterwards."""
    open_page(browser, address, PAGE)
    wait(browser, 'document.querySelectorAll(".motion-panel").length === 8')
    yield browser
    prefer(browser, "")
    assert browser.get_log("browser") == []


def prefer(browser, motion: str) -> None:
    """Set what the system says of motion: "reduce", or "" for nothing."""
    feature = {"name": "prefers-reduced-motion", "value": motion}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def choose(browser, size: int) -> None:
    browser.find_element("css selector", f'.motion input[value="{size}"]').click()


def go(browser, frame: int) -> None:
    browser.execute_script(f'const s = {SLIDER}; s.value = {frame}; s.dispatchEvent(new Event("input"))')


def panel(browser, mask: str) -> dict:
    """What a panel shows: where its dots stand (percent, or None if hidden) and its texts."""
    script = """
      const panel = document.querySelector(`.motion-panel[data-mask="${arguments[0]}"]`);
      const dots = [...panel.querySelectorAll(".dot")].sort((a, b) => a.dataset.neuron - b.dataset.neuron);
      return { dots: dots.map((dot) => (dot.style.display === "none" ? null : parseFloat(dot.getAttribute("cx")))),
               count: panel.querySelector(".motion-count").textContent,
               left: panel.querySelector(".motion-left").textContent,
               right: panel.querySelector(".motion-right").textContent }"""
    return browser.execute_script(script, mask)


def test_the_slider_moves_the_dots_to_the_stored_positions(page, moves):
    kept, counts = motion.kept_steps(STEPS), motion.outside(moves).set_index(["mask", "size", "step"])["outside"]
    for size in (20, 5, 100):
        choose(page, size)
        for frame in (0, 40, 99):
            go(page, frame)
            assert page.execute_script(f"return {SAID}") == f"step {kept[frame]} of {STEPS}"
            for mask in ("000", "011", "100"):
                shown, at = panel(page, mask), path(moves, mask, size)[frame]
                inside = (at >= WINDOW[0]) & (at <= WINDOW[1])
                assert [dot is not None for dot in shown["dots"]] == inside.tolist()
                drawn = np.array([dot for dot in shown["dots"] if dot is not None])
                np.testing.assert_allclose(WINDOW[0] + drawn / 100 * 4, at[inside], atol=0.0021)
                out = counts[mask, size, kept[frame]]
                assert shown["count"] == f"{out}/{size} outside ({out / size:.2f})"
                assert shown["left"] == f"◀ {(at < WINDOW[0]).sum()} beyond the left edge"
                assert shown["right"].startswith(f"{(at > WINDOW[1]).sum()} ▶")


def test_masks_stand_in_their_order(page):
    script = 'return [...document.querySelectorAll(".motion-panel")].map((panel) => panel.dataset.mask)'
    assert page.execute_script(script) == list(MASKS)


def test_play_advances_pauses_and_ends(page):
    button = page.find_element("css selector", ".motion button")
    time.sleep(0.4)
    assert page.execute_script(f"return {SLIDER}.value") == "0", "it began by itself"
    button.click()
    assert page.execute_script(f"return {BUTTON}") == "Pause"
    wait(page, f"Number({SLIDER}.value) >= 3")
    button.click()
    stopped = page.execute_script(f"return {SLIDER}.value")
    time.sleep(0.4)
    assert page.execute_script(f"return [{SLIDER}.value, {BUTTON}]") == [stopped, "Play"]
    go(page, 97)
    button.click()
    wait(page, f'{SLIDER}.value === "99" && {BUTTON} === "Play"')
    button.click()  # from the end it begins anew
    wait(page, f"Number({SLIDER}.value) < 50")
    go(page, 50)  # a hand on the slider ends it
    time.sleep(0.4)
    assert page.execute_script(f"return [{SLIDER}.value, {BUTTON}]") == ["50", "Play"]


def test_with_reduced_motion_play_shows_a_few_stills(page, address):
    prefer(page, "reduce")
    open_page(page, address, PAGE)
    note = 'document.querySelector(".motion .live-note").textContent'
    assert "less motion" in wait(page, f"document.querySelector('.motion') && {note}")
    time.sleep(0.4)
    assert page.execute_script(f"return [{SLIDER}.value, {BUTTON}]") == ["0", "Play"]
    page.find_element("css selector", ".motion button").click()
    assert wait(page, f"{SLIDER}.value !== '0' && {SLIDER}.value") == "10"
    page.find_element("css selector", ".motion button").click()
    prefer(page, "")
    wait(page, f"!{note}.includes('less motion')")


def test_arrow_keys_move_the_slider_and_say_the_step(page):
    from selenium.webdriver import Keys

    slider = page.find_element("css selector", ".motion input[type=range]")
    assert slider.get_attribute("aria-valuetext") == f"step 0 of {STEPS}" and slider.accessible_name == "Training step"
    slider.send_keys(Keys.ARROW_RIGHT * 4)
    assert slider.get_attribute("aria-valuetext") == page.execute_script(f"return {SAID}") == f"step 5 of {STEPS}"
    slider.send_keys(Keys.ARROW_LEFT, Keys.END)
    assert slider.get_attribute("aria-valuetext") == f"step {STEPS} of {STEPS}"
    radio = page.find_element("css selector", '.motion input[value="20"]')
    radio.send_keys(Keys.ARROW_RIGHT)
    assert len(panel(page, "000")["dots"]) == 100


@pytest.mark.parametrize(("width", "columns"), [(260, 1), (400, 2), (1280, 4)])
def test_panels_reflow_without_overflow(page, address, width, columns):
    open_page(page, address, PAGE, width)
    wait(page, 'document.querySelectorAll(".motion-panel").length === 8')
    grid = 'getComputedStyle(document.querySelector(".motion-panels")).gridTemplateColumns.split(" ").length'
    assert page.execute_script(f"return {grid}") == columns
    sides = "[document.querySelector('.motion').scrollWidth, document.querySelector('.motion').clientWidth]"
    inner, outer = page.execute_script(f"return {sides}")
    assert inner <= outer and (width < 400 or page.execute_script("return document.body.scrollWidth") <= width)


@pytest.mark.parametrize("name", [PAGE, FIELD])
def test_without_javascript_the_picture_stands(browser, address, name):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address + name)
        figure = {PAGE: "#fig-motion", FIELD: "#fig-field"}[name]
        root = browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
        found = [
            browser.execute_cdp_cmd("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
            for selector in (f'{figure} img[src$=".svg"]', ".live-panel")
        ]
        assert found[0] > 0 and found[1] == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# --- the force field ---

Forces = Callable[[dict, dict], dict[str, list[float]]]
SETTINGS = [
    {"width": 5.0, "temperature": 1e-4, "strength": 1.0},
    {"width": 12.5, "temperature": 1e-2, "strength": 10.0},
    {"width": 1.0, "temperature": 0.3, "strength": 0.05},
]
NETWORK = {
    "x": [0.1, 0.3, 0.5, 0.7, 0.9],
    "y": [0.8, 0.97, 0.5, 0.02, 0.2],
    "w": [5.0, -4.0, 6.0, 5.0, 7.0],
    "b": [-0.5, 1.2, -3.1, -3.5, -6.3],
    "a": [0.4, 0.8, -0.3, -0.6, 0.2],
    "c": 0.5,
    "neuron": 3,
    "from": -0.5,
    "to": 1.5,
}
POSITIONS = [-0.4, 0.101, 0.25, 0.52, 0.75, 0.9, 1.3]


def true_forces(data: dict, settings: dict) -> dict[str, list[float]]:
    """The forces on the moved neuron by automatic differentiation of the companion's losses."""
    x, y, w, b, a, c = (torch.tensor(data[name], dtype=torch.float64) for name in ("x", "y", "w", "b", "a", "c"))
    neuron, temperature, strength = data["neuron"], settings["temperature"], settings["strength"]
    w[neuron] = settings["width"]
    found: dict[str, list[float]] = {name: [] for name in ("fit", "coverage", "separation", "overlap")}
    for position in settings["positions"]:
        at = (-b / w).index_fill(0, torch.tensor(neuron), position).requires_grad_()
        losses = {
            "fit": fit_loss(predict(x, w, -w * at, a, c), y),
            "coverage": strength * coverage_loss(x, at, temperature),
            "separation": strength * separation_loss(at, temperature),
            "overlap": strength * overlap_loss(activations(x, w, -w * at)),
        }
        for name, loss in losses.items():
            found[name].append(-torch.autograd.grad(loss, at)[0][neuron].item())
    found["sum"] = np.sum(list(found.values()), axis=0).tolist()
    return found


def check_forces(forces: Forces) -> None:
    """Forces equal automatic differentiation's at three settings."""
    for settings in SETTINGS:
        given = settings | {"positions": POSITIONS}
        found, expected = forces(NETWORK, given), true_forces(NETWORK, given)
        assert set(found) == set(expected)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-15)


def test_the_live_field_s_curves_are_the_forces(browser, address):
    open_page(browser, address, "index.html")

    def forces(data: dict, settings: dict) -> dict[str, list[float]]:
        script = """
          const [data, settings, done] = arguments;
          import("./assets/force-field.js").then((module) => done(module.forces(data, settings)), done);
        """
        return browser.execute_async_script(script, data, settings)

    check_forces(forces)
    assert browser.get_log("browser") == []


FALSE_FORCES: dict[str, Forces] = {
    "turned": lambda data, s: {name: [-f for f in force] for name, force in true_forces(data, s).items()},
    "strength lost": lambda data, s: true_forces(data, s | {"strength": 1.0}),
    "width of another": lambda data, s: true_forces(data, s | {"width": 5.0}),
    "temperature squared": lambda data, s: true_forces(data, s | {"temperature": s["temperature"] ** 2}),
    "fit left out of the sum": lambda data, s: (
        (found := true_forces(data, s)) | {"sum": np.subtract(found["sum"], found["fit"]).tolist()}
    ),
    "the first neuron moved": lambda data, s: true_forces(data | {"neuron": 0}, s),
}


@pytest.mark.parametrize("name", FALSE_FORCES)
def test_the_field_s_check_fails_for_a_false_variant(name):
    with pytest.raises(AssertionError):
        check_forces(FALSE_FORCES[name])


def test_the_field_s_sliders_redraw_its_curves(browser, address):
    from selenium.webdriver import Keys

    open_page(browser, address, FIELD, width=400)
    curves = '[...document.querySelectorAll(".field-plot path.force")].map((path) => path.getAttribute("d"))'
    before = wait(browser, f"document.querySelector('.field-plot') && {curves}")
    assert len(before) == 5 and all(line.startswith("M") and "NaN" not in line for line in before)
    said = 'document.querySelector(".field output").textContent'
    assert browser.execute_script(f"return {said}").startswith("τ = 0.0001, λ = 1, w = 5")
    browser.find_element("css selector", ".field input[name=temperature]").send_keys(Keys.END)
    browser.find_element("css selector", ".field input[name=strength]").send_keys(Keys.HOME)
    browser.find_element("css selector", ".field input[name=width]").send_keys(Keys.END)
    assert browser.execute_script(f"return {said}").startswith("τ = 1, λ = 0.01, w = 20")
    after = browser.execute_script(f"return {curves}")
    assert all(one != other and "NaN" not in other for one, other in zip(before, after, strict=True))
    live = browser.find_element("css selector", ".field output")
    assert live.get_attribute("aria-live") == "polite"
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    assert browser.get_log("browser") == []


def test_the_command_that_makes_the_paths_is_part_of_replicate():
    assert re.search(
        r"for study in .*\bmotion\b.*companion\.studies\.\$\$study", (ROOT / "Makefile").read_text(encoding="utf-8")
    )
    assert re.search(r"write_runs\(trajectories\(\), \"data/trajectories.parquet\"\)", inspect.getsource(motion))
