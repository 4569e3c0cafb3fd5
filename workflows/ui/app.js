// Routes: which page the address names, and what happens when it changes.

const main = document.getElementById("main");
let page = null;
let turn = 0;
let timer = 0;

function address() {
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return [""];
  }
}

async function open() {
  const [kind, ...rest] = address();
  if (kind === "runs") return runsPage(rest[0] || "", Math.max(0, Number(rest[1]) || 0));
  if (kind === "search" && rest[0]) return searchPage(rest[0]);
  if (kind === "compare" && rest.length >= 2) return comparePage(rest[0], rest[1]);
  if (kind === "run" && rest[0]) return runPage(rest[0], rest[1], rest[2] || null, page === null);
  if (boot.against && boot.run && page === null) return comparePage(boot.against, boot.run);
  if (boot.run) return runPage(boot.run, "graph", null, true);
  return el("div", { class: "title" }, heading(1, "No runs yet", { tabindex: -1 }),
    el("p", null, "This store holds no run. Make one:"), command("llada run workflows/recipes/demo.yaml"));
}

async function go() {
  clearTimeout(timer);
  const [kind, run, shown, stage] = address();
  if (kind === "run" && page && page.run === run && page.shown === (shown || "graph")) {
    await page.select(stage || null, true);
    watch();
    return;
  }
  const mine = ++turn;
  const first = page === null;
  const samePage = page && page.run === run;
  let next;
  try {
    next = await open();
  } catch (error) {
    next = el("div", { class: "title" }, heading(1, "Not here", { tabindex: -1 }), failure(error), error.command && command(error.command));
  }
  if (mine !== turn) return; // a later click was faster
  page = next;
  put(main, next);
  const title = next.querySelector("h1");
  document.title = title ? `${title.textContent} – llada` : "llada";
  document.getElementById("nav-runs").toggleAttribute("aria-current", kind === "runs");
  if (samePage) { const tab = next.querySelector(".tabs [aria-current]"); if (tab) tab.focus(); }
  else if (!first && title && !next.contains(document.activeElement)) { title.focus({ preventScroll: true }); scrollTo(0, 0); }
  watch();
}

/** A run that goes on is drawn anew now and then; focus stays on the stage that has it. */
function watch() {
  if (boot.mode !== "served" || !page || page.status !== "RUNNING") return;
  timer = setTimeout(async () => {
    const mine = ++turn;
    const active = document.activeElement;
    const focused = active && active.dataset ? active.dataset.stage : null;
    const [, , shown, stage] = address();
    try {
      const next = await runPage(page.run, shown, stage || null, true);
      if (mine !== turn) return;
      const old = page.querySelector(".viewport"), where = old && [old.scrollLeft, old.scrollTop];
      page = next;
      put(main, next);
      const view = next.querySelector(".viewport");
      if (where && view) [view.scrollLeft, view.scrollTop] = where;
      if (focused) next.querySelector(`[data-stage="${CSS.escape(focused)}"]`)?.focus();
    } catch (error) {
      put(document.getElementById("notices"), failure(error));
    }
    watch();
  }, 5000);
}

function notices() {
  const lines = [];
  if (boot.mode === "file") {
    const listed = boot.runs.rows.length;
    const others = boot.runs_total > 1 ? ` and the list of ${listed === boot.runs_total ? "all" : `the newest ${count(listed)} of`} ${plural(boot.runs_total, "run")}` : "";
    lines.push(el("p", { class: "notice calm" }, `A saved page: it holds run ${boot.run} whole${others}. `,
      "For every run and for documents: ", el("code", null, withStore("ui"))));
  }
  if (boot.problems_total) {
    lines.push(el("details", { class: "notice" }, el("summary", null, `${plural(boot.problems_total, "file")} of the store could not be read`),
      el("ul", null, boot.problems.map((problem) => el("li", null, problem)))));
  }
  put(document.getElementById("notices"), lines);
}

document.getElementById("store").textContent = boot.store;
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = document.getElementById("query").value.trim();
  if (query) location.hash = route("search", query);
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    document.getElementById("query").focus();
  }
});
addEventListener("hashchange", go);
notices();
go();
