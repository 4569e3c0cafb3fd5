// The graph of a run: boxes are buttons in the order of work, lines say what flowed.

const LABELS_UP_TO = 60; // with more edges, only those of the chosen stage are labelled

function amount(edge) {
  if (["tokenizer", "model"].includes(edge.makes)) return `${edge.makes} from ${brief(edge.rows)} ${edge.unit}`;
  if (edge.tokens) return `${brief(edge.tokens)} tokens`;
  const size = edge.bytes ? `, ${bytes(edge.bytes)}` : "";
  return `${brief(edge.rows)} ${edge.unit}${size}`;
}

/** What a screen reader says of a box after what stands in it. */
function spoken(node, edges, change) {
  const parts = [change ? `${stateOf(node.state).word} in the run` : ""];
  const ledger = node.ledger;
  if (ledger) {
    parts.push(`${count(ledger.kept.rows)} ${ledger.unit} kept of ${count(ledger.entered.rows)}`);
  }
  const from = edges.filter((edge) => edge.target === node.name).map((edge) => edge.source);
  const to = edges.filter((edge) => edge.source === node.name).map((edge) => edge.target);
  if (from.length) parts.push(`follows ${from.join(" and ")}`);
  if (to.length) parts.push(`feeds ${to.join(", ")}`);
  return parts.map((part) => part && `; ${part}`).join("");
}

/** Draws nodes and edges; `choose(name)` hears a choice, `changes` marks what differs. */
function drawGraph({ nodes, edges, changes }, selected, choose) {
  const began = performance.now();
  const plan = layout(nodes.map((node) => node.name), edges);
  const pad = 28;
  const width = plan.width + 2 * pad, height = plan.height + 2 * pad;
  const near = new Map(nodes.map((node) => [node.name, []]));
  for (const edge of edges) { near.get(edge.source).push(edge); near.get(edge.target).push(edge); }
  const lines = svg("svg", { class: "lines", width, height, "aria-hidden": "true" });
  const most = Math.max(1, ...edges.map((edge) => edge.rows || 0));
  const drawn = plan.lines.map((one) => drawLine(lines, one, pad, most));
  const labels = drawLabels(lines, edges, plan.at, pad);
  const boxes = nodes.map((node) => {
    const { x, y } = plan.at.get(node.name);
    return drawBox(node, x - BOX.width / 2 + pad, y + pad, spoken(node, near.get(node.name), changes && changes[node.name]),
      changes && changes[node.name], () => choose(node.name));
  });
  const sheet = el("div", { class: "sheet", style: { width: `${width}px`, height: `${height}px` } }, lines, boxes);
  const view = el("div", { class: "viewport" }, el("div", { class: "scaled" }, sheet));
  const graph = el("div", {
    class: edges.length > LABELS_UP_TO ? "graph many" : "graph", role: "group",
    "aria-label": `Graph of ${plural(nodes.length, "stage")}. Arrow right and left walk in the order of work, down and up follow the lines, Enter opens.`,
    on: { keydown: (event) => walk(event, nodes, edges, boxes) },
  }, el("div", { class: "tools" }, changes ? changeLegend(changes) : stateLegend(nodes), zoom(view, sheet, plan, pad)), view);
  graph.mark = (name) => markChosen(name, nodes, boxes, drawn, labels, view);
  graph.layoutMs = performance.now() - began;
  graph.mark(selected);
  return graph;
}

function drawLine(lines, { edge, points }, pad, most) {
  const moved = points.map(([x, y]) => [x + pad, y + pad]);
  const weight = edge.rows ? 1.25 + 3.25 * Math.log1p(edge.rows) / Math.log1p(most) : 1.25;
  const line = svg("path", {
    d: curve(moved), class: edge.assumed ? "line assumed" : "line", "stroke-width": weight.toFixed(2),
  });
  lines.appendChild(line);
  return { edge, line };
}

/** All lines that leave a box carry what it kept: said once, where they leave. */
function drawLabels(lines, edges, at, pad) {
  const labels = new Map();
  for (const edge of edges) {
    if (edge.rows === null || labels.has(edge.source)) continue;
    const box = at.get(edge.source);
    const x = box.x + pad + 9, y = box.y + pad + BOX.height + 24;
    const label = svg("text", { x, y, class: "flow" }, svg("tspan", null, amount(edge)),
      edge.drop_share > 0 && svg("tspan", { x, dy: 15, class: "lost" }, `− ${percent(edge.drop_share)} dropped`));
    lines.appendChild(label);
    labels.set(edge.source, label);
  }
  return labels;
}

