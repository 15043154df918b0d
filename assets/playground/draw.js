// The playground's two pictures, on canvases: the network as it is, and its numbers over the steps.

const WINDOW = [-0.5, 1.5], HEIGHTS = [-1.5, 2]; // the ranges of companion.show.charts.network
const GRID = Array.from({ length: 241 }, (_, k) => WINDOW[0] + k / 120);
const CIRCLE = new Path2D("M-4 0a4 4 0 0 1 8 0a4 4 0 0 1-8 0Z"), DIAMOND = new Path2D("M0-6 5 0 0 6-5 0Z");
const scale = (low, high, from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);

// What draws on a cleared canvas that fits the screen's pixels.
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "12px system-ui, sans-serif";
  const line = (points, color, lineWidth = 1, dash = [], globalAlpha = 1) => {
    Object.assign(pen, { strokeStyle: color, lineWidth, globalAlpha });
    pen.setLineDash(dash);
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(x, y);
    pen.stroke();
  };
  const text = (words, x, y, color, textAlign = "center") => {
    Object.assign(pen, { fillStyle: color, textAlign, textBaseline: "middle", globalAlpha: 1 });
    pen.fillText(words, x, y);
  };
  const mark = (shape, x, y, color) => {
    Object.assign(pen, { fillStyle: color, globalAlpha: 1 });
    pen.translate(x, y);
    pen.fill(shape);
    pen.translate(-x, -y);
  };
  const tick = (y, value, left, right, ink) => {
    line([[left, y], [right, y]], ink, 1, [], 0.15);
    text(value, left - 6, y, ink, "right");
  };
  return { width, height, line, text, mark, tick };
}

// Data, bumps a_j h_j, curve f, prototypes on the curve and on a rule below; returns how many lie beyond each edge.
export function drawNetwork(canvas, { x, y, inNominalActivation: { w, b, a, c } }, { positions, heights }, inks) {
  const { width, height, line, text, mark, tick } = prepare(canvas);
  const left = 30, right = width - 8, top = 8, bottom = height - 70, rule = height - 46;
  const px = scale(...WINDOW, left, right), ends = [Math.min(...x), Math.max(...x)].map(px);
  const py = (value) => scale(...HEIGHTS, bottom, top)(Math.min(Math.max(value, HEIGHTS[0]), HEIGHTS[1])); // else at the edge
  line([[(ends[0] + ends[1]) / 2, top], [(ends[0] + ends[1]) / 2, rule]], inks.data, ends[1] - ends[0], [], 0.1);
  for (const value of [-1, 0, 1, 2]) tick(py(value), value, left, right, inks.ink);
  for (const [value, align] of [[-0.5, "left"], [0], [0.5], [1], [1.5, "right"]])
    text(value, px(value), height - 10, inks.ink, align);
  line([[left, rule], [right, rule]], inks.ink);
  const bumps = Array.from(w, (wj, j) => GRID.map((at) => a[j] * Math.exp(-((wj * at + b[j]) ** 2))));
  for (const bump of bumps) line(bump.map((value, k) => [px(GRID[k]), py(value)]), inks.bump);
  line(GRID.map((at, k) => [px(at), py(bumps.reduce((sum, bump) => sum + bump[k], c))]), inks.fit, 2.2);
  x.forEach((at, i) => {
    mark(CIRCLE, px(at), py(y[i]), inks.data);
    line([[px(at), rule + 3], [px(at), rule + 10]], inks.data, 2);
  });
  for (const [j, at] of positions.entries()) if (at > WINDOW[0] && at < WINDOW[1]) {
    mark(DIAMOND, px(at), py(heights[j]), inks.prototype);
    mark(DIAMOND, px(at), rule - 7, inks.prototype);
  }
  const beyond = [positions.filter((at) => at <= WINDOW[0]).length, positions.filter((at) => at >= WINDOW[1]).length];
  text(`◀ ${beyond[0]} beyond`, left, rule + 14, inks.prototype, "left");
  text(`${beyond[1]} beyond ▶`, right, rule + 14, inks.prototype, "right");
  return beyond;
}

// E on a logarithmic axis above, the two shares below, from step 0 to `last`.
export function drawHistory(canvas, history, last, inks) {
  const { width, height, line, text, tick } = prepare(canvas), left = 44, right = width - 10, middle = (height - 24) / 2;
  const powers = history.map(({ error }) => Math.log10(error)).filter(Number.isFinite);
  const low = Math.floor(Math.min(-0.1, ...powers)), high = Math.ceil(Math.max(0.1, ...powers));
  const px = scale(0, last, left, right), error = scale(low, high, middle - 8, 10), share = scale(0, 1, height - 26, middle + 10);
  for (const value of [0, 0.5, 1]) tick(share(value), value, left, right, inks.ink);
  const apart = Math.ceil((high - low) / 4);
  for (let power = low; power <= high; power += apart) tick(error(power), Number(`1e${power}`), left, right, inks.ink);
  ["left", "center", "right"].forEach((align, k) => text((k * last) / 2, px((k * last) / 2), height - 10, inks.ink, align));
  const path = (place) => history.map((row) => [px(row.step), place(row)]).filter(([, y]) => Number.isFinite(y));
  line(path((row) => error(Math.log10(row.error))), inks.error, 2);
  line(path((row) => share(row.special)), inks.special, 2, [6, 3]);
  line(path((row) => share(row.expelled)), inks.expelled, 2, [2, 3]);
}
