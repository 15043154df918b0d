// The explorer of the multiverse: from the universes that have the chosen levels, the claims' shares, figure 1 and the
// nearest to the paper. Its data are in the page, laid out as companion.studies.explorer.explorer_data says.
(() => {
  const root = document.getElementById("explorer"), holder = document.getElementById("explorer-data");
  if (!root || !holder) return;
  const data = JSON.parse(holder.textContent), ANY = -1, NEAREST = 5;
  const PLAYGROUND = "24-playground.html"; // its address takes settings after the "#"
  const Z = 1.959963984540054; // the normal distribution's quantile at 0.975
  // Hundredths of log10 E at which figure 1's axis may begin, end and have a line: 1, 2 and 5 of each power of ten.
  const TICKS = Array.from({ length: 25 }, (_, k) => 100 * Math.floor(k / 3) - 400 + [0, 30, 70][k % 3]);
  const SHAPES = ["M-4 0a4 4 0 0 1 8 0a4 4 0 0 1-8 0Z", "M0-5 4.5 4-4.5 4Z", "M-4-4H4V4H-4Z", "M0-6 5 0 0 6-5 0Z",
    "M-5-2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z", "M0 5-4.5-4 4.5-4Z", "M5 0-4 4.5-4-4.5Z", "M-5 0 4-4.5 4 4.5Z"];

  // An axis is what can be chosen: `codes` holds each universe's level, `start` the choice before there is any.
  const digits = (text) => Array.from(text, (digit) => parseInt(digit, 36));
  const sampleOf = data.samples.flatMap(({ count }, k) => Array(count).fill(k)), many = data.samples.length > 1;
  const samples = data.samples.map(({ name }) => name);
  const sample = { name: "sample", levels: samples, codes: sampleOf, start: many ? 0 : ANY };
  const fit = { name: "fits", levels: ["no", "yes"], codes: digits(data.fits), start: ANY };
  const chosen = data.axes.map((axis) => ({ ...axis, codes: digits(axis.codes), start: ANY }));
  const axes = [sample, ...chosen, fit], all = sampleOf.map((_, u) => u);
  const claims = data.claims.map((claim) => ({ ...claim, mean: digits(claim.mean), rule: digits(claim.rule) }));
  const starts = () => ({ levels: axes.map(({ start }) => start), masks: data.masks.map(() => true) });
  let choice = starts(), figure = null; // `figure` draws figure 1 of what is left, at the page's width

  const build = (made, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const element = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
  const shape = (tag, attributes = {}, ...children) =>
    build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const count = (number) => number.toLocaleString("en");
  const percent = (share) => (100 * share).toFixed(1);
  const listed = (words) => [words.slice(0, -1).join(", "), words.at(-1)].filter(Boolean).join(" and ");
  const error = (code) => { // what stands for a code: E at two digits
    const value = code <= data.zero ? 0 : 10 ** (code / 100), plain = value === 0 || (value >= 1e-3 && value < 1e5);
    return plain ? String(Number(value.toPrecision(2))) : value.toExponential(1).replace("+", "");
  };

  // --- the numbers ---

  // The universes left; of each axis' levels how many would be left with it; and of those not left what they lack.
  function sift(levels) {
    const left = [], counts = axes.map((axis) => axis.levels.map(() => 0)), lacking = new Map();
    for (const u of all) {
      const lacks = [...axes.keys()].filter((k) => levels[k] !== ANY && axes[k].codes[u] !== levels[k]);
      if (!lacks.length) left.push(u);
      else lacking.set(lacks.join(), (lacking.get(lacks.join()) ?? 0) + 1);
      axes.forEach(({ codes }, k) => { if (lacks.every((other) => other === k)) counts[k][codes[u]] += 1; });
    }
    return { left, counts, lacking };
  }
  const score = (seen, universes) => universes.reduce((sum, u) => sum + seen[u], 0);
  function wilson(found, of) {
    const share = found / of, middle = (share + Z ** 2 / (2 * of)) / (1 + Z ** 2 / of);
    const half = (Z * Math.sqrt((share * (1 - share)) / of + Z ** 2 / (4 * of ** 2))) / (1 + Z ** 2 / of);
    return [middle - half, middle + half];
  }
  // Quartiles that are values of a universe: the least that a quarter, a half, three quarters do not exceed.
  function quartiles(codes, universes) {
    const sorted = Int16Array.from(universes, (u) => codes[u]).sort();
    return [0.25, 0.5, 0.75].map((part) => sorted[Math.ceil(part * sorted.length) - 1]);
  }
  // The fewest choices which, taken back, leave a universe; of equally few those that leave the most.
  function advice(lacking) {
    const [lacks, found] = [...lacking].map(([key, number]) => [key.split(","), number])
      .reduce((best, next) => (next[0].length - best[0].length || best[1] - next[1]) < 0 ? next : best);
    const names = lacks.map((k) => (axes[k] === fit ? "only universes where all masks fit"
      : `${axes[k].name}: ${axes[k].levels[choice.levels[k]]}`));
    return `No universe is left. Take back ${listed(names.map((name) => `“${name}”`))}, and there ` +
      `${found === 1 ? "is" : "are"} ${count(found)}.`;
  }

  // --- the address ---

  function writeAddress() {
    const given = new URLSearchParams();
    axes.forEach(({ name, levels, start }, k) => {
      if (choice.levels[k] !== start) given.set(name, levels[choice.levels[k]] ?? "any");
    });
    if (choice.masks.includes(false))
      given.set("masks", data.masks.flatMap(({ mask }, m) => (choice.masks[m] ? mask : [])).join());
    const text = given.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }
  // Take the address' choice, with words on what is wrong with it; without a "=" it names a place of the page.
  function followAddress() {
    const hash = location.hash.slice(1), next = starts(), words = [], masks = data.masks.map(({ mask }) => mask);
    if (hash && !hash.includes("=")) return;
    for (const [name, text] of new URLSearchParams(hash)) {
      const k = axes.findIndex((axis) => axis.name === name), asked = text ? text.split(",") : [];
      const allowed = name === "masks" ? masks : ["any", ...(axes[k]?.levels ?? [])];
      if (name !== "masks" && k < 0)
        words.push(`“${name.slice(0, 40)}” is no axis; allowed are ${axes.map((a) => a.name).join(", ")}, masks.`);
      else if (!(name === "masks" ? asked : [text]).every((one) => allowed.includes(one)))
        words.push(`${name}: “${text.slice(0, 40)}” was given; allowed are ${allowed.join(", ")}.`);
      else if (name === "masks") next.masks = masks.map((mask) => asked.includes(mask));
      else next.levels[k] = axes[k].levels.indexOf(text);
    }
    use(next, words);
  }

  // --- the page ---

  const selects = axes.map(({ name, levels }, k) => {
    const options = ["any", ...levels].map((level, place) => element("option", { value: place - 1 }, level));
    const select = element("select", { name }, ...options);
    select.onchange = () => use({ ...choice, levels: choice.levels.with(k, Number(select.value)) });
    return select;
  });
  const fitting = element("input", { type: "checkbox", name: "fits" });
  fitting.onchange = () => use({ ...choice, levels: choice.levels.with(axes.length - 1, fitting.checked ? 1 : ANY) });
  const reset = element("button", { type: "button", name: "reset" }, "Reset");
  reset.onclick = () => use(starts());
  const shown = data.masks.map(({ mask }, m) => {
    const box = element("input", { type: "checkbox", name: `mask-${mask}` });
    box.onchange = () => use({ ...choice, masks: choice.masks.with(m, box.checked) });
    return box;
  });
  const swatch = (m) => shape("svg", { viewBox: "-16 -7 32 14", "aria-hidden": "true", class: data.masks[m].kind },
    shape("path", { d: "M-16 0H16", class: "ex-line" }), shape("path", { d: SHAPES[m], class: "ex-mark" }));
  data.masks.forEach((of) => { of.kind = `ex-${of.mask} ${of.mask[0] === "1" ? "ex-overlap" : "ex-free"}`; });
  const status = element("p", { role: "status" }), picture = element("div", { class: "ex-picture" });
  const beyond = element("p", { class: "ex-note" }), numbers = element("tbody"), shares = element("tbody");
  const near = element("ol"), results = element("div"), fitted = element("span");
  const table = (name, title, columns, body) => element("table", { class: name, "aria-labelledby": title },
    element("thead", {}, element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)))), body);
  const note = (words) => element("p", { class: "ex-note" }, words);

  root.append(
    element("fieldset", { class: "ex-axes" }, element("legend", {}, "Levels"),
      ...selects.slice(many ? 0 : 1, -1).map((select) => element("label", {}, select.name, select)),
      element("label", { class: "ex-check" }, fitting, "only universes where all masks fit ", fitted), reset),
    note("In brackets: how many universes would be left with that level."), status, results);
  results.append(
    element("h3", { id: "explorer-claims" }, "The claims in the universes left"),
    note("Share of the universes left in which a claim is seen, with its 95% Wilson interval; tick: in all universes."),
    table("ex-claims", "explorer-claims", ["claim", "by means", "by rule"], shares),
    element("h3", { id: "explorer-figure" }, "Figure 1 over the universes left"),
    note("The error E of each mask, median of ten seeds, against N. Lines: its median over universes; bands: from " +
      "the lower to the upper quartile; dashed: with overlap. E is kept to a hundredth of its logarithm (2.3%)."),
    picture, beyond,
    element("fieldset", { class: "ex-masks" }, element("legend", {}, "Masks drawn"),
      ...data.masks.map(({ label }, m) => element("label", {}, shown[m], swatch(m), label))),
    element("details", {}, element("summary", {}, "The numbers of this figure: medians, and quartiles below them"),
      table("ex-numbers", "explorer-figure", ["N", ...data.sizes], numbers)),
    element("h3", { id: "explorer-near" }, "The nearest to the paper among them"),
    note(`By how many of ${data.observations} observations of the paper they show. Bold: not the book's own choice.`),
    near);

  // A share's cell: a rule from 0 to 1 with the interval, the share, and a tick at the share in all universes.
  function shareCell(seen, left, base) {
    const found = score(seen, left), share = found / left.length, [low, high] = wilson(found, left.length);
    const [at, from, to, tick] = [share, low, high, score(seen, base) / base.length].map((value) => `${100 * value}%`);
    const drawing = shape("svg", { "aria-hidden": "true" },
      shape("line", { x2: "100%", y1: 7, y2: 7, class: "ex-track" }),
      shape("line", { x1: tick, x2: tick, y1: 1, y2: 13, class: "ex-tick" }),
      shape("line", { x1: from, x2: to, y1: 7, y2: 7, class: "ex-interval" }),
      shape("circle", { cx: at, cy: 7, r: 4 }));
    return element("td", {}, drawing, `${percent(share)}% `,
      element("small", {}, `${percent(Math.max(low, 0))}–${percent(high)}%`), " ",
      element("small", {}, `${count(found)} of ${count(left.length)}`));
  }
  const nameOf = (u) => {
    const k = sampleOf[u], before = data.samples.slice(0, k).reduce((sum, { count: size }) => sum + size, 0);
    return `${many ? `${data.samples[k].name}, ` : ""}universe ${u - before}`;
  };
  function nearItem(u) {
    const levels = chosen.flatMap(({ name, levels: of, codes }, k) =>
      [`${k ? "; " : ""}${name}: `, element(codes[u] ? "b" : "span", {}, of[codes[u]])]);
    const settings = Object.assign({}, data.playground, ...chosen.map((axis) => axis.settings[axis.codes[u]]));
    const hash = Object.entries(settings).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
    const link = element("a", { href: `${PLAYGROUND}#${hash}` }, `${nameOf(u)} in the playground`);
    return element("li", { "data-universe": u }, `${nameOf(u)}: ${data.near[u]} of ${data.observations}. `, ...levels,
      ". ", link);
  }

  // Figure 1, drawn at the page's width, so that its letters keep their size.
  function draw(found, left) {
    const width = Math.max(picture.clientWidth, 240), height = Math.min(400, Math.max(300, 0.6 * width));
    const [start, end, top, bottom] = [46, width - 12, 24, height - 40], values = found.flat(2);
    const low = TICKS.slice(0, -1).findLast((tick) => tick <= Math.min(...values)) ?? TICKS[0];
    const high = TICKS.find((tick) => tick > low && tick >= Math.max(...values)) ?? TICKS.at(-1);
    const [least, most] = [data.sizes[0], data.sizes.at(-1)];
    const px = (size) => start + 6 + ((end - start - 12) * Math.log(size / least)) / Math.log(most / least || 2);
    const py = (code) => bottom - ((bottom - top) * (Math.min(high, Math.max(low, code)) - low)) / (high - low);
    const line = (points) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
    const text = (words, x, y, anchor) => shape("text", { x, y, "text-anchor": anchor }, words);
    const parts = [], drawn = [...data.masks.keys()].filter((m) => choice.masks[m]);
    for (const tick of TICKS)
      if (tick >= low && tick <= high && (tick % 100 === 0 || high - low <= 200))
        parts.push(shape("path", { d: `M${start} ${py(tick)}H${end}`, class: "ex-grid" }),
          text(error(tick), start - 6, py(tick) + 4, "end"));
    for (const size of data.sizes) parts.push(text(size, px(size), bottom + 16, "middle"));
    parts.push(text("points and neurons N", (start + end) / 2, height - 6, "middle"), text("error E", 4, 12, "start"));
    const points = (m, k) => found[m].map((three, s) => [px(data.sizes[s]), py(three[k])]);
    for (const m of drawn) {
      const d = `${line([...points(m, 0), ...points(m, 2).reverse()])}Z`;
      parts.push(shape("path", { d, class: `ex-band ${data.masks[m].kind}` }));
    }
    for (const m of drawn) {
      const { kind, mask } = data.masks[m];
      parts.push(shape("path", { d: line(points(m, 1)), class: `ex-line ${kind}`, "data-mask": mask }));
      for (const [x, y] of points(m, 1))
        parts.push(shape("path", { d: SHAPES[m], transform: `translate(${x} ${y})`, class: `ex-mark ${kind}` }));
    }
    const told = (s) => `At N = ${data.sizes[s]}: ` +
      `${drawn.map((m) => `${data.masks[m].label} ${error(found[m][s][1])}`).join(", ")}.`;
    const words = drawn.length ? [0, data.sizes.length - 1].map(told).join(" ") : "No mask is drawn.";
    const label = `Median over ${count(left.length)} universes of the error E against N, both logarithmic. ${words} ` +
      "All medians and quartiles are in the table below.";
    picture.replaceChildren(shape("svg", { width, height, role: "img", "aria-label": label }, ...parts));
    const outside = drawn.flatMap((m) => found[m].flat()).filter((code) => code < low || code > high).length;
    beyond.textContent = outside ? `Medians and quartiles beyond the frame, drawn at its edge: ${outside}.` : "";
  }

  function show(words) {
    const { left, counts, lacking } = sift(choice.levels);
    const base = all.filter((u) => choice.levels[0] === ANY || sampleOf[u] === choice.levels[0]);
    selects.forEach((select, k) => {
      const numbered = [counts[k].reduce((sum, number) => sum + number, 0), ...counts[k]];
      [...select.options].forEach((option, place) => {
        option.textContent = `${["any", ...axes[k].levels][place]} (${count(numbered[place])})`;
      });
      select.value = choice.levels[k];
    });
    fitting.checked = choice.levels.at(-1) === 1;
    fitted.textContent = `(${count(counts.at(-1)[1])})`;
    shown.forEach((box, m) => { box.checked = choice.masks[m]; });
    const kept = `${count(left.length)} of ${count(base.length)} universes ${left.length === 1 ? "is" : "are"} left.`;
    status.textContent = [...words, left.length ? kept : advice(lacking)].join(" ");
    results.hidden = !left.length;
    if (!left.length) return;
    const within = new Set(left), found = data.errors.map((sizes) => sizes.map((codes) => quartiles(codes, left)));
    shares.replaceChildren(...claims.map(({ key, states, mean, rule }) => element("tr", { "data-claim": key },
      element("th", { scope: "row" }, `${key} `, element("small", {}, states)),
      shareCell(mean, left, base), shareCell(rule, left, base))));
    numbers.replaceChildren(...data.masks.map(({ mask, label }, m) => element("tr", { "data-mask": mask },
      element("th", { scope: "row" }, `${mask} `, element("small", {}, label.slice(mask.length + 1))),
      ...found[m].map(([low, middle, high]) =>
        element("td", {}, `${error(middle)} `, element("small", {}, `${error(low)}–${error(high)}`))))));
    near.replaceChildren(...data.order.filter((u) => within.has(u)).slice(0, NEAREST).map(nearItem));
    figure = () => draw(found, left);
    figure();
  }
  function use(next, words = []) {
    choice = next;
    show(words);
    writeAddress();
  }

  root.hidden = false;
  for (const part of document.querySelectorAll(".explorer-still")) part.hidden = true;
  show([]); // what the page opens with needs no address
  if (location.hash) followAddress();
  addEventListener("hashchange", followAddress);
  let width = picture.clientWidth; // the picture's own height is no reason to draw it again
  new ResizeObserver(() => { if (width !== (width = picture.clientWidth) && width) figure(); }).observe(picture);
})();
