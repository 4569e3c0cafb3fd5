// Two runs on one graph: what changed, stage by stage.

const ASPECTS = [["config", "Config"], ["inputs", "Inputs"], ["code", "Code"], ["ledger", "Ledger"], ["metrics", "Metrics"]];

function difference(row) {
  if (typeof row.old !== "number" || typeof row.new !== "number") return "";
  const step = row.new - row.old;
  const share = row.old ? ` (${step > 0 ? "+" : "−"}${percent(Math.abs(step / row.old))})` : "";
  return `${step > 0 ? "+" : "−"}${figure(Math.abs(step))}${share}`;
}

function changeTable(stage, aspect, title, rows) {
  const code = aspect === "code";
  const side = (value) => (value === null ? el("span", { class: "quiet" }, "–")
    : el("span", { class: "mono" }, code ? short(value) : figure(value)));
  return [heading(4, `${title} (${rows.length})`), table(`${title} of ${stage} that differs`, [
    { title: code ? "Function" : "Name", cell: (row) => el("span", { class: "mono" }, row.what) },
    { title: "Before", cell: (row) => side(row.old), class: "side" },
    { title: "After", cell: (row) => side(row.new), class: "side" },
    rows.some((row) => difference(row)) && { title: "Change", number: true, cell: difference },
  ].filter(Boolean), rows.slice(0, 200)), rows.length > 200 && el("p", { class: "quiet" }, `and ${rows.length - 200} more`)];
}

function stageChange(change) {
  const found = ASPECTS.filter(([aspect]) => change[aspect].length);
  const words = { added: "It is only in the later run.", removed: "It is only in the earlier run.", same: "Nothing differs." };
  return el("section", { class: "card", id: `change-${change.name}`, tabindex: -1 },
    el("div", { class: "line-up" }, heading(3, change.name), chip(CHANGES[change.change])),
    found.length ? found.map(([aspect, title]) => changeTable(change.name, aspect, title, change[aspect]))
      : el("p", { class: "quiet" }, words[change.change] || "The content differs; config, code and inputs do not."));
}

function runSide(row, label) {
  return el("div", { class: "side-run" }, el("span", { class: "quiet" }, label),
    el("a", { href: route("run", row.run_id) }, row.run_id),
    el("span", null, `${row.recipe} `, chip(statusOf(row.status))),
    el("span", { class: "quiet" }, `${when(row.started)}, took ${duration(row.seconds)}`));
}

async function comparePage(a, b) {
  const both = await source.compare(a, b);
  const order = both.nodes.map((node) => both.changes[node.name]);
  const weight = (change) => ["changed", "added", "removed", "follows"].indexOf(change.change);
  const changed = order.filter((change) => change.change !== "same").sort((one, other) => weight(one) - weight(other));
  const causes = changed.filter((change) => change.change !== "follows").length;
  const list = el("div", { class: "cards" }, changed.slice(0, 100).map(stageChange));
  const graph = drawGraph(both, null, (name) => {
    graph.mark(name);
    let card = document.getElementById(`change-${name}`);
    if (!card) { card = stageChange(both.changes[name]); list.prepend(card); }
    card.scrollIntoView({ block: "start" });
    card.focus({ preventScroll: true });
  });
  say(`${changed.length} of ${order.length} stages differ`);
  return el("div", null,
    el("div", { class: "title" }, heading(1, "Comparison", { tabindex: -1 }),
      el("p", null, changed.length ? `${changed.length} of ${plural(order.length, "stage")} differ: ${causes} by themselves, ${changed.length - causes} because of what they read.` : "The runs made the same.")),
    el("div", { class: "sides" }, runSide(both.a, "before"), el("span", { class: "arrow", "aria-hidden": "true" }, "→"), runSide(both.b, "after"),
      el("a", { class: "button small", href: route("compare", b, a) }, "Swap")),
    el("div", { class: "split" }, graph, el("div", { class: "changes" },
      heading(2, "What differs"), list,
      changed.length > 100 && el("p", { class: "quiet" }, "The first 100; choose a stage in the graph for others."))));
}
