// A loss curve: the mean as a line, least and most as a band, two axes with round numbers.

const CHART = { height: 220, left: 46, right: 12, top: 12, bottom: 30 };

function ticks(low, high, wanted) {
  const span = high - low || 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function lossCurve(series, name, width) {
  const { mean, low, high, every, steps } = series;
  const bottom = Math.min(...low), top = Math.max(...high);
  const x = (at) => CHART.left + (width - CHART.left - CHART.right) * (mean.length > 1 ? at / (mean.length - 1) : 0.5);
  const y = (value) => CHART.top + (CHART.height - CHART.top - CHART.bottom) * (top > bottom ? (top - value) / (top - bottom) : 0.5);
  const way = (values) => values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)},${y(value).toFixed(1)}`).join("");
  const told = `${name}: loss ${figure(mean[0])} at the first of ${count(steps)} steps, ${figure(mean[mean.length - 1])} at the last, lowest ${figure(bottom)}`;
  const around = way(high) + [...low].map((value, at) => [value, at]).reverse()
    .map(([value, at]) => `L${x(at).toFixed(1)},${y(value).toFixed(1)}`).join("") + "Z";
  const across = ticks(1, steps, 6);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${CHART.height}`, class: "chart", role: "img", "aria-label": told },
    ticks(bottom, top, 4).map((value) => [
      svg("line", { x1: CHART.left, x2: width - CHART.right, y1: y(value), y2: y(value), class: "grid" }),
      svg("text", { x: CHART.left - 8, y: y(value) + 4, class: "tick end" }, figure(value))]),
    across.map((step) => svg("text", { x: x((step - 1) / every), y: CHART.height - 10, class: "tick middle" }, brief(step))),
    every > 1 && svg("path", { d: around, class: "curve-band" }),
    svg("path", { d: way(mean), class: "curve" }));
  const note = every > 1 ? `Each point is the mean of ${every} steps, the band their least and most.` : "";
  return el("figure", null, picture, el("figcaption", { class: "quiet" },
    `${count(steps)} steps: ${figure(mean[0])} to ${figure(mean[mean.length - 1])}, lowest ${figure(bottom)}. ${note}`));
}

function sampleList(samples) {
  return el("ul", { class: "samples" }, samples.map((sample) => el("li", null,
    el("p", { class: "prompt" }, sample.prompt || ""),
    el("p", { class: "said" }, String(sample.text || "").trim().replace(/\s*\n\s*/g, " ↵ ") || "(nothing)"),
    Object.hasOwn(sample, "right") && el("p", { class: "quiet" },
      sample.right ? "✓ right" : `✕ wrong, it is ${plain(sample.answer)}`))));
}

/** The training page of a run: a curve for each model, samples of each report. */
async function trainingPage(run, nodes) {
  const wanted = nodes.filter((node) => ["model", "report"].includes(node.makes) || ["pretrain", "sft"].includes(node.kind));
  const some = wanted.slice(0, 24);
  const views = await Promise.all(some.map((node) => source.stage(run, node.name)));
  const shown = views.filter((view) => view.series || view.samples.length || Object.keys(view.metrics).length);
  if (!shown.length) return el("p", { class: "quiet" }, "No stage of this run has trained or measured a model yet.");
  return el("div", { class: "cards" },
    wanted.length > some.length && el("p", { class: "quiet" }, `The first ${some.length} of ${wanted.length} such stages; the others open from the graph.`),
    shown.map((view) => el("section", { class: "card" },
      heading(2, view.node.name), el("p", { class: "quiet" }, `${view.node.kind}, ${stateOf(view.node.state).word}`),
      view.series && lossCurve(view.series, view.node.name, 600),
      facts(Object.entries(view.metrics).map(([name, value]) => [name, figure(value)])),
      view.samples.length > 0 && sampleList(view.samples.slice(0, 8)))));
}
