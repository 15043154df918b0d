// The playground's page: the chapter's HTML holds its controls; here is what they do.
import { drawHistory, drawNetwork } from "./draw.js";
import { expelledFraction, reconstructionError, specializationRatio } from "./metrics.js";
import * as science from "./network.js";
import { INITIALISATIONS, INPUTS, initialParameters, labels } from "./random.js";

// What each setting is at first, under the names of companion.core.settings.Settings, but for the size, the seed and the speed.
const { mask: _, attractor, strength, balance, temperature, ...others } = science.NOMINAL;
const READINGS = { inputs: "random", initialisation: "uniform-10", ...others, matched: "false" };
export const DEFAULTS = { mask: "110", attractor, size: 30, strength, balance, temperature, target: "sine", seed: 1000, speed: 5,
  ...READINGS };
const OLDER = { n: "size", lambda: "strength", kappa: "balance", tau: "temperature" }; // names that older links have
// A change of these starts again: other data, other weights, another network, another way to train it.
const AT_THE_START = ["size", "seed", "target", "inputs", "initialisation", "activation", "optimiser", "step_size"];
const STEP_SIZES = { adam: READINGS.step_size, momentum: 1 }; // the first that each is given on the page
const SELECTS = { attractor: science.ATTRACTORS, target: [...Object.keys(science.TARGETS), "labels"], inputs: Object.keys(INPUTS),
  initialisation: Object.keys(INITIALISATIONS), activation: Object.keys(science.EXPONENTS),
  ...Object.fromEntries(Object.entries(science.FORMS).map(([name, levels]) => [name, Object.keys(levels)])),
  reduction: ["mean", "sum"], matched: ["false", "true"], optimiser: Object.keys(STEP_SIZES) };
const WORDS = { false: "as it is", true: "gradient-matched", adam: "Adam" }; // of choices whose names are no words
const CHOICES = { mask: Object.keys(science.MASK_NAMES).sort(), ...SELECTS };
const root = document.getElementById("playground"), find = (selector) => root.querySelector(selector);
const field = (name) => find(`[name=${name}]`), reduced = matchMedia("(prefers-reduced-motion: reduce)");
export let settings = { ...DEFAULTS }, trainer;
let playing = false, drawn = 0, history = [], apart = 1; // `apart`: steps between two kept points of the history

const short = (value) => String(Number.isInteger(value) ? value : Number.isFinite(value) ? Number(value.toPrecision(3)) : "–");
const say = (words) => { find("[role=status]").textContent = words; };
const named = ({ mask, attractor } = settings) =>
  `${mask} ${science.MASK_NAMES[mask]}${mask[1] === "1" && attractor !== "coverage" ? ` with ${attractor} for coverage` : ""}`;
// The readings that are chosen, none of them nominal; and one in the words of its field.
const chosen = () => Object.keys(READINGS).filter((name) => settings[name] !== READINGS[name]);
const reading = (name) => `${field(name).labels[0].firstChild.textContent.trim()}: ${WORDS[settings[name]] ?? settings[name]}`;
const describe = ({ mask, size, strength, balance, temperature, target, seed } = settings) => [`mask ${named()}`, `N = ${size}`,
  `λ = ${strength}`, ...(mask[1] === "1" ? [`κ = ${balance}`] : []), `τ = ${temperature}`, target, `seed ${seed}`,
  ...chosen().map(reading)].join(", ");
const forTraining = () => ({ ...settings, matched: settings.matched === "true" });

// The value that a text gives a setting (`kept` if none), and words where that is not what was asked for.
function read(name, text, kept) {
  const { min, max, step } = field(name) ?? {}, plain = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const number = plain.test(text) ? Number(text) : NaN;
  const fits = Number.isFinite(number) && (step === "any" || Number.isInteger(number));
  const nearest = fits ? Math.min(Math.max(number, min), max) : kept;
  const value = name in CHOICES ? CHOICES[name].find((choice) => choice === text) ?? kept : nearest;
  if (value === text || value === number) return [value];
  const allowed = CHOICES[name]?.join(", ") ?? `${step === "any" ? "" : "whole "}numbers from ${min} to ${max}`;
  const given = text ? `"${text.slice(0, 40)}"` : "nothing readable";
  return [value, `${name}: ${given} was given; allowed are ${allowed}; ${value} is used.`];
}

