// The list of runs: filter, page by page, pick two to compare.

const ROWS = 50;
const picked = [];

async function runsPage(query, offset) {
  const page = await source.runs(query, offset, ROWS);
  const bar = el("div", { class: "pick", role: "status" });
  const refresh = () => put(bar, picking());
  refresh();
  const filter = el("input", { type: "search", "aria-label": "Filter runs", placeholder: "Filter by recipe, id, status, commit", value: query });
  const form = el("form", { class: "filter", on: { submit: (event) => { event.preventDefault(); location.hash = route("runs", filter.value); } } },
    filter, el("button", { type: "submit", class: "small" }, "Filter"));
  return el("div", null,
    el("div", { class: "title" }, heading(1, "Runs", { tabindex: -1 }), el("p", { class: "quiet" }, told(page, query))),
    el("div", { class: "line-up" }, form, bar),
    page.rows.length ? runTable(page.rows, refresh) : el("p", { class: "quiet" }, "No run matches."),
    pager(page, query));
}

function told(page, query) {
  const all = plural(page.total, "run");
  const part = boot.mode === "file" && boot.runs_total > boot.runs.rows.length
    ? ` This file lists the newest ${count(boot.runs.rows.length)} of ${count(boot.runs_total)}.` : "";
  return (query ? `${all} matching “${query}”.` : `${all}, newest first.`) + part;
}

function runTable(rows, refresh) {
  const box = (row) => el("input", {
    type: "checkbox", "aria-label": `Compare run ${row.run_id}`, checked: picked.some((one) => one.run_id === row.run_id),
    on: { change: (event) => {
      const at = picked.findIndex((one) => one.run_id === row.run_id);
      if (at >= 0) picked.splice(at, 1);
      if (event.target.checked) picked.push(row);
      refresh();
    } },
  });
  return table("Runs, newest first", [
    { title: "Run", cell: (row) => el("a", { href: route("run", row.run_id) }, row.run_id) },
    { title: "Recipe", cell: (row) => row.recipe },
    { title: "Status", cell: (row) => chip(statusOf(row.status)) },
    { title: "Started", cell: (row) => when(row.started) },
    { title: "Took", number: true, cell: (row) => duration(row.seconds) },
    { title: "Stages", class: "wide", cell: (row) => tally(row.counts) },
    { title: "Commit", cell: (row) => el("span", { class: "mono" }, short(row.commit)) },
    { title: "Pick", cell: box },
  ], rows);
}

function picking() {
  if (picked.length < 2) return el("span", { class: "quiet" }, picked.length ? "Pick one more to compare." : "Pick two runs to compare.");
  const [a, b] = picked.slice(-2).sort((one, other) => one.started - other.started);
  return el("a", { class: "button", href: route("compare", a.run_id, b.run_id) }, picked.length > 2 ? "Compare the last two picked" : "Compare the two");
}

function pager(page, query) {
  if (page.total <= ROWS) return null;
  const at = page.offset, last = Math.min(at + ROWS, page.total);
  const link = (offset, text, off) => (off ? el("span", { class: "quiet" }, text) : el("a", { href: route("runs", query, String(offset)) }, text));
  return el("nav", { class: "pager", "aria-label": "Pages of the list" },
    link(0, "Newest", at === 0), link(Math.max(0, at - ROWS), "Newer", at === 0),
    el("span", null, `${count(at + 1)} to ${count(last)} of ${count(page.total)}`),
    link(at + ROWS, "Older", last >= page.total),
    link(Math.floor((page.total - 1) / ROWS) * ROWS, "Oldest", last >= page.total));
}
