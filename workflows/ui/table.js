// The graph as a table: the same stages, states and figures for who prefers rows.

function stageTable(nodes, edges, choose) {
  const from = new Map(nodes.map((node) => [node.name, []]));
  for (const edge of edges) from.get(edge.target).push(edge.source);
  const ledger = (node, side) => (node.ledger ? node.ledger[side].rows : null);
  const lost = (node) => (node.ledger && node.ledger.entered.rows
    ? 1 - node.ledger.kept.rows / node.ledger.entered.rows : null);
  return table("Stages of the run in the order of work", [
    { title: "Stage", cell: (node) => el("button", { type: "button", class: "link", on: { click: () => choose(node.name) } }, node.name) },
    { title: "Kind", cell: (node) => node.kind },
    { title: "State", cell: (node) => chip(stateOf(node.state)) },
    { title: "Follows", cell: (node) => from.get(node.name).join(", ") },
    { title: "In", number: true, cell: (node) => count(ledger(node, "entered")) },
    { title: "Kept", number: true, cell: (node) => count(ledger(node, "kept")) },
    { title: "Unit", cell: (node) => (node.ledger ? node.ledger.unit : "") },
    { title: "Dropped", number: true, cell: (node) => percent(lost(node)) },
    { title: "Bytes kept", number: true, cell: (node) => (node.ledger && node.ledger.kept.bytes ? bytes(node.ledger.kept.bytes) : "") },
    { title: "Tokens", number: true, cell: (node) => count(node.tokens) },
    { title: "Time", number: true, cell: (node) => duration(node.seconds) },
    { title: "Why", class: "wide", cell: (node) => node.error || node.why },
  ], nodes, { class: "scroll tall" });
}
