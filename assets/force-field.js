// Makes the picture of the force field live. <script type="application/json" id="force-field-data" data-for="..."> names
// the figure (fig-field if it names none) and holds x, prototypes, w, test (the interval of positions) and grid (their
// number): the force of each structural loss on the last prototype, as a function of where it stands.
import { gradients } from "./playground/network.js";

export const TERMS = ["coverage", "separation", "overlap"];

// λ times the force on the last of `prototypes`, -∂L/∂x̂ = w ∂L/∂b at fixed w, for each position and term, and their sum.
export function forces({ x, prototypes, positions, w, temperature, strength }) {
  const width = prototypes.map(() => w), none = prototypes.map(() => 0);
  const found = Object.fromEntries([...TERMS, "sum"].map((name) => [name, []]));
  for (const position of positions) {
    const b = [...prototypes.slice(0, -1), position].map((at) => -w * at);
    const slopes = gradients(x, x.map(() => 0), { w: width, b, a: none, c: 0 }, temperature);
    const terms = TERMS.map((name) => strength * w * slopes[name].b.at(-1));
    TERMS.forEach((name, k) => found[name].push(terms[k]));
    found.sum.push(terms.reduce((sum, force) => sum + force, 0));
  }
  return found;
}

// Where the forces are taken: an even grid, and close to every other prototype, where separation is narrower than it.
export function places({ prototypes, test, grid }, temperature) {
  const [low, high] = test, reach = Math.sqrt(temperature);
  const even = Array.from({ length: grid }, (_, k) => low + ((high - low) * k) / (grid - 1));
  const near = prototypes.slice(0, -1).flatMap((at) => [-3, -2, -1.5, -1, -0.71, -0.4, 0, 0.4, 0.71, 1, 1.5, 2, 3].map((k) => at + k * reach));
  return [...even, ...near.filter((at) => at > low && at < high)].sort((a, b) => a - b);
}

// Forces differ by orders of magnitude, and in sign: the axis is linear up to LINEAR and logarithmic beyond.
const LINEAR = 1e-3;
export const bend = (force) => Math.asinh(force / LINEAR);

const SLIDERS = {
  temperature: { label: "log₁₀ τ", min: -5, max: 0, step: 0.1, value: -4, read: (at) => 10 ** at },
  strength: { label: "log₁₀ λ", min: -2, max: 2, step: 0.1, value: 0, read: (at) => 10 ** at },
  w: { label: "w", min: 1, max: 20, step: 0.5, value: 5, read: (at) => at },
};
const short = (value) => String(Number(value.toPrecision(2))).replace("e-", " × 10^−").replace("-", "−");

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shape(parent, tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

function draw(svg, data, settings) {
  const positions = places(data, settings.temperature), found = forces({ ...data, ...settings, positions });
  const largest = Math.max(...Object.values(found).flat().map(Math.abs));
  const power = Math.max(-1, Math.ceil(Math.log10(largest || 1))), top = bend(10 ** power);
  const [low, high] = data.test;
  const across = (x) => (100 * (x - low)) / (high - low), down = (force) => 50 - (48 * bend(force)) / top;
  svg.replaceChildren();
  const stride = Math.ceil((power + 4) / 4), marks = [0];
  for (let k = power; k > -4; k -= stride) marks.push(10 ** k, -(10 ** k));
  for (const mark of marks) {
    const y = `${down(mark)}%`;
    shape(svg, "line", { class: mark === 0 ? "zero" : "grid", x1: 0, x2: "100%", y1: y, y2: y });
    const text = mark === 0 ? "0" : `${mark < 0 ? "−" : "+"}${short(Math.abs(mark))}`;
    shape(svg, "text", { x: -6, y, "text-anchor": "end", "dominant-baseline": "middle" }, text);
  }
  for (let x = Math.ceil(2 * low) / 2; x <= high; x += 0.5) {
    shape(svg, "text", { x: `${across(x)}%`, y: "100%", dy: 16, "text-anchor": "middle" }, String(x).replace("-", "−"));
  }
  for (const x of data.x) shape(svg, "line", { class: "sample", x1: `${across(x)}%`, x2: `${across(x)}%`, y1: "95%", y2: "100%" });
  for (const x of data.prototypes.slice(0, -1)) shape(svg, "circle", { class: "other", cx: `${across(x)}%`, cy: "50%", r: 3.5 });
  const curves = shape(svg, "svg", { width: "100%", height: "100%", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  for (const [name, values] of Object.entries(found)) {
    const points = values.map((force, k) => `${across(positions[k]).toFixed(3)},${down(force).toFixed(3)}`);
    shape(curves, "path", { class: `force ${name}`, d: `M${points.join("L")}` });
  }
}

export function enhance(script) {
  const picture = document.getElementById(script.dataset.for ?? "fig-field")?.querySelector("img, svg");
  if (!picture) throw new Error("no picture to replace by the live force field");
  const data = JSON.parse(script.textContent);
  const svg = shape(null, "svg", { class: "field-plot", role: "img" });
  const said = element("output", { "aria-live": "polite" });
  const inputs = {}, controls = element("div", { class: "field-controls" });
  for (const [name, { label, read, ...range }] of Object.entries(SLIDERS)) {
    if (name === "w" && data.w) range.value = data.w;
    inputs[name] = element("input", { type: "range", name, ...range });
    controls.append(element("label", {}, element("span", {}, label), inputs[name]));
  }
  const legend = element("p", { class: "field-legend" });
  for (const name of [...TERMS, "sum"]) {
    const key = shape(null, "svg", { width: 28, height: 8, "aria-hidden": "true" });
    shape(key, "line", { class: `force ${name}`, x1: 0, x2: 28, y1: 4, y2: 4 });
    legend.append(element("span", {}, key, name === "sum" ? " λ · (their sum)" : ` λ · ${name}`));
  }
  const show = () => {
    const settings = Object.fromEntries(Object.keys(SLIDERS).map((name) => [name, SLIDERS[name].read(Number(inputs[name].value))]));
    draw(svg, data, settings);
    const { temperature, strength, w } = settings;
    said.textContent = `τ = ${short(temperature)}, λ = ${short(strength)}, w = ${w}: bumps of half-width 1/w = ${short(1 / w)}`;
    inputs.temperature.setAttribute("aria-valuetext", `τ = ${short(temperature)}`);
    inputs.strength.setAttribute("aria-valuetext", `λ = ${short(strength)}`);
    svg.setAttribute("aria-label", `Force on one prototype against its position, a curve for each structural loss and for their sum; ${said.textContent}`);
  };
  controls.oninput = show;
  const title = element("p", { class: "field-title" }, "force on the free prototype (positive: to the right) against its position");
  const marks = element("p", { class: "live-note" }, "Blue ticks: samples. Grey dots: the other prototypes. The axis is linear up to ±0.001 and logarithmic beyond.");
  show();
  picture.replaceWith(element("div", { class: "live-panel field", role: "group", "aria-label": "Force field" }, controls, said, title, svg, legend, marks));
}

const script = document.getElementById("force-field-data");
if (script) enhance(script);
