// What a few words find: runs, artifacts, and the way of a document.

async function searchPage(query) {
  const found = await source.search(query);
  const way = el("div", { role: "status" });
  const look = async () => {
    put(way, el("p", { class: "quiet" }, "Looking through the documents…"));
    put(way, await documentWay(query));
  };
  // Reading every document of a large store is worth asking first, unless nothing else is meant.
  if (/\s/.test(query)) put(way, el("p", { class: "quiet" }, "A document is found by its id, one word."));
  else if (found.runs_total + found.artifacts_total === 0) look();
  else put(way, el("button", { type: "button", on: { click: look } }, "Look for a document with this id"));
  say(`${found.runs_total} runs and ${found.artifacts_total} artifacts found`);
  return el("div", null,
    el("div", { class: "title" }, heading(1, `“${query}”`, { tabindex: -1 })),
    heading(2, `Runs (${count(found.runs_total)})`),
    found.runs.length ? table("Runs found", [
      { title: "Run", cell: (row) => el("a", { href: route("run", row.run_id) }, row.run_id) },
      { title: "Recipe", cell: (row) => row.recipe },
      { title: "Status", cell: (row) => chip(statusOf(row.status)) },
      { title: "Started", cell: (row) => when(row.started) },
    ], found.runs) : el("p", { class: "quiet" }, "None."),
    found.runs_total > found.runs.length && el("p", null, el("a", { href: route("runs", query) }, "All of them")),
    heading(2, `Artifacts (${count(found.artifacts_total)})`),
    found.artifacts.length ? table("Artifacts found", [
      { title: "Artifact", cell: (row) => el("a", { href: route("run", row.run_id, "graph", row.name) }, `${row.name}@${short(row.digest)}`) },
      { title: "Kind", cell: (row) => row.kind },
      { title: "Rows", number: true, cell: (row) => `${count(row.rows)} ${row.unit}` },
      { title: "Built", cell: (row) => row.created.slice(0, 16).replace("T", " ") },
      { title: "By run", cell: (row) => row.run_id },
    ], found.artifacts) : el("p", { class: "quiet" }, "None."),
    found.artifacts_total > found.artifacts.length && el("p", { class: "quiet" }, `The newest ${found.artifacts.length} are shown.`),
    heading(2, "Document"), way);
}

async function documentWay(id) {
  let way;
  try {
    way = await source.document(id);
  } catch (error) {
    return el("div", null, el("p", { class: "quiet" }, error.message), error.command && command(error.command));
  }
  return el("div", { class: "card" },
    heading(3, way.doc_id), el("p", { class: "quiet" }, way.source),
    table("What each stage did with the document", [
      { title: "Stage", cell: (step) => step.stage },
      { title: "Artifact", cell: (step) => el("span", { class: "mono" }, step.artifact) },
      { title: "Verdict", cell: (step) => chip(step.kept ? { mark: "✓", word: "kept", tone: "done" } : { mark: "✕", word: "dropped", tone: "bad" }) },
      { title: "Rule", cell: (step) => el("span", { class: "mono" }, step.rule || "") },
      { title: "Found", number: true, cell: (step) => (step.value === null ? "" : `${step.feature} = ${figure(step.value)}`) },
      { title: "Limit", number: true, cell: (step) => (step.limit === null ? "" : figure(step.limit)) },
      { title: "Copy of", cell: (step) => step.duplicate_of || "" },
    ], way.steps),
    el("pre", { class: "text" }, way.text));
}
