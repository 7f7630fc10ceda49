"use strict";
// Fusion is linear: what a stride adds was brought to the finest grid before it was stored, so here
// it is only weighed, summed, interpolated between the grid's nodes, and the greatest score wins.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const count = data.classes.length, stride = data.stride, strides = data.strides;
const view = { image: 0, row: 0, column: 0, class: 0, weights: strides.map(() => 1) };
const ready = new Map();

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
}

// Scores of an image: Float32Array [h, w, C] a stride, classes side by side.
function scores(number) {
  if (ready.has(number)) return ready.get(number);
  const image = data.images[number], cells = image.rows * image.columns;
  const parts = image.parts.map((part) => {
    const bytes = Uint8Array.from(atob(part.bytes), (c) => c.charCodeAt(0));
    const levels = new Uint16Array(bytes.buffer), values = new Float32Array(cells * count);
    for (let c = 0; c < count; c++)
      for (let i = 0; i < cells; i++)
        values[i * count + c] = part.low[c] + part.step[c] * levels[c * cells + i];
    return values;
  });
  const truth = image.truth && new Uint8Array(image.width * image.height);
  for (let i = 0, at = 0; truth && i < image.truth.length; i += 2)
    truth.fill(image.truth[i], at, at += image.truth[i + 1]);
  ready.set(number, { parts, truth });
  return ready.get(number);
}

// The class of every pixel when the first `upTo` strides are summed with these weights.
function answer(weights, upTo = strides.length) {
  const image = data.images[view.image], { parts } = scores(view.image);
  const { rows, columns, width, height } = image, across = columns * count;
  const sum = new Float32Array(rows * across);
  for (let s = 0; s < upTo; s++)
    for (let i = 0; i < sum.length; i++) sum[i] += weights[s] * parts[s][i];
  const line = new Float32Array(across), labels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const top = Math.floor(y / stride) * across, down = (y % stride) / stride;
    for (let i = 0; i < across; i++)
      line[i] = down ? sum[top + i] + (sum[top + across + i] - sum[top + i]) * down : sum[top + i];
    for (let x = 0; x < width; x++) {
      const left = Math.floor(x / stride) * count, right = (x % stride) / stride;
      const next = right ? left + count : left;
      let best = 0, most = -Infinity;
      for (let c = 0; c < count; c++) {
        const score = line[left + c] + (line[next + c] - line[left + c]) * right;
        if (score > most) { most = score; best = c; }
      }
      labels[y * width + x] = best;
    }
  }
  return labels;
}

// What each stride adds to each class at the pixel, and the probabilities of the sum.
function probe(weights) {
  const image = data.images[view.image], { parts } = scores(view.image);
  const top = Math.floor(view.row / stride), left = Math.floor(view.column / stride);
  const down = view.row / stride - top, right = view.column / stride - left;
  const at = (part, y, x, c) =>
    part[(Math.min(y, image.rows - 1) * image.columns + Math.min(x, image.columns - 1)) * count + c];
  const mix = (a, b, share) => a * (1 - share) + b * share;
  const added = parts.map((part, s) => data.classes.map((_, c) => weights[s] * mix(
    mix(at(part, top, left, c), at(part, top, left + 1, c), right),
    mix(at(part, top + 1, left, c), at(part, top + 1, left + 1, c), right), down)));
  const sums = data.classes.map((_, c) => added.reduce((total, part) => total + part[c], 0));
  const most = Math.max(...sums), odds = sums.map((v) => Math.exp(v - most));
  const all = odds.reduce((a, b) => a + b);
  return { added, sums, chances: odds.map((v) => v / all) };
}

function meanIou(labels, truth) {
  const hit = new Float64Array(count), union = new Float64Array(count);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] >= count) continue;
    union[truth[i]]++;
    if (labels[i] === truth[i]) hit[truth[i]]++; else union[labels[i]]++;
  }
  const known = [...union.keys()].filter((c) => union[c]);
  return known.reduce((total, c) => total + hit[c] / union[c], 0) / known.length;
}