// Take the address' settings, with words on what was wrong with them; it may name a place of the page instead.
function followAddress() {
  const hash = location.hash.slice(1), next = { ...DEFAULTS }, words = [];
  if (!hash || (!hash.includes("=") && document.getElementById(hash))) return;
  for (const [given, text] of new URLSearchParams(hash)) {
    const name = Object.hasOwn(OLDER, given) ? OLDER[given] : given;
    const known = Object.hasOwn(DEFAULTS, name), [value, ...complaint] = known ? read(name, text, next[name]) : [];
    if (known) next[name] = value;
    else words.push(`"${name.slice(0, 40)}" is no setting; allowed are ${Object.keys(DEFAULTS).join(", ")}.`);
    words.push(...complaint);
  }
  use(next, words);
  find("details").open ||= chosen().length > 0;
}
// Readings that are nominal are left out: the first look at a link should tell what is special about it.
function writeAddress() {
  const told = Object.entries(settings).filter(([name, value]) => READINGS[name] !== value);
  window.history.replaceState(null, "", `#${new URLSearchParams(told)}`);
}

// Take settings, into the address too if they are new: some start again, all else acts from here on.
function use(next, words = [], fresh = AT_THE_START.some((name) => next[name] !== settings[name])) {
  const changed = next !== settings;
  settings = next;
  if (changed) writeAddress();
  if (fresh) reset();
  trainer.set(forTraining());
  say(words.join(" ") || `${trainer.steps ? `From step ${trainer.steps} on` : "At step 0"}: ${describe()}.`);
  science.SWITCHES.forEach((name, bit) => { field(name).checked = settings.mask[bit] === "1"; });
  find(".pg-mask").textContent = named();
  find(".pg-others").textContent = chosen().length ? `(${chosen().length} chosen)` : "";
  for (const { name } of root.querySelectorAll("[type=number], select")) field(name).value = settings[name];
  for (const slider of root.querySelectorAll("[type=range]")) {
    const value = settings[slider.dataset.of];
    Object.assign(slider, { value: Math.log10(value), ariaValueText: value });
  }
}

function reset() {
  const { size, seed, target, inputs, initialisation } = settings, x = INPUTS[inputs](size, seed);
  const y = target === "labels" ? labels(size, seed) : x.map(science.TARGETS[target]);
  trainer = new science.Trainer(x, y, initialParameters(size, seed, initialisation), forTraining());
  [history, apart] = [[], 1];
  pause("");
}

// Train by some steps, not across their number that is set; return words where there is a reason to stop.
function advance(count) {
  const left = settings.steps - trainer.steps, { tried } = trainer;
  const finite = trainer.train(left > 0 ? Math.min(count, left) : count);
  if (!finite) return `Stopped at step ${trainer.steps}: a parameter or a prototype -b/w is no finite number. Reset starts again.`;
  if (trainer.tried > tried) {
    [history, apart] = [[], 1];
    say(`The step size was too large. From step 0 again, with ${short(trainer.rate)}: ${describe()}.`);
  }
  if (trainer.steps !== settings.steps) return "";
  return `Paused at step ${settings.steps}, where ${settings.steps === READINGS.steps ? "the book's runs end" : "this run ends"}. Play goes on.`;
}

function frame(now) {
  if (!playing) return;
  const words = advance(settings.speed);
  if (words) return pause(words);
  if (!reduced.matches || now - drawn > 400) show(now); // a few pictures a second where motion is unwelcome
  requestAnimationFrame(frame);
}

function play() {
  playing = true;
  field("play").textContent = "Pause";
  say(`Training: ${describe()}.`);
  requestAnimationFrame(frame);
}

