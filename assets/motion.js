// Sets the picture in #fig-motion in motion. <script type="application/json" id="motion"> holds what
// companion.studies.motion.page_data returns; the picture stays where JavaScript is off.
(() => {
  const script = document.getElementById("motion");
  if (!script) return;
  const data = JSON.parse(script.textContent);
  const picture = document.getElementById("fig-motion")?.querySelector("img, svg");
  if (!picture) throw new Error("no picture in #fig-motion");
  const UNITS = 1000, BEYOND = UNITS + 1, TRAIL = 6; // thousandths of the window, the sign for right of it, frames
  const last = data.steps.length - 1;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  // Milliseconds between two pictures, and steps of the slider from one to the next.
  const pace = () => (calm.matches ? { wait: 1500, jump: Math.ceil(last / 10) } : { wait: 90, jump: 1 });

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const shape = (parent, tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent?.append(made);
    return made;
  };
  const percent = (units) => `${(units * 100) / UNITS}%`;
  const units = (x) => ((x - data.window[0]) / (data.window[1] - data.window[0])) * UNITS;

  // --- the controls ---
  const sizes = Object.keys(data.sizes).sort((a, b) => a - b);
  let size = sizes.includes("20") ? "20" : sizes[0], timer = null;
  const choice = element("fieldset", {}, element("legend", {}, "Points and neurons N"));
  for (const value of sizes) {
    const radio = element("input", { type: "radio", name: "motion-size", value });
    radio.checked = value === size;
    radio.onchange = () => { size = value; build(); };
    choice.append(element("label", {}, radio, ` ${value}`), " ");
  }
  const play = element("button", { type: "button" }, "Play");
  const slider = element("input", { type: "range", min: 0, max: last, step: 1, value: 0, "aria-label": "Training step" });
  const said = element("output", { "aria-live": "off" }); // the slider speaks for itself
  const note = element("p", { class: "live-note" });
  const panels = element("div", { class: "motion-panels" });
  const live = element(
    "div", { class: "live-panel motion", role: "group", "aria-label": "Prototypes of the eight masks through training" },
    element("div", { class: "live-controls" }, choice, play, slider, said), note, panels,
  );

  // --- the panels of one size; show() sets their marks to the slider's step ---
  let show;
  const build = () => {
    const { samples, runs } = data.sizes[size];
    const [low, high] = [Math.min(...samples), Math.max(...samples)];
    panels.replaceChildren();
    const radius = Math.min(5, Math.max(1.8, 16 / Math.sqrt(size)));
    const drawn = runs.map((run) => {
      const label = `Prototypes of mask ${run.label} on the input axis, with the ${size} samples`;
      const svg = shape(null, "svg", { role: "img", "aria-label": label });
      shape(svg, "rect", { class: "range", x: percent(low), width: percent(high - low), y: 0, height: "100%" });
      for (const x of samples) shape(svg, "line", { class: "sample", x1: percent(x), x2: percent(x), y1: "93%", y2: "100%" });
      // A row for each prototype, in the order in which they start: so an eye can follow one.
      const order = run.drawn[0].map((_, neuron) => neuron).sort((a, b) => run.drawn[0][a] - run.drawn[0][b]);
      const marks = [];
      order.forEach((neuron, rank) => {
        const y = `${4 + (86 * (rank + 0.5)) / order.length}%`;
        const trail = shape(svg, "line", { class: "trail", y1: y, y2: y });
        marks[neuron] = { trail, dot: shape(svg, "circle", { class: "dot", cy: y, r: radius, "data-neuron": neuron }) };
      });
      const axis = shape(null, "svg", { class: "axis", "aria-hidden": "true" });
      for (const x of [-1, 0, 1, 2]) {
        shape(axis, "text", { x: percent(units(x)), y: 13, "text-anchor": "middle" }).textContent = String(x).replace("-", "−");
      }
      const count = element("p", { class: "motion-count" });
      const [left, right] = ["left", "right"].map((side) => element("span", { class: `motion-${side}` }));
      panels.append(element(
        "div", { class: "motion-panel", "data-mask": run.mask }, element("p", { class: "motion-title" }, run.label), count, svg,
        axis, element("p", { class: "motion-edges" }, left, right),
      ));
      return { run, marks, count, left, right };
    });

    const trailStart = (run, frame, neuron) => { // where its trail begins: not across a flight through infinity
      let at = run.drawn[frame][neuron];
      for (let back = frame - 1; back >= Math.max(0, frame - TRAIL); back -= 1) {
        const before = run.drawn[back][neuron];
        if (Math.abs(before - at) > UNITS / 2) break;
        at = before;
      }
      return Math.min(UNITS, Math.max(0, at));
    };
    const edge = (span, arrow, number, side) => {
      const hidden = element("span", { class: "visually-hidden-live" }, ` beyond the ${side} edge`);
      span.replaceChildren(side === "left" ? `${arrow} ${number}` : `${number} ${arrow}`, hidden);
    };
    show = () => {
      const frame = Number(slider.value), step = data.steps[frame];
      for (const { run, marks, count, left, right } of drawn) {
        const now = run.drawn[frame];
        now.forEach((at, neuron) => {
          const { trail, dot } = marks[neuron], inside = at >= 0 && at < BEYOND;
          const end = Math.min(UNITS, Math.max(0, at));
          dot.setAttribute("cx", percent(end));
          dot.style.display = inside ? "" : "none";
          dot.classList.toggle("outside", at < low || at > high);
          trail.setAttribute("x1", percent(trailStart(run, frame, neuron)));
          trail.setAttribute("x2", percent(end));
        });
        const outside = run.outside[frame];
        count.textContent = `${outside}/${size} outside (${(outside / size).toFixed(2)})`;
        edge(left, "◀", now.filter((at) => at < 0).length, "left");
        edge(right, "▶", now.filter((at) => at >= BEYOND).length, "right");
      }
      const words = `step ${step} of ${data.steps[last]}`;
      said.textContent = words;
      slider.setAttribute("aria-valuetext", words);
    };
    show();
  };

  // --- playing: never by itself ---
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
  };
  const advance = () => {
    if (Number(slider.value) >= last) return stop();
    slider.value = Math.min(last, Number(slider.value) + pace().jump);
    show();
    timer = setTimeout(advance, pace().wait);
  };
  play.onclick = () => {
    if (timer !== null) return stop();
    if (Number(slider.value) >= last) slider.value = 0;
    play.textContent = "Pause";
    show();
    timer = setTimeout(advance, pace().wait);
  };
  slider.oninput = () => { stop(); show(); };
  const explain = () => {
    note.textContent = calm.matches
      ? "Your system asks for less motion: Play shows ten stills, one after another, and moves nothing between them."
      : "Play runs through training, early steps slowest; the slider and its arrow keys stop anywhere.";
  };
  calm.addEventListener("change", explain);

  explain();
  build();
  picture.replaceWith(live);
})();
