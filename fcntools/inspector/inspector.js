// The skip inspector: of a run's page, which holds all it shows, and of notebook 06, where a kernel
// runs the networks.
//
// Fusion is linear: what a stride adds was brought to the finest grid before it came here, so here
// it is only weighed, summed, interpolated between the grid's nodes, and the greatest score wins.

const MARKUP = `
<div class="view">
  <div class="images" role="radiogroup" aria-label="Image"></div>
  <div class="choices">
    <label>network <select name="network"></select></label>
    <label>image <select name="image"></select></label>
    <label>your own <input type="file" accept="image/*"></label>
  </div>
  <p class="note" role="status"></p>
  <div class="controls" role="group" aria-label="Weights">
    <span class="sliders"></span>
    <label>score maps of <select name="shown"></select></label>
    <button type="button" class="reset">all weights 1</button>
  </div>
  <div class="large">
    <figure><figcaption><b>the image</b> with what each stride sees from the ring</figcaption>
      <div class="picture source" tabindex="0" role="application" aria-label="The image. Arrow keys move the ring by one pixel, with Shift by ten."><img><svg></svg></div></figure>
    <figure><figcaption><b>the answer</b> <span class="score"></span></figcaption>
      <div class="picture answer"><img><canvas class="paint"></canvas><canvas class="edges"></canvas><svg></svg></div></figure>
    <div class="account">
      <p class="said" aria-live="polite"></p>
      <table><thead><tr><th scope="col">class</th><th scope="col">probability</th><th scope="col">what each skip adds to its score</th><th scope="col">sum</th></tr></thead><tbody></tbody></table>
    </div>
  </div>
  <div class="small" role="group" aria-label="Skip by skip"></div>
  <div class="legend" role="group" aria-label="Classes in this image"></div>
  <p class="note">Orange speaks for the class, purple against it; shades go with the square root. White lines: borders of the truth.</p>
</div>`;

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (parent) parent.append(node);
  return node;
}

function options(select, names, value) {
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = value;
}

// What each pixel of a side lies between: its node, the next one, and how far it is on the way.
function places(size, nodes, first, stride) {
  const low = new Int32Array(size), high = new Int32Array(size), share = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const at = Math.max(i - first, 0) / stride;
    low[i] = Math.min(Math.floor(at), nodes - 1);
    high[i] = Math.min(low[i] + 1, nodes - 1);
    share[i] = at - low[i];
  }
  return { low, high, share };
}

// `parts` of an image: Float32Array [rows, columns, C] a stride. Here the rest is made ready.
function prepare(image, parts) {
  const stride = image.strides.at(-1);
  const truth = image.truth && new Uint8Array(image.width * image.height);
  for (let i = 0, at = 0; truth && i < image.truth.length; i += 2)
    truth.fill(image.truth[i], at, at += image.truth[i + 1]);
  return {
    ...image, parts, truth, stride, count: parts[0].length / (image.rows * image.columns),
    down: places(image.height, image.rows, image.first, stride),
    right: places(image.width, image.columns, image.first, stride),
  };
}

// The class of every pixel after each stride: the first alone, the first two, ... all of them.
function answers(image, weights) {
  const { width, height, columns, count, down, right } = image, across = columns * count;
  const sum = new Float32Array(image.parts[0].length), line = new Float32Array(across);
  return image.parts.map((part, s) => {
    for (let i = 0; i < sum.length; i++) sum[i] += weights[s] * part[i];
    const labels = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      const top = down.low[y] * across, bottom = down.high[y] * across;
      for (let i = 0; i < across; i++)
        line[i] = sum[top + i] + (sum[bottom + i] - sum[top + i]) * down.share[y];
      for (let x = 0; x < width; x++) {
        const from = right.low[x] * count, to = right.high[x] * count, share = right.share[x];
        let best = 0, most = -Infinity;
        for (let c = 0; c < count; c++) {
          const score = line[from + c] + (line[to + c] - line[from + c]) * share;
          if (score > most) { most = score; best = c; }
        }
        labels[y * width + x] = best;
      }
    }
    return labels;
  });
}

// What each stride adds to each class at a pixel, and the probabilities of the sum.
function probe(image, weights, row, column) {
  const { columns, count, down, right } = image, classes = [...Array(count).keys()];
  const mix = (a, b, share) => a * (1 - share) + b * share;
  const added = image.parts.map((part, s) => classes.map((c) => {
    const [above, below] = [down.low[row], down.high[row]].map((y) => mix(
      part[(y * columns + right.low[column]) * count + c],
      part[(y * columns + right.high[column]) * count + c], right.share[column]));
    return weights[s] * mix(above, below, down.share[row]);
  }));
  const sums = classes.map((c) => added.reduce((total, part) => total + part[c], 0));
  const most = Math.max(...sums), odds = sums.map((v) => Math.exp(v - most));
  const all = odds.reduce((a, b) => a + b);
  return { added, sums, chances: odds.map((v) => v / all) };
}

