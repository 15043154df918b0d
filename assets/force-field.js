// Makes the picture in #fig-field live: the force of each loss on one neuron, as a function of where its prototype stands.
// <script type="application/json" id="force-field"> holds the data x and y, a network (w, b, a, c), the neuron that is
// moved, and the interval (from, to) that it is moved through. The forces are those of companion.studies.forces.force_field.
import { Network } from "./playground/network.js";

export const LOSSES = ["fit", "coverage", "separation", "overlap"];
const GRID = 401;

// The force -∂L/∂x̂ = w ∂L/∂b of each loss, the structural ones times λ, and their sum, for each position of the prototype.
export function forces(data, { positions, width, temperature, strength }) {
  const { x, y, neuron } = data, [w, b] = [[...data.w], [...data.b]];
  const found = Object.fromEntries([...LOSSES, "sum"].map((name) => [name, []]));
  w[neuron] = width;
  for (const position of positions) {
    b[neuron] = -width * position;
    const network = new Network(x, y, { w, b, a: data.a, c: data.c });
    let sum = 0;
    for (const name of LOSSES) {
      network.differentiate({ [name]: 1 }, temperature);
      const force = (name === "fit" ? 1 : strength) * width * network.slope.b[neuron];
      found[name].push(force);
      sum += force;
    }
    found.sum.push(sum);
  }
  return found;
}

const others = ({ w, b, neuron }) => w.map((wk, k) => -b[k] / wk).filter((_, k) => k !== neuron);

// Where the forces are taken: an even grid, and close to the other prototypes, where separation is narrower than it.
export function places(data, temperature) {
  const { from, to } = data, reach = Math.sqrt(temperature);
  const even = Array.from({ length: GRID }, (_, k) => from + ((to - from) * k) / (GRID - 1));
  const near = others(data).flatMap((at) => [-3, -2, -1.5, -1, -0.71, -0.4, 0, 0.4, 0.71, 1, 1.5, 2, 3].map((k) => at + k * reach));
  return [...even, ...near.filter((at) => at > from && at < to)].sort((one, two) => one - two);
}

// Forces differ by orders of magnitude, and in sign: the axis is linear up to LINEAR and logarithmic beyond.
const LINEAR = 1e-2;
export const bend = (force) => Math.asinh(force / LINEAR);

const SLIDERS = {
  temperature: { label: "log₁₀ τ", min: -5, max: 0, step: 0.1, value: -4, read: (at) => 10 ** at },
  strength: { label: "log₁₀ λ", min: -2, max: 2, step: 0.1, value: 0, read: (at) => 10 ** at },
  width: { label: "its w", min: 1, max: 20, step: 0.5, value: 5, read: (at) => at },
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
  const positions = places(data, settings.temperature), found = forces(data, { ...settings, positions });
  const largest = Math.max(...Object.values(found).flat().map(Math.abs));
  const power = Math.max(0, Math.ceil(Math.log10(largest))), top = bend(10 ** power);
  const { from: low, to: high } = data;
  const across = (x) => (100 * (x - low)) / (high - low), down = (force) => 50 - (48 * bend(force)) / top;
  svg.replaceChildren();
  const stride = Math.ceil((power + 2) / 3), marks = [0];
  for (let k = power; k > -3; k -= stride) marks.push(10 ** k, -(10 ** k));
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
  const curves = shape(svg, "svg", { width: "100%", height: "100%", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  for (const [name, values] of Object.entries(found)) {
    const points = values.map((force, k) => `${across(positions[k]).toFixed(3)},${down(force).toFixed(3)}`);
    shape(curves, "path", { class: `force ${name}`, d: `M${points.join("L")}` });
  }
  for (const x of others(data)) {
    const place = shape(svg, "svg", { x: `${across(x)}%`, y: "50%", overflow: "visible" });
    shape(place, "path", { class: "other", d: "M0-6L5 0L0 6L-5 0Z" });
  }
}

export function enhance(script) {
  const picture = document.getElementById("fig-field")?.querySelector("img, svg");
  if (!picture) throw new Error("no picture in #fig-field");
  const data = JSON.parse(script.textContent);
  const svg = shape(null, "svg", { class: "field-plot", role: "img" });
  const said = element("output", { "aria-live": "polite" });
  const inputs = {}, controls = element("div", { class: "field-controls" });
  for (const [name, { label, read, ...range }] of Object.entries(SLIDERS)) {
    if (name === "width") range.value = data.w[data.neuron];
    inputs[name] = element("input", { type: "range", name, ...range });
    controls.append(element("label", {}, element("span", {}, label), inputs[name]));
  }
  const legend = element("p", { class: "field-legend" });
  for (const name of [...LOSSES, "sum"]) {
    const key = shape(null, "svg", { width: 28, height: 8, "aria-hidden": "true" });
    shape(key, "line", { class: `force ${name}`, x1: 0, x2: 28, y1: 4, y2: 4 });
    legend.append(element("span", {}, key, { fit: " fit", sum: " sum of the four" }[name] ?? ` λ · ${name}`));
  }
  const show = () => {
    const settings = Object.fromEntries(Object.keys(SLIDERS).map((name) => [name, SLIDERS[name].read(Number(inputs[name].value))]));
    draw(svg, data, settings);
    const { temperature, strength, width } = settings;
    said.textContent = `τ = ${short(temperature)}, λ = ${short(strength)}, w = ${width}: its bump falls to 1/e at a distance of ${short(1 / width)}`;
    inputs.temperature.setAttribute("aria-valuetext", `τ = ${short(temperature)}`);
    inputs.strength.setAttribute("aria-valuetext", `λ = ${short(strength)}`);
    svg.setAttribute("aria-label", `Force on one prototype against its position, a curve for each loss and for their sum; ${said.textContent}`);
  };
  controls.oninput = show;
  const title = element("p", { class: "field-title" }, "force on the moved neuron (positive: to the right) against its prototype");
  const marks = element("p", { class: "live-note" }, "Blue ticks: samples. Orange diamonds: the other prototypes. The axis is linear up to about ±0.01 and logarithmic beyond.");
  show();
  picture.replaceWith(element("div", { class: "live-panel field", role: "group", "aria-label": "Force field" }, controls, said, title, svg, legend, marks));
}

const script = document.getElementById("force-field");
if (script) enhance(script);
