// The page of one run: its heading, four views of the same stages, a panel beside them.

const VIEWS = [["graph", "Graph"], ["table", "Table"], ["documents", "Documents"], ["training", "Training"]];

function runHead(view, shown, stage) {
  const { run } = view;
  const newer = [when(run.started), `${run.status === "RUNNING" ? "for" : "took"} ${duration(run.seconds)}`, tally(run.counts)];
  return el("div", { class: "title" },
    el("div", { class: "line-up" },
      el("div", null, heading(1, run.recipe, { tabindex: -1 }),
        el("p", { class: "run-id" }, el("span", { class: "mono" }, run.run_id), " ", chip(statusOf(run.status)))),
      el("nav", { class: "tabs", "aria-label": "Views of the run" }, VIEWS.map(([name, title]) =>
        el("a", { href: route("run", run.run_id, name, ...(stage ? [stage] : [])), "aria-current": name === shown && "page" }, title)))),
    el("p", { class: "quiet" }, newer.filter(Boolean).join(" · ")),
    el("p", { class: "quiet" }, el("span", { class: "mono" }, run.command),
      run.commit && [" at ", el("span", { class: "mono" }, short(run.commit))], view.dirty && " with uncommitted changes"));
}

async function runPage(run, shown, stage, keep) {
  const view = await source.run(run);
  const name = VIEWS.some(([known]) => known === shown) ? shown : "graph";
  const choose = (wanted) => {
    if (view.nodes.some((node) => node.name === wanted)) location.hash = route("run", run, name, wanted);
  };
  const body = await runBody(view, name, stage, choose);
  const panel = el("aside", { class: "panel", "aria-label": "Stage", hidden: !stage });
  const page = el("div", { class: "run" }, runHead(view, name, stage), el("div", { class: "split" }, body, panel));
  page.run = run;
  page.shown = name;
  page.status = view.run.status;
  page.select = (wanted, focus) => selectStage(page, run, name, body, panel, wanted, focus, choose);
  if (stage) await page.select(stage, !keep);
  return page;
}

async function runBody(view, name, stage, choose) {
  if (!view.nodes.length) return el("p", { class: "quiet" }, "This run had nothing to do yet.");
  if (name === "table") return stageTable(view.nodes, view.edges, choose);
  if (name === "documents") return documentFlow(view.nodes, view.edges);
  if (name === "training") return trainingPage(view.run.run_id, view.nodes);
  return drawGraph(view, stage, choose);
}

async function selectStage(page, run, shown, body, panel, stage, focus, choose) {
  if (body.mark) body.mark(stage);
  for (const tab of page.querySelectorAll(".tabs a")) {
    const way = tab.getAttribute("href").split("/").slice(0, 4);
    tab.setAttribute("href", (stage ? [...way, encodeURIComponent(stage)] : way).join("/"));
  }
  panel.hidden = !stage;
  if (!stage) return;
  const close = () => {
    location.hash = route("run", run, shown);
    const box = body.querySelector(`[data-stage="${CSS.escape(stage)}"]`);
    if (box) box.focus();
  };
  panel.onkeydown = (event) => { if (event.key === "Escape") close(); };
  try {
    const view = await source.stage(run, stage);
    put(panel, stagePanel(run, view, close, choose));
    panel.scrollTop = 0;
    if (body.mark) body.mark(stage);
    if (focus) panel.querySelector("#panel-title").focus({ preventScroll: true });
    say(`${stage}, ${stateOf(view.node.state).word}`);
  } catch (error) {
    put(panel, failure(error), error.command && command(error.command));
  }
}