function meanIou(labels, truth, count) {
  const hit = new Float64Array(count), union = new Float64Array(count);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] >= count) continue;
    union[truth[i]]++;
    if (labels[i] === truth[i]) hit[truth[i]]++; else union[labels[i]]++;
  }
  const known = [...union.keys()].filter((c) => union[c]);
  return known.reduce((total, c) => total + hit[c] / union[c], 0) / known.length;
}

const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const ramp = Array.from({ length: 511 }, (_, i) => {
  const share = Math.sqrt(Math.abs(i - 255) / 255), end = i < 255 ? [84, 39, 136] : [179, 88, 6];
  return word(end.map((v) => Math.round(247 + (v - 247) * share)));
});

// Build the view in an element. `setup`: classes, colours, strideColours. Of `told` each function
// hears what a person does: choose(name, value), open(file), moved({weights, shown, row, column}).
function inspector(root, setup, told) {
  root.innerHTML = MARKUP;
  const find = (selector) => root.querySelector(selector);
  const state = { weights: [], shown: 0, row: 0, column: 0 };
  const paint = setup.colours.map((colour, c) => (c === 0 && setup.background ? 0 : word(colour)));
  let image, waiting = 0, drawn = 0;

  function fill(canvas, colourOf) {
    if (canvas.width !== image.width || canvas.height !== image.height)
      Object.assign(canvas, { width: image.width, height: image.height });
    const pixels = new ImageData(image.width, image.height), words = new Uint32Array(pixels.data.buffer);
    for (let i = 0; i < words.length; i++) words[i] = colourOf(i);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
  }

  function drawScores(canvas, part, weight, limit) {
    const near = ({ low, high, share }, i) => (share[i] < .5 ? low[i] : high[i]);
    fill(canvas, (i) => {
      const y = near(image.down, Math.floor(i / image.width)), x = near(image.right, i % image.width);
      const share = (weight * part[(y * image.columns + x) * image.count + state.shown]) / limit;
      return ramp[255 + Math.round(255 * Math.max(-1, Math.min(1, share)))];
    });
  }

  function drawMarks(svg, frames) {
    const shape = (name, values) => Object.entries({ fill: "none", "vector-effect": "non-scaling-stroke", ...values })
      .reduce((node, [key, value]) => (node.setAttribute(key, value), node), document.createElementNS(svg.namespaceURI, name));
    svg.setAttribute("viewBox", `0 0 ${image.width} ${image.height}`);
    svg.replaceChildren();
    for (const [s, [row, column, reach]] of frames ? image.fields.entries() : []) {
      const near = (place, start) => start + Math.round((place - start) / image.strides[s]) * image.strides[s];
      const low = near(state.row, row) - reach, left = near(state.column, column) - reach;
      const inset = .006 * image.width * (s + 1), put = (v, end) => Math.max(inset, Math.min(end - inset, v));
      const [x0, x1] = [left, left + 2 * reach + 1].map((v) => put(v, image.width));
      const [y0, y1] = [low, low + 2 * reach + 1].map((v) => put(v, image.height));
      svg.append(shape("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, stroke: setup.strideColours[s], "stroke-width": 2 }));
    }
    const ring = { cx: state.column + .5, cy: state.row + .5, r: .025 * Math.max(image.width, image.height) };
    for (const [wide, colour] of [[5, "#111"], [2.5, "#fff"]])
      svg.append(shape("circle", { ...ring, stroke: colour, "stroke-width": wide }));
  }

  function drawAccount() {
    const { row, column } = state, now = probe(image, state.weights, row, column);
    const learned = probe(image, image.strides.map(() => 1), row, column);
    const ranked = [...learned.chances.keys()].sort((a, b) => learned.chances[b] - learned.chances[a]).slice(0, 5);
    if (!ranked.includes(state.shown)) ranked[ranked.length - 1] = state.shown;
    const room = 2 * Math.max(1e-6, ...ranked.map((c) => learned.added.reduce((t, part) => t + Math.abs(part[c]), 0)));
    const real = image.truth && image.truth[row * image.width + column];
    const best = now.chances.indexOf(Math.max(...now.chances));
    find(".said").textContent = `The pixel in row ${row}, column ${column} is called ${setup.classes[best]}, ` +
      `with probability ${(100 * now.chances[best]).toFixed(1)} %` + (image.truth ? `; in truth it is ${setup.classes[real] ?? "void"}.` : ".");
    find(".account tbody").replaceChildren(...ranked.map((c) => {
      const line = make("tr"), share = now.chances[c];
      const name = make("th", "", line);
      name.scope = "row"; name.textContent = setup.classes[c];
      const chance = make("div", "chance", make("td", "", line));
      Object.assign(make("i", "", make("div", "bar", chance)).style, { left: 0, width: `${100 * share}%`, background: `rgb(${setup.colours[c]})` });
      make("b", "", chance).textContent = `${(100 * share).toFixed(1)} %`;
      const bar = make("div", "bar", make("td", "", line)), ends = [50, 50];
      bar.title = image.strides.map((s, i) => `stride ${s}: ${now.added[i][c].toFixed(2)}`).join(", ");
      bar.setAttribute("role", "img"); bar.setAttribute("aria-label", bar.title);
      now.added.forEach((part, s) => {
        const wide = (50 * Math.abs(part[c])) / room, side = part[c] > 0 ? 1 : 0;
        const left = side ? ends[1] : ends[0] - wide;
        ends[side] += side ? wide : -wide;
        Object.assign(make("i", "", bar).style, { left: `${left}%`, width: `${wide}%`, background: setup.strideColours[s] });
      });
      Object.assign(make("i", "", bar).style, { left: "50%", width: "1px", background: "var(--ink)" });
      make("td", "", line).textContent = now.sums[c].toFixed(1).replace("-", "−");
      return line;
    }));
  }

  function drawLegend(labels) {
    const present = new Set([...labels, ...(image.truth ?? [])].filter((c) => c < image.count));
    find(".legend").replaceChildren(...[...present].sort((a, b) => a - b).map((c) => {
      const entry = make("span");
      make("i", "key", entry).style.background = `rgb(${setup.colours[c]})`;
      entry.append(setup.classes[c]);
      return entry;
    }));
  }

  function draw() {
    const began = performance.now(), { parts, truth, count } = image;
    const soFar = answers(image, state.weights), labels = soFar.at(-1);
    image.own ??= answers(image, image.strides.map(() => 1)).at(-1);
    let limit = 1e-6;
    for (const part of parts)
      for (let i = state.shown; i < part.length; i += count) limit = Math.max(limit, Math.abs(part[i]));
    fill(find(".answer .paint"), (i) => paint[labels[i]]);
    image.strides.forEach((stride, s) => {
      drawScores(find(`.scores-${stride}`), parts[s], state.weights[s], limit);
      fill(find(`.so-far-${stride}`), (i) => paint[soFar[s][i]]);
      find(`[name=weight-${stride}]`).value = state.weights[s];
      for (const node of root.querySelectorAll(`.times-${stride}`)) node.textContent = state.weights[s].toFixed(2);
    });
    find("[name=shown]").selectedIndex = state.shown;
    find(".score").textContent = truth
      ? `mean IoU ${meanIou(labels, truth, count).toFixed(3)}, all weights 1: ${meanIou(image.own, truth, count).toFixed(3)}`
      : `${(100 * labels.reduce((t, c, i) => t + (c !== image.own[i]), 0) / labels.length).toFixed(1)} % of the pixels changed`;
    drawMarks(find(".source svg"), true);
    drawMarks(find(".answer svg"), false);
    drawAccount();
    drawLegend(labels);
    root.dataset.milliseconds = (performance.now() - began).toFixed(1);
    root.dataset.drawn = drawn += 1;
  }

  function later() {  // many moves of a slider make one drawing a frame
    waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
  }

  function change(values) {
    Object.assign(state, values);
    told.moved?.(state);
    later();
  }

  // Sliders and small pictures, as many as the network has strides.
  function layOut() {
    find(".sliders").replaceChildren(...image.strides.map((stride, s) => {
      const label = make("label", "slider");
      make("i", "key", label).style.background = setup.strideColours[s];
      make("span", "", label).textContent = `stride ${stride}`;
      const input = Object.assign(make("input", "", label), { type: "range", min: 0, max: 2, step: .05, name: `weight-${stride}` });
      input.oninput = () => change({ weights: state.weights.with(s, Number(input.value)) });
      make("output", `times-${stride}`, label);
      return label;
    }));
    find(".small").style.setProperty("--skips", image.strides.length);
    find(".small").replaceChildren(...image.strides.map((stride, s) => {
      const figure = make("figure");
      make("figcaption", "", figure).innerHTML = `<b><i class="key" style="background:${setup.strideColours[s]}"></i> ` +
        `stride ${stride} × <span class="times-${stride}"></span></b> what it adds, and the answer so far`;
      const pair = make("div", "pair", figure);
      for (const name of ["scores", "so-far"]) {
        const box = make("div", "picture", pair);
        make("img", "", box);
        make("canvas", `${name}-${stride}${name === "scores" ? "" : " paint"}`, box);
      }
      return figure;
    }));
  }

  function show(next, values) {
    Object.assign(state, values);
    later();
    if (next === image) return;
    image = next;
    const { truth, width, height, strides } = image;
    Object.assign(state, { row: Math.min(state.row, height - 1), column: Math.min(state.column, width - 1) });
    if (find(".small").children.length !== strides.length) layOut();
    root.querySelectorAll(".picture img").forEach((node) => Object.assign(node, { src: image.picture, alt: image.name }));
    const edge = (i) => truth && ((i % width && truth[i] !== truth[i - 1]) || (i >= width && truth[i] !== truth[i - width]));
    fill(find(".edges"), (i) => (edge(i) ? 0xffffffff : 0));
  }

  function move(row, column) {
    const within = (place, size) => Math.max(0, Math.min(size - 1, place));
    change({ row: within(row, image.height), column: within(column, image.width) });
  }

  options(find("[name=shown]"), setup.classes, setup.classes[0]);
  find("[name=shown]").onchange = (event) => change({ shown: event.target.selectedIndex });
  find(".reset").onclick = () => change({ weights: state.weights.map(() => 1) });
  for (const name of ["network", "image"])
    find(`[name=${name}]`).onchange = (event) => told.choose(name, event.target.value);
  find("[type=file]").onchange = (event) => event.target.files.length && told.open(event.target.files[0]);
  for (const box of root.querySelectorAll(".large .picture"))
    box.onclick = (event) => {
      const frame = box.getBoundingClientRect();
      move(Math.floor(((event.clientY - frame.top) / frame.height) * image.height),
        Math.floor(((event.clientX - frame.left) / frame.width) * image.width));
    };
  find(".source").onkeydown = (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    move(state.row + far * step[0], state.column + far * step[1]);
  };
  return { find, show };
}

// The page of a run: images as thumbnails, scores of 16 bits in base64.
function openPage(root, data) {
  const { find, show } = inspector(root, data, {});
  const weights = data.images[0].strides.map(() => 1), ready = [];
  find(".choices").remove();
  find(".note").remove();

  function unpack(image) {
    return prepare(image, image.parts.map(({ bytes, low, step }) => {
      const levels = new Uint16Array(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer);
      return Float32Array.from(levels, (level, i) => low[i % low.length] + step[i % low.length] * level);
    }));
  }

  function choose(number) {
    const image = ready[number] ??= unpack(data.images[number]), [shown, row, column] = image.start;
    for (const [i, button] of [...find(".images").children].entries()) {
      button.setAttribute("aria-checked", i === number);
      button.tabIndex = i === number ? 0 : -1;
    }
    show(image, { shown, row, column });
  }

  data.images.forEach((image, i) => {
    const button = make("button", "", find(".images"));
    Object.assign(button, { type: "button", onclick: () => choose(i) });
    button.setAttribute("role", "radio");
    Object.assign(make("img", "", button), { src: image.picture, alt: image.name });
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + data.images.length) % data.images.length;
      choose(next);
      find(".images").children[next].focus();
    };
  });
  show(ready[0] = unpack(data.images[0]), { weights });
  choose(0);
}

