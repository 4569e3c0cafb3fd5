// Where the page's data comes from: its server, or the file it stands in.

const boot = JSON.parse(document.getElementById("boot").textContent);

async function ask(path, query) {
  let answer;
  try {
    answer = await fetch(`${path}?${new URLSearchParams(query)}`);
  } catch {
    throw new Error("The server does not answer. Start `llada ui` again and reload this page.");
  }
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error || `the server answered ${answer.status}`);
  return value;
}

const fromServer = {
  runs: (q, offset, limit) => ask("/api/runs", { q, offset, limit }),
  run: (run) => ask("/api/run", { run }),
  stage: (run, stage) => ask("/api/stage", { run, stage }),
  compare: (a, b) => ask("/api/compare", { a, b }),
  search: (q) => ask("/api/search", { q }),
  document: (id) => ask("/api/document", { id }),
};

function withStore(verb) { return `llada ${verb} --store ${quoted(boot.store)}`; }

function elsewhere(what, verb) {
  const error = new Error(`This file holds run ${boot.run} only. ${what}`);
  error.command = withStore(verb);
  return error;
}

const fromFile = {
  async runs(q, offset, limit) {
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = boot.runs.rows.filter((row) => {
      const text = `${row.run_id} ${row.recipe} ${row.status} ${row.command}`.toLowerCase();
      return words.every((word) => text.includes(word) || (row.commit || "").startsWith(word));
    });
    return { total: rows.length, offset, rows: rows.slice(offset, offset + limit) };
  },
  async run(run) {
    if (run !== boot.run) throw elsewhere("To see this one:", `ui --run ${quoted(run)}`);
    return boot.view;
  },
  async stage(run, stage) {
    if (run !== boot.run || !Object.hasOwn(boot.stages, stage)) {
      throw elsewhere("To see this one:", `ui --run ${quoted(run)}`);
    }
    const view = boot.stages[stage];
    if (view.code && !view.code.parts) view.code.parts = boot.codes[view.code.hash] || {};
    return view;
  },
  async compare(a, b) {
    const inside = boot.comparison;
    if (inside && inside.a.run_id === a && inside.b.run_id === b) return inside;
    throw elsewhere("To compare these two:", `ui --run ${quoted(b)} --against ${quoted(a)}`);
  },
  async search(q) {
    const page = await fromFile.runs(q, 0, 20);
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const artifacts = Object.values(boot.stages).filter((view) => view.folder).map((view) => ({
      name: view.node.name, kind: view.node.kind, digest: view.node.digest || "", run_id: boot.run,
      path: view.node.path, rows: view.node.ledger ? view.node.ledger.kept.rows : 0,
      unit: view.node.ledger ? view.node.ledger.unit : "", created: view.created || "",
    })).filter((row) => words.every((word) =>
      [row.name, row.kind, row.path].some((text) => text.includes(word)) || row.digest.startsWith(word)));
    return { runs: page.rows, runs_total: page.total, artifacts, artifacts_total: artifacts.length };
  },
  async document(id) { throw elsewhere("To follow a document, ask:", `explain ${quoted(id)}`); },
};

const source = boot.mode === "served" ? fromServer : fromFile;