function fill(canvas, colourOf) {
  const image = data.images[view.image];
  if (canvas.width !== image.width || canvas.height !== image.height)
    Object.assign(canvas, { width: image.width, height: image.height });
  const pixels = new ImageData(image.width, image.height), words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = colourOf(i);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const paint = data.colours.map((colour, c) => (c === 0 && data.background ? 0 : word(colour)));
const ramp = Array.from({ length: 511 }, (_, i) => {
  const share = Math.sqrt(Math.abs(i - 255) / 255), end = i < 255 ? [84, 39, 136] : [179, 88, 6];
  return word(end.map((v) => Math.round(247 + (v - 247) * share)));
});

function drawScores(canvas, part, weight, limit) {
  const image = data.images[view.image];
  fill(canvas, (i) => {
    const y = Math.round(Math.floor(i / image.width) / stride), x = Math.round((i % image.width) / stride);
    const node = Math.min(y, image.rows - 1) * image.columns + Math.min(x, image.columns - 1);
    const share = (weight * part[node * count + view.class]) / limit;
    return ramp[255 + Math.round(255 * Math.max(-1, Math.min(1, share)))];
  });
}

function drawMarks(svg, frames) {
  const image = data.images[view.image], x = view.column + .5, y = view.row + .5;
  const shape = (name, values) => Object.entries({ fill: "none", "vector-effect": "non-scaling-stroke", ...values })
    .reduce((node, [key, value]) => (node.setAttribute(key, value), node), document.createElementNS(svg.namespaceURI, name));
  svg.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
  svg.replaceChildren();
  for (const [s, [row, column, reach]] of frames ? image.fields.entries() : []) {
    const near = (place, start) => start + Math.round((place - start) / strides[s]) * strides[s];
    const low = near(view.row, row) - reach, left = near(view.column, column) - reach;
    const inset = .006 * image.width * (s + 1), put = (v, end) => Math.max(inset, Math.min(end - inset, v));
    const [x0, x1] = [left, left + 2 * reach + 1].map((v) => put(v, image.width));
    const [y0, y1] = [low, low + 2 * reach + 1].map((v) => put(v, image.height));
    svg.append(shape("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: data.strideColours[s], "stroke-width": 2 }));
  }
  for (const [wide, colour] of [[5, "#111"], [2.5, "#fff"]])
    svg.append(shape("circle", { cx: x, cy: y, r: .025 * Math.max(image.width, image.height), stroke: colour, "stroke-width": wide }));
}

function drawAccount() {
  const now = probe(view.weights), learned = probe(strides.map(() => 1));
  const ranked = [...learned.chances.keys()].sort((a, b) => learned.chances[b] - learned.chances[a]).slice(0, 5);
  if (!ranked.includes(view.class)) ranked[ranked.length - 1] = view.class;
  const room = 2 * Math.max(1e-6, ...ranked.map((c) => learned.added.reduce((t, part) => t + Math.abs(part[c]), 0)));
  const { truth } = scores(view.image), image = data.images[view.image];
  const real = truth && truth[view.row * image.width + view.column];
  const best = now.chances.indexOf(Math.max(...now.chances));
  byId("said").textContent = `The pixel in row ${view.row}, column ${view.column} is called ${data.classes[best]}, ` +
    `with probability ${(100 * now.chances[best]).toFixed(1)} %` + (truth ? `; in truth it is ${data.classes[real] ?? "void"}.` : ".");
  byId("account").replaceChildren(...ranked.map((c) => {
    const line = make("tr"), share = now.chances[c];
    const name = make("th", "", line);
    name.scope = "row"; name.textContent = data.classes[c];
    const chance = make("div", "chance", make("td", "", line));
    Object.assign(make("i", "", make("div", "bar", chance)).style, { left: 0, width: `${100 * share}%`, background: `rgb(${data.colours[c]})` });
    make("b", "", chance).textContent = `${(100 * share).toFixed(1)} %`;
    const bar = make("div", "bar", make("td", "", line)), ends = [50, 50];
    bar.title = strides.map((s, i) => `stride ${s}: ${now.added[i][c].toFixed(2)}`).join(", ");
    bar.setAttribute("role", "img"); bar.setAttribute("aria-label", bar.title);
    now.added.forEach((part, s) => {
      const wide = (50 * Math.abs(part[c])) / room, side = part[c] > 0 ? 1 : 0;
      const left = side ? ends[1] : ends[0] - wide;
      ends[side] += side ? wide : -wide;
      Object.assign(make("i", "", bar).style, { left: `${left}%`, width: `${wide}%`, background: data.strideColours[s] });
    });
    Object.assign(make("i", "", bar).style, { left: "50%", width: "1px", background: "var(--ink)" });
    make("td", "", line).textContent = now.sums[c].toFixed(1).replace("-", "−");
    return line;
  }));
}

function draw() {
  const began = performance.now(), { parts, truth } = scores(view.image);
  const so_far = strides.map((_, s) => answer(view.weights, s + 1)), labels = so_far.at(-1);
  const limit = Math.max(1e-6, ...parts.map((part) => {
    let most = 0;
    for (let i = view.class; i < part.length; i += count) most = Math.max(most, Math.abs(part[i]));
    return most;
  }));
  fill(byId("answer").querySelector(".paint"), (i) => paint[labels[i]]);
  strides.forEach((_, s) => {
    drawScores(byId(`scores-${s}`), parts[s], view.weights[s], limit);
    fill(byId(`so-far-${s}`), (i) => paint[so_far[s][i]]);
    byId(`value-${strides[s]}`).textContent = byId(`times-${s}`).textContent = view.weights[s].toFixed(2);
  });
  byId("legend").replaceChildren(...[...new Set([...labels, ...(truth ?? [])])].sort((a, b) => a - b).filter((c) => c < count).map((c) => {
    const entry = make("span");
    make("i", "key", entry).style.background = `rgb(${data.colours[c]})`;
    entry.append(data.classes[c]);
    return entry;
  }));
  const own = answer(strides.map(() => 1));
  byId("score").textContent = truth
    ? `mean IoU ${meanIou(labels, truth).toFixed(3)}, all weights 1: ${meanIou(own, truth).toFixed(3)}`
    : `${(100 * labels.reduce((t, c, i) => t + (c !== own[i]), 0) / own.length).toFixed(1)} % of the pixels changed`;
  drawMarks(byId("source").querySelector("svg"), true);
  drawMarks(byId("answer").querySelector("svg"), false);
  drawAccount();
  document.body.dataset.drawn = Number(document.body.dataset.drawn ?? 0) + 1;
  document.body.dataset.milliseconds = (performance.now() - began).toFixed(1);
}

let waiting = 0;
function later() {  // many moves of a slider make one drawing a frame
  if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; draw(); });
}

function choose(number) {
  const image = data.images[number], { truth } = scores(number);
  Object.assign(view, { image: number, class: image.start[0], row: image.start[1], column: image.start[2] });
  byId("class").value = view.class;
  document.querySelectorAll(".picture img").forEach((node) => Object.assign(node, { src: image.picture, alt: image.name }));
  [...byId("images").children].forEach((button, i) => {
    button.setAttribute("aria-checked", i === number);
    button.tabIndex = i === number ? 0 : -1;
  });
  const edge = (i) => truth && ((i % image.width && truth[i] !== truth[i - 1]) || (i >= image.width && truth[i] !== truth[i - image.width]));
  fill(byId("answer").querySelector(".edges"), (i) => (edge(i) ? 0xffffffff : 0));
  later();
}

function move(row, column) {
  const image = data.images[view.image];
  view.row = Math.max(0, Math.min(image.height - 1, row));
  view.column = Math.max(0, Math.min(image.width - 1, column));
  later();
}

function build() {
  data.images.forEach((image, i) => {
    const button = make("button", "", byId("images"));
    Object.assign(button, { type: "button", onclick: () => choose(i) });
    button.setAttribute("role", "radio");
    Object.assign(make("img", "", button), { src: image.picture, alt: image.name });
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + data.images.length) % data.images.length;
      choose(next);
      byId("images").children[next].focus();
    };
  });
  byId("skips").style.setProperty("--skips", strides.length);
  strides.forEach((s, i) => {
    const figure = make("figure", "", byId("skips"));
    make("figcaption", "", figure).innerHTML =
      `<b><i class="key" style="background:${data.strideColours[i]}"></i> stride ${s} × <span id="times-${i}"></span></b> what it adds, and the answer so far`;
    const pair = make("div", "pair", figure);
    for (const name of ["scores", "so-far"]) {
      const box = make("div", "picture", pair);
      make("img", "", box);
      make("canvas", name === "scores" ? "" : "paint", box).id = `${name}-${i}`;
    }
    byId(`weight-${s}`).oninput = (event) => { view.weights[i] = Number(event.target.value); later(); };
  });
  for (const id of ["source", "answer"]) {
    const box = byId(id);
    make("img", "", box);
    if (id === "answer") { make("canvas", "paint", box); make("canvas", "edges", box); }
    box.append(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    box.onclick = (event) => {
      const frame = box.getBoundingClientRect(), image = data.images[view.image];
      move(Math.floor(((event.clientY - frame.top) / frame.height) * image.height),
        Math.floor(((event.clientX - frame.left) / frame.width) * image.width));
    };
  }
  byId("source").onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    move(view.row + far * step[0], view.column + far * step[1]);
  };
  byId("class").onchange = (event) => { view.class = Number(event.target.value); later(); };
  byId("reset").onclick = () => {
    view.weights.fill(1);
    strides.forEach((s) => { byId(`weight-${s}`).value = 1; });
    later();
  };
  choose(0);
}

build();