function pause(words) {
  playing = false;
  field("play").textContent = "Play";
  say(words);
  const { error, special, expelled, beyond } = show();
  find(".pg-network").ariaLabel = `The network at step ${trainer.steps}, ${describe()}. Prototypes beyond the picture: ` +
    `${beyond[0]} left, ${beyond[1]} right. Share of prototypes outside the samples: ${short(expelled)}.`;
  find(".pg-history").ariaLabel = `From step 0 to ${trainer.steps}; there the reconstruction error E is ${short(error)}, ` +
    `the specialization ratio ${short(special)}, the expelled fraction ${short(expelled)}.`;
}

function measure() {
  const { x, y, inNominalActivation: p, steps } = trainer;
  const positions = science.prototypes(p.w, p.b), heights = science.predict(positions, p);
  const fit = science.predict(x, p).reduce((sum, f, i) => sum + (f - y[i]) ** 2, 0) / x.length;
  const error = reconstructionError(x, y, positions, heights), expelled = expelledFraction(x, positions);
  const special = specializationRatio(science.activations(x, p.w, p.b));
  return { step: steps, positions, heights, fit, error, special, expelled };
}

// Draw the present; its colours are the stylesheet's, read from the legends, so that the pictures follow the theme.
function show(now = performance.now()) {
  const state = measure(), inks = { ink: getComputedStyle(root).color };
  for (const part of root.querySelectorAll("[data-ink]")) inks[part.dataset.ink] = getComputedStyle(part).color;
  if (!history.length || state.step - history.at(-1).step >= apart) history.push(state);
  if (history.length > 1000) [history, apart] = [history.filter((_, k) => k % 2 === 0), 2 * apart];
  drawHistory(find(".pg-history"), [...history, state], Math.max(settings.steps, state.step), inks);
  for (const cell of root.querySelectorAll("[data-number]")) cell.textContent = short(state[cell.dataset.number]);
  drawn = now;
  return { ...state, beyond: drawNetwork(find(".pg-network"), trainer, state, inks) };
}

function start(presets) {
  root.hidden = false;
  for (const name in SELECTS) field(name).append(...SELECTS[name].map((choice) => new Option(WORDS[choice] ?? choice, choice)));
  for (const preset of presets) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: preset.name });
    button.onclick = () => use({ ...DEFAULTS, ...preset.settings }, [`${preset.sentence} Play shows it.`], true);
    find(".pg-presets").append(button);
  }
  use(settings, [], true);
  followAddress();
  addEventListener("hashchange", followAddress);
  field("play").onclick = () => (playing ? pause(`Paused at step ${trainer.steps}.`) : play());
  field("step").onclick = () => pause(advance(1));
  field("reset").onclick = () => use(settings, [], true);
  field("copy").onclick = () => {
    writeAddress();
    (navigator.clipboard?.writeText(location.href) ?? Promise.reject()).then(() => say("The link is copied."),
      () => say("The browser does not let this page copy; the address bar holds the link."));
  };
  root.addEventListener("input", ({ target: { dataset, value } }) => { // a slider fills its field while it moves
    if (dataset.of) field(dataset.of).value = Number((10 ** value).toPrecision(2));
  });
  root.addEventListener("change", ({ target: { dataset, type, name: own } }) => {
    const mask = science.SWITCHES.map((loss) => Number(field(loss).checked)).join("");
    const name = type === "checkbox" ? "mask" : dataset.of ?? own, text = name === "mask" ? mask : field(name).value;
    const [value, ...words] = read(name, text, settings[name]);
    use({ ...settings, ...(name === "optimiser" ? { step_size: STEP_SIZES[value] } : {}), [name]: value }, words);
  });
  const redraw = () => show(), themes = new MutationObserver(redraw);
  for (const part of [document.documentElement, document.body]) themes.observe(part, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(root);
  // What stands between the section's heading and the page is for print, and for readers without JavaScript.
  for (let part = root; (part = part.previousElementSibling) && part.tagName !== "H2"; ) part.hidden = true;
}
start(JSON.parse(document.getElementById("playground-presets")?.textContent ?? "[]"));
