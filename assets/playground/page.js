// The playground's page: the chapter's HTML holds its controls; here is what they do.
import { drawHistory, drawNetwork } from "./draw.js";
import * as science from "./network.js";
import { initialParameters, sampleInputs } from "./random.js";

const END = 2000; // where the book's runs end
export const DEFAULTS = { mask: "110", attractor: "coverage", n: 30, lambda: 1, kappa: 1, tau: 0.0001, target: "sine",
  seed: 1000, speed: 5 };
const SELECTS = { attractor: science.ATTRACTORS, target: Object.keys(science.TARGETS) };
const CHOICES = { mask: Object.keys(science.MASK_NAMES).sort(), ...SELECTS };
const root = document.getElementById("playground"), find = (selector) => root.querySelector(selector);
const field = (name) => find(`[name=${name}]`), reduced = matchMedia("(prefers-reduced-motion: reduce)");
export let settings = { ...DEFAULTS }, trainer;
let playing = false, drawn = 0, history = [], apart = 1; // `apart`: steps between two kept points of the history

const short = (value) => String(Number.isInteger(value) ? value : Number.isFinite(value) ? Number(value.toPrecision(3)) : "–");
const say = (words) => { find("[role=status]").textContent = words; };
const named = ({ mask, attractor } = settings) =>
  `${mask} ${science.MASK_NAMES[mask]}${mask[1] === "1" && attractor !== "coverage" ? ` with ${attractor} for coverage` : ""}`;
const describe = ({ mask, n, lambda, kappa, tau, target, seed } = settings) =>
  `mask ${named()}, N = ${n}, λ = ${lambda}${mask[1] === "1" ? `, κ = ${kappa}` : ""}, τ = ${tau}, ${target}, seed ${seed}`;
// What the trainer takes beside the data and the weights.
const forTraining = ({ mask, lambda, tau, attractor, kappa } = settings) => [mask, lambda, tau, attractor, kappa];

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
  for (const [name, text] of new URLSearchParams(hash)) {
    const known = Object.hasOwn(DEFAULTS, name), [value, ...complaint] = known ? read(name, text, next[name]) : [];
    if (known) next[name] = value;
    else words.push(`"${name.slice(0, 40)}" is no setting; allowed are ${Object.keys(DEFAULTS).join(", ")}.`);
    words.push(...complaint);
  }
  use(next, words);
}
const writeAddress = () => window.history.replaceState(null, "", `#${new URLSearchParams(settings)}`);

// Take settings, into the address too if they are new: other data or weights start again, all else acts from here on.
function use(next, words = [], fresh = ["n", "seed", "target"].some((name) => next[name] !== settings[name])) {
  const changed = next !== settings;
  settings = next;
  if (changed) writeAddress();
  if (fresh) reset();
  trainer.set(...forTraining());
  say(words.join(" ") || `${trainer.steps ? `From step ${trainer.steps} on` : "At step 0"}: ${describe()}.`);
  science.SWITCHES.forEach((name, bit) => { field(name).checked = settings.mask[bit] === "1"; });
  find(".pg-mask").textContent = named();
  for (const { name } of root.querySelectorAll("[type=number], select")) field(name).value = settings[name];
  for (const slider of root.querySelectorAll("[type=range]")) {
    const value = settings[slider.dataset.of];
    Object.assign(slider, { value: Math.log10(value), ariaValueText: value });
  }
}

function reset() {
  const { n, seed, target } = settings, x = sampleInputs(n, seed);
  trainer = new science.Trainer(x, x.map(science.TARGETS[target]), initialParameters(n, seed), ...forTraining());
  [history, apart] = [[], 1];
  pause("");
}

// Train by some steps, not across the end of the book's runs; return words where there is a reason to stop.
function advance(count) {
  const left = END - trainer.steps, finite = trainer.train(left > 0 ? Math.min(count, left) : count);
  if (!finite) return `Stopped at step ${trainer.steps}: a parameter or a prototype -b/w is no finite number. Reset starts again.`;
  return trainer.steps === END ? `Paused at step ${END}, where the book's runs end. Play goes on.` : "";
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
  const { x, y, parameters: p, steps } = trainer;
  const positions = science.prototypes(p.w, p.b), heights = science.predict(positions, p);
  const fit = science.predict(x, p).reduce((sum, f, i) => sum + (f - y[i]) ** 2, 0) / x.length;
  const error = science.reconstructionError(x, y, positions, heights), expelled = science.expelledFraction(x, positions);
  const special = science.specializationRatio(science.activations(x, p.w, p.b));
  return { step: steps, positions, heights, fit, error, special, expelled };
}

// Draw the present; its colours are the stylesheet's, read from the legends, so that the pictures follow the theme.
function show(now = performance.now()) {
  const state = measure(), inks = { ink: getComputedStyle(root).color };
  for (const part of root.querySelectorAll("[data-ink]")) inks[part.dataset.ink] = getComputedStyle(part).color;
  if (!history.length || state.step - history.at(-1).step >= apart) history.push(state);
  if (history.length > 1000) [history, apart] = [history.filter((_, k) => k % 2 === 0), 2 * apart];
  drawHistory(find(".pg-history"), [...history, state], Math.max(END, state.step), inks);
  for (const cell of root.querySelectorAll("[data-number]")) cell.textContent = short(state[cell.dataset.number]);
  drawn = now;
  return { ...state, beyond: drawNetwork(find(".pg-network"), trainer, state, inks) };
}

function start(presets) {
  root.hidden = false;
  for (const name in SELECTS) field(name).append(...SELECTS[name].map((choice) => new Option(choice)));
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
    use({ ...settings, [name]: value }, words);
  });
  const redraw = () => show(), themes = new MutationObserver(redraw);
  for (const part of [document.documentElement, document.body]) themes.observe(part, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(root);
  // What stands between the section's heading and the page is for print, and for readers without JavaScript.
  for (let part = root; (part = part.previousElementSibling) && part.tagName !== "H2"; ) part.hidden = true;
}
start(JSON.parse(document.getElementById("playground-presets")?.textContent ?? "[]"));
