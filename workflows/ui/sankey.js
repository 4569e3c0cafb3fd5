// Where documents went: a band that narrows, and what each rule took out of it.

const FLOW = { column: 236, bar: 10, tall: 240, row: 17, rules: 4, gap: 34, top: 46 };

/** The unit that most stages count in, documents first. */
function unitOf(nodes) {
  const tallies = new Map();
  for (const node of nodes) {
    if (node.ledger) tallies.set(node.ledger.unit, (tallies.get(node.ledger.unit) || 0) + 1);
  }
  if (tallies.has("documents")) return "documents";
  return [...tallies.entries()].sort((a, b) => b[1] - a[1]).map(([unit]) => unit)[0] || null;
}

function documentFlow(nodes, edges) {
  const unit = unitOf(nodes);
  if (unit === null) return el("p", { class: "quiet" }, "No stage of this run has counted anything yet.");
  const some = nodes.filter((node) => node.ledger && node.ledger.unit === unit);
  const names = new Set(some.map((node) => node.name));
  const carriers = new Set(some.filter((node) => !["tokenizer", "model", "report"].includes(node.makes)).map((node) => node.name));
  const kept = edges.filter((edge) => carriers.has(edge.source) && names.has(edge.target));
  const picture = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Picture of the flow" });
  const toggle = el("div", { class: "choice", role: "group", "aria-label": "Measure" });
  const show = (measure) => {
    put(picture, drawFlow(some, kept, measure, unit));
    put(toggle, ["rows", "bytes"].map((name) => el("button", {
      type: "button", class: "small", "aria-pressed": String(name === measure), on: { click: () => show(name) },
    }, name === "rows" ? unit : "bytes")));
  };
  show("rows");
  return el("section", { class: "flowpage" },
    el("div", { class: "line-up" }, heading(2, `Where ${unit} went`), toggle), picture,
    heading(2, "Dropped by rule"), droppedTable(some, unit));
}

function droppedTable(nodes, unit) {
  const rows = nodes.flatMap((node) => Object.entries(node.ledger.dropped).map(([rule, taken]) => ({
    stage: node.name, rule, taken, entered: node.ledger.entered.rows,
  })));
  if (!rows.length) return el("p", { class: "quiet" }, `No stage dropped any ${unit}.`);
  rows.sort((a, b) => b.taken.rows - a.taken.rows);
  return table(`What each rule dropped, in ${unit}`, [
    { title: "Rule", cell: (row) => el("span", { class: "mono" }, row.rule) },
    { title: "Stage", cell: (row) => row.stage },
    { title: unit[0].toUpperCase() + unit.slice(1), number: true, cell: (row) => count(row.taken.rows) },
    { title: "Share of what entered", number: true, cell: (row) => percent(row.entered ? row.taken.rows / row.entered : 0) },
    { title: "Bytes", number: true, cell: (row) => bytes(row.taken.bytes) },
  ], rows.slice(0, 500), { class: "scroll tall" });
}

function drops(node, measure) {
  const all = Object.entries(node.ledger.dropped)
    .map(([rule, taken]) => ({ rule, value: taken[measure] })).filter((one) => one.value > 0)
    .sort((a, b) => b.value - a.value);
  if (all.length <= FLOW.rules + 1) return all;
  const rest = all.slice(FLOW.rules);
  const sum = rest.reduce((total, one) => total + one.value, 0);
  return [...all.slice(0, FLOW.rules), { rule: `${rest.length} more rules`, value: sum }];
}

/** Columns by longest path; in a column, one stage under the other with room for its labels. */
function place(nodes, edges, measure) {
  const rank = ranks(nodes.map((node) => node.name), edges);
  const least = Math.min(...rank.values());
  const most = Math.max(1, ...nodes.map((node) => node.ledger.entered[measure]));
  const wide = new Map();
  for (const column of rank.values()) wide.set(column, (wide.get(column) || 0) + 1);
  const height = FLOW.tall / Math.min(4, Math.sqrt(Math.max(...wide.values())));
  const below = [];
  const spots = new Map();
  for (const node of nodes) {
    const column = rank.get(node.name) - least;
    const tall = Math.max(2, (node.ledger.entered[measure] / most) * height);
    const keptTall = Math.max(1, (node.ledger.kept[measure] / most) * height);
    const lost = drops(node, measure);
    const y = below[column] ?? FLOW.top;
    spots.set(node.name, { x: 8 + column * FLOW.column, y, tall, keptTall, lost, node });
    const labels = lost.length * FLOW.row + keptTall + 14;
    below[column] = y + Math.max(tall, labels) + FLOW.gap + FLOW.top;
  }
  return { spots, scale: height / most, width: below.length * FLOW.column + 24, height: Math.max(...below.filter(Boolean)) - FLOW.gap };
}

function drawFlow(nodes, edges, measure, unit) {
  const { spots, scale, width, height } = place(nodes, edges, measure);
  const say = measure === "rows" ? brief : bytes;
  const told = nodes.map((node) =>
    `${node.name}: ${say(node.ledger.entered[measure])} in, ${say(node.ledger.kept[measure])} kept`).join("; ");
  const picture = svg("svg", {
    width, height, class: "sankey", role: "img",
    "aria-label": `Flow of ${unit}. ${told.slice(0, 2000)}. The table below has every rule.`,
  }, svg("defs", null, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 6, height: 6, class: "hatch-ground" }), svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch-line" }))));
  for (const edge of edges) {
    const from = spots.get(edge.source), to = spots.get(edge.target);
    const tall = Math.min(from.keptTall, to.tall);
    picture.appendChild(svg("path", { class: "band", d: band(from.x + FLOW.bar, from.y, from.keptTall, to.x, to.y, tall) }));
  }
  for (const spot of spots.values()) drawSpot(picture, spot, scale, say);
  return picture;
}

function drawSpot(picture, { x, y, tall, keptTall, lost, node }, scale, say) {
  const measure = say === brief ? "rows" : "bytes";
  add(picture, [
    svg("rect", { x, y, width: FLOW.bar, height: tall, class: "bar-in" }),
    svg("text", { x, y: y - 24, class: "flow-name" }, node.name),
    svg("text", { x, y: y - 9, class: "flow-note" }, `${say(node.ledger.entered[measure])} in, ${say(node.ledger.kept[measure])} kept`),
  ]);
  let from = y + keptTall, labelAt = y + keptTall + 16;
  for (const { rule, value } of lost) {
    const thick = Math.max(1, value * scale);
    labelAt = Math.max(labelAt, from + Math.min(thick, 40) / 2 + 8);
    picture.appendChild(svg("path", { class: "lost-band", d: band(x + FLOW.bar, from, thick, x + 46, labelAt - 4 - Math.min(thick, 12) / 2, Math.min(thick, 12)) }));
    add(picture, [svg("text", { x: x + 52, y: labelAt, class: "flow-note" },
      svg("tspan", { class: "strong" }, say(value)), ` ${rule.length > 24 ? rule.slice(0, 23) + "…" : rule}`,
      svg("title", null, rule))]);
    from += thick;
    labelAt += FLOW.row;
  }
}

function band(x0, y0, tall0, x1, y1, tall1) {
  const m = (x0 + x1) / 2;
  return `M${x0},${y0}C${m},${y0} ${m},${y1} ${x1},${y1}V${y1 + tall1}C${m},${y1 + tall1} ${m},${y0 + tall0} ${x0},${y0 + tall0}Z`;
}
