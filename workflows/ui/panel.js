// All there is to know of one stage in one run.

function section(title, open, ...children) {
  return el("details", { class: "part", open }, el("summary", null, heading(3, title)), children);
}

/** Nested values as dotted names. */
function flat(value, at = "") {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [[at, value]];
  const inside = Object.entries(value).flatMap(([name, entry]) => flat(entry, at ? `${at}.${name}` : name));
  return inside.length || !at ? inside : [[at, "{}"]];
}

function stagePanel(run, view, close, choose) {
  const { node } = view;
  return el("div", { class: "panel-in" },
    el("div", { class: "line-up" },
      el("div", null, heading(2, node.name, { tabindex: -1, id: "panel-title" }), el("p", { class: "quiet" }, node.kind)),
      el("button", { type: "button", class: "small", "aria-label": "Close the panel", on: { click: close } }, "Close")),
    el("p", { class: "why" }, chip(stateOf(node.state)), " ", node.why),
    node.error && el("pre", { class: "error" }, node.error),
    view.gone && el("p", { class: "notice" }, `Its artifact is gone from ${view.gone}; what the journal says is shown.`),
    ledgerPart(node.ledger),
    view.checks.length > 0 && checksPart(view.checks),
    view.series && section("Loss", true, lossCurve(view.series, node.name, 410)),
    metricsPart(view.metrics),
    section("Run it again", true, command(view.rerun)),
    section("Config", true, configPart(view.config)),
    linksPart(view, choose),
    view.samples.length > 0 && section(`Samples (${view.samples.length})`, false, sampleList(view.samples)),
    view.files_total > 0 && filesPart(view),
    view.code && codePart(view.code),
    section("Identity", false, identity(run, view)),
    view.schema && section("Schema", false, el("pre", null, view.schema)),
    Object.keys(view.packages).length > 0 && section("Packages", false, facts(Object.entries(view.packages))));
}

function ledgerPart(ledger) {
  if (!ledger) return null;
  const entered = ledger.entered.rows;
  const rules = Object.entries(ledger.dropped).sort((a, b) => b[1].rows - a[1].rows);
  const bar = (name, taken, kind) => el("li", { class: kind },
    el("span", { class: "mono" }, name), el("span", { class: "number" }, count(taken.rows)),
    el("span", { class: "number quiet" }, percent(entered ? taken.rows / entered : null)),
    el("span", { class: "track", "aria-hidden": "true" },
      el("span", { class: "fill", style: { width: `${entered ? (100 * taken.rows) / entered : 0}%` } })));
  const size = ledger.entered.bytes ? `, ${bytes(ledger.entered.bytes)} in, ${bytes(ledger.kept.bytes)} kept` : "";
  return section("Ledger", true,
    el("p", { class: "quiet" }, `${count(entered)} ${ledger.unit} entered${size}`),
    el("ul", { class: "bars" }, bar("kept", ledger.kept, "kept"), rules.map(([rule, taken]) => bar(rule, taken, "lost"))),
    editsPart(Object.entries(ledger.edited || {})));
}

function editsPart(edits) {
  if (!edits.length) return null;
  const told = ([edit, change]) => [edit, `${count(change.rows)} changed, ${bytes(change.removed)} out, ${bytes(change.added)} in`];
  return el("div", null, el("p", { class: "quiet" }, "Edited in what was kept"), facts(edits.map(told)));
}

function checksPart(checks) {
  return section("Checks", true, el("ul", { class: "checks" }, checks.map((check) => el("li", { class: check.ok ? "ok" : "bad" },
    el("span", { class: "mark" }, check.ok ? "✓ passed" : "✕ failed"), " ", el("span", { class: "mono" }, check.name),
    el("span", { class: "quiet" }, ` found ${plain(check.found)}, allowed ${plain(check.allowed)}`)))));
}

function metricsPart(metrics) {
  const rows = Object.entries(metrics);
  return rows.length ? section("Metrics", true, facts(rows.map(([name, value]) => [name, figure(value)]))) : null;
}

function configPart(config) {
  const rows = flat(config);
  if (!rows.length) return el("p", { class: "quiet" }, "Nothing to set, or not begun.");
  return el("div", { class: "mono" }, facts(rows.map(([name, value]) => [name, plain(value)])));
}

function linksPart(view, choose) {
  const inputs = view.inputs.map((input) => el("li", null,
    el("span", { class: "quiet" }, `${input.slot}: `),
    el("button", { type: "button", class: "link", on: { click: () => choose(input.name) } }, input.name),
    el("span", { class: "mono quiet" }, ` @${short(input.digest)}`), !input.there && " (gone)"));
  const users = view.used_by.map((row) => el("li", null,
    el("a", { href: route("run", row.run_id, "graph", row.name) }, row.name),
    el("span", { class: "mono quiet" }, ` @${short(row.digest)} in ${row.run_id}`)));
  const more = view.used_by_total - view.used_by.length;
  return section("Made from, used by", true,
    inputs.length ? el("ul", { class: "list" }, inputs) : el("p", { class: "quiet" }, "It reads no other artifact."),
    users.length ? [el("p", { class: "quiet" }, `Used by ${plural(view.used_by_total, "artifact")}`), el("ul", { class: "list" }, users)]
      : el("p", { class: "quiet" }, "No artifact is made from it."),
    more > 0 && el("p", { class: "quiet" }, `and ${more} more`));
}

function filesPart(view) {
  const hidden = view.files_total - view.files.length;
  return section(`Files (${count(view.files_total)}, ${bytes(view.files_bytes)})`, false,
    table("Files with their checksums", [
      { title: "Path", cell: (file) => el("span", { class: "mono" }, file.path) },
      { title: "Rows", number: true, cell: (file) => count(file.rows) },
      { title: "Size", number: true, cell: (file) => bytes(file.bytes) },
      { title: "xxh3-128", cell: (file) => el("span", { class: "mono" }, file.xxh3_128) },
    ], view.files, { class: "scroll tall" }),
    hidden > 0 && el("p", { class: "quiet" }, `and ${count(hidden)} more: llada show ${quoted(view.node.name)} --json`));
}

function codePart(code) {
  const parts = Object.entries(code.parts || {});
  return section(`Code (${plural(parts.length, "part")})`, false,
    facts([["hash", el("span", { class: "mono" }, code.hash)], ["policy", code.policy], ["version", String(code.version)],
      ["commit", el("span", { class: "mono" }, code.commit || "unknown")],
      ["uncommitted", code.dirty_diff ? el("span", { class: "mono" }, `yes, diff ${short(code.dirty_diff)}`) : "no"]]),
    el("div", { class: "scroll tall mono parts", tabindex: 0, role: "region", "aria-label": "Functions it reaches" },
      el("ul", { class: "list" }, parts.map(([name, hash]) => el("li", null, name, el("span", { class: "quiet" }, ` ${short(hash)}`))))));
}

function identity(run, view) {
  const { node } = view;
  const mono = (text) => text && el("span", { class: "mono" }, text);
  return facts([
    ["key", mono(view.key)], ["digest", mono(node.digest)], ["folder", mono(view.folder)],
    ["built", view.created], ["in", duration(view.build_seconds)],
    ["by run", view.producer && (view.producer === run ? "this run" : el("a", { href: route("run", view.producer, "graph", node.name) }, view.producer))],
    ["names", view.refs.join(", ")],
    ["MLflow", view.mlflow && outside(view.mlflow, "open the run")],
  ]);
}