function drawBox(node, x, y, label, change, choose) {
  const state = stateOf(node.state);
  const shown = change ? CHANGES[change.change] || CHANGES.changed : state;
  return el("button", {
    type: "button", class: `box ${shown.tone}`, "data-stage": node.name,
    style: { left: `${x}px`, top: `${y}px`, width: `${BOX.width}px`, height: `${BOX.height}px` },
    on: { click: choose },
  },
  el("span", { class: "name" }, node.name),
  el("span", { class: "under" },
    el("span", { class: "mark", "aria-hidden": "true" }, shown.mark),
    el("span", { class: "word" }, shown.word),
    el("span", { class: "kind" }, node.kind),
    el("span", { class: "time" }, node.state === "REUSED" ? "" : duration(node.seconds))),
  el("span", { class: "unseen" }, label));
}

/** One stop for Tab, arrows inside: right and left in the order of work, down and up by line. */
function walk(event, nodes, edges, boxes) {
  const at = boxes.indexOf(event.target);
  if (at < 0) return;
  const name = nodes[at].name;
  const index = (wanted) => nodes.findIndex((node) => node.name === wanted);
  const moves = {
    ArrowRight: () => Math.min(at + 1, boxes.length - 1),
    ArrowLeft: () => Math.max(at - 1, 0),
    ArrowDown: () => { const edge = edges.find((one) => one.source === name); return edge ? index(edge.target) : at; },
    ArrowUp: () => { const edge = edges.find((one) => one.target === name); return edge ? index(edge.source) : at; },
    Home: () => 0,
    End: () => boxes.length - 1,
  };
  if (!Object.hasOwn(moves, event.key)) return;
  event.preventDefault();
  const next = boxes[moves[event.key]()];
  boxes.forEach((box) => box.setAttribute("tabindex", box === next ? "0" : "-1"));
  next.focus();
}

function markChosen(name, nodes, boxes, drawn, labels, view) {
  const chosen = nodes.findIndex((node) => node.name === name);
  boxes.forEach((box, at) => {
    box.setAttribute("tabindex", at === Math.max(chosen, 0) ? "0" : "-1");
    if (at === chosen) box.setAttribute("aria-current", "true");
    else box.removeAttribute("aria-current");
  });
  labels.forEach((label) => label.classList.remove("near"));
  for (const { edge, line } of drawn) {
    const touches = edge.source === name || edge.target === name;
    line.classList.toggle("near", touches);
    if (touches && labels.has(edge.source)) labels.get(edge.source).classList.add("near");
  }
  if (chosen >= 0 && view.isConnected) reveal(boxes[chosen], view);
}

/** Scrolls the graph and not the page around it. */
function reveal(box, view) {
  const inner = box.getBoundingClientRect(), outer = view.getBoundingClientRect();
  const by = (start, end, from, to) => (start < from ? start - from - 24 : end > to ? end - to + 24 : 0);
  view.scrollBy(by(inner.left, inner.right, outer.left, outer.right), by(inner.top, inner.bottom, outer.top, outer.bottom));
}

function legend(marks) {
  return el("ul", { class: "legend", "aria-label": "Marks" }, marks.map((mark) => el("li", null, chip(mark))));
}

function stateLegend(nodes) {
  return legend(Object.keys(STATES).filter((name) => nodes.some((node) => node.state === name)).map(stateOf));
}

function changeLegend(changes) {
  const found = new Set(Object.values(changes).map((change) => change.change));
  return legend(Object.keys(CHANGES).filter((name) => found.has(name)).map((name) => CHANGES[name]));
}

function zoom(view, sheet, plan, pad) {
  const width = plan.width + 2 * pad, height = plan.height + 2 * pad;
  let scale = 1;
  const shown = el("output", { "aria-label": "Size" }, "100%");
  const set = (value) => {
    scale = Math.min(Math.max(value, 0.1), 1.5);
    sheet.style.setProperty("transform", `scale(${scale})`);
    sheet.parentNode.style.setProperty("width", `${width * scale}px`);
    sheet.parentNode.style.setProperty("height", `${height * scale}px`);
    shown.textContent = `${Math.round(scale * 100)}%`;
  };
  const fit = (least) => set(Math.max(Math.min(1, (view.clientWidth - 4) / width), least));
  const button = (text, label, act) =>
    el("button", { type: "button", class: "small", "aria-label": label, on: { click: act } }, text);
  const first = [...plan.at.values()][0];
  new ResizeObserver((_, watcher) => { // the first size it gets is when it is on the page
    if (!view.clientWidth) return;
    watcher.disconnect();
    fit(0.6);
    if (first) view.scrollLeft = (first.x + pad) * scale - view.clientWidth / 2;
    const chosen = view.querySelector("[aria-current]");
    if (chosen) reveal(chosen, view);
  }).observe(view);
  return el("div", { class: "zoom", role: "group", "aria-label": "Size of the graph" },
    button("−", "Smaller", () => set(scale / 1.25)), shown,
    button("+", "Larger", () => set(scale * 1.25)),
    button("Fit", "Fit the width", () => fit(0.1)));
}