// The cell of a notebook: a kernel behind it runs the network that is chosen; see widget.py.
export default {
  render({ model, el }) {
    el.classList.add("fcnlib-inspector");
    // Or JupyterLab takes the arrow keys from sliders and ring for shortcuts of its own.
    el.addEventListener("focusin", (event) => { event.target.dataset.lmSuppressShortcuts = true; });
    const send = (values) => {
      for (const [name, value] of Object.entries(values)) model.set(name, value);
      model.save_changes();
    };
    const { find, show } = inspector(el, model.get("setup"), {
      choose: (name, value) => send({ [name]: value }),
      open: async (file) => model.send({ name: file.name }, undefined, [await file.arrayBuffer()]),
      moved: send,
    });
    find(".images").remove();
    let image;

    function receive() {
      const maps = model.get("maps");
      image = maps.parts && prepare(maps, maps.parts.map((part) =>
        new Float32Array(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength))));
      update();
    }

    function update() {
      const names = ["weights", "shown", "row", "column"];
      if (image) show(image, Object.fromEntries(names.map((name) => [name, model.get(name)])));
    }

    function listNames() {
      options(find("[name=network]"), model.get("setup").networks, model.get("network"));
      options(find("[name=image]"), model.get("images"), model.get("image"));
      find(".note").textContent = model.get("note");
    }

    model.on("change:maps", receive);
    for (const name of ["weights", "shown", "row", "column"]) model.on(`change:${name}`, update);
    for (const name of ["images", "image", "network", "note"]) model.on(`change:${name}`, listNames);
    listNames();
    receive();
  },
};
