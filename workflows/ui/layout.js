// Layered layout of a graph: longest path, barycentre order, least-squares columns.

const BOX = { width: 212, height: 62, gapX: 34, gapY: 66, bend: 18 };

/** Returns {at: Map(name -> {x, y, layer}), lines: [{edge, points}], width, height}. */
function layout(names, edges) {
  const rank = ranks(names, edges);
  const { layers, chains, neighbours } = withBends(names, edges, rank);
  for (let sweep = 0; sweep < 10; sweep += 1) order(layers, neighbours, sweep % 2 === 0);
  const x = columns(layers, neighbours);
  let least = Infinity, most = -Infinity;
  for (const layer of layers) for (const item of layer) {
    least = Math.min(least, x.get(item) - item.width / 2);
    most = Math.max(most, x.get(item) + item.width / 2);
  }
  const at = new Map();
  for (const layer of layers) for (const item of layer) {
    item.x = x.get(item) - least;
    item.y = item.layer * (BOX.height + BOX.gapY);
    if (item.name !== null) at.set(item.name, { x: item.x, y: item.y, layer: item.layer });
  }
  const lines = chains.map(({ edge, items }) => ({ edge, points: points(items) }));
  const height = layers.length ? layers.length * (BOX.height + BOX.gapY) - BOX.gapY : 0;
  return { at, lines, width: layers.length ? most - least : 0, height };
}

/** The longest way from a source decides the layer; sources move down to their first reader. */
function ranks(names, edges) {
  const rank = new Map(names.map((name) => [name, 0]));
  const into = new Map(names.map((name) => [name, []]));
  const out = new Map(names.map((name) => [name, []]));
  for (const edge of edges) {
    into.get(edge.target).push(edge.source);
    out.get(edge.source).push(edge.target);
  }
  // Names come in an order in which each follows what it needs, so one pass is enough.
  for (const name of names) {
    for (const before of into.get(name)) rank.set(name, Math.max(rank.get(name), rank.get(before) + 1));
  }
  for (const name of [...names].reverse()) {
    if (!into.get(name).length && out.get(name).length) {
      rank.set(name, Math.min(...out.get(name).map((after) => rank.get(after))) - 1);
    }
  }
  return rank;
}

/** An edge over several layers gets a bend in each, so that lines go around boxes. */
function withBends(names, edges, rank) {
  const layers = [];
  const neighbours = new Map();
  const place = (item) => {
    (layers[item.layer] ||= []).push(item);
    neighbours.set(item, { up: [], down: [] });
    return item;
  };
  const box = new Map(names.map((name) =>
    [name, place({ name, layer: rank.get(name), width: BOX.width })]));
  const join = (upper, lower) => {
    neighbours.get(upper).down.push(lower);
    neighbours.get(lower).up.push(upper);
  };
  const chains = edges.map((edge) => {
    const items = [box.get(edge.source)];
    for (let layer = rank.get(edge.source) + 1; layer < rank.get(edge.target); layer += 1) {
      items.push(place({ name: null, layer, width: BOX.bend }));
    }
    items.push(box.get(edge.target));
    for (let step = 1; step < items.length; step += 1) join(items[step - 1], items[step]);
    return { edge, items };
  });
  for (let layer = 0; layer < layers.length; layer += 1) layers[layer] ||= [];
  return { layers, chains, neighbours };
}

function order(layers, neighbours, down) {
  const side = down ? "up" : "down";
  const index = new Map();
  for (const layer of layers) layer.forEach((item, position) => index.set(item, position));
  const sequence = down ? layers : [...layers].reverse();
  for (const layer of sequence) {
    const weight = new Map(layer.map((item) => {
      const near = neighbours.get(item)[side];
      const sum = near.reduce((total, other) => total + index.get(other), 0);
      return [item, near.length ? sum / near.length : index.get(item)];
    }));
    layer.sort((a, b) => weight.get(a) - weight.get(b) || index.get(a) - index.get(b));
    layer.forEach((item, position) => index.set(item, position));
  }
}

/** Each item goes where its neighbours are, as near as its own neighbours in the row allow. */
function columns(layers, neighbours) {
  const x = new Map();
  for (const layer of layers) {
    spread(layer, layer.map(() => 0)).forEach((value, at) => x.set(layer[at], value));
  }
  for (let sweep = 0; sweep < 16; sweep += 1) {
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      const wanted = layer.map((item) => {
        const near = [...neighbours.get(item).up, ...neighbours.get(item).down];
        return near.length ? near.reduce((sum, other) => sum + x.get(other), 0) / near.length : x.get(item);
      });
      spread(layer, wanted).forEach((value, at) => x.set(layer[at], value));
    }
  }
  // Last, from below: a box with one reader of its own stands over it, so that chains are straight.
  for (const layer of [...layers].reverse()) {
    const wanted = layer.map((item) => {
      const [only, ...others] = neighbours.get(item).down;
      const chained = only && !others.length && neighbours.get(only).up.length === 1;
      return x.get(chained ? only : item);
    });
    spread(layer, wanted).forEach((value, at) => x.set(layer[at], value));
  }
  return x;
}

/** Least-squares positions that keep their order and distance (pool adjacent violators). */
function spread(layer, wanted) {
  const offset = [0];
  for (let at = 1; at < layer.length; at += 1) {
    offset.push(offset[at - 1] + (layer[at - 1].width + layer[at].width) / 2 + BOX.gapX);
  }
  const pools = [];
  wanted.forEach((value, at) => {
    pools.push({ sum: value - offset[at], size: 1 });
    while (pools.length > 1) {
      const last = pools[pools.length - 1], before = pools[pools.length - 2];
      if (before.sum / before.size <= last.sum / last.size) break;
      pools.pop();
      before.sum += last.sum;
      before.size += last.size;
    }
  });
  const base = pools.flatMap((pool) => Array(pool.size).fill(pool.sum / pool.size));
  return layer.map((_, at) => base[at] + offset[at]);
}

function points(items) {
  const first = items[0], last = items[items.length - 1];
  const found = [[first.x, first.y + BOX.height]];
  for (const item of items.slice(1, -1)) found.push([item.x, item.y], [item.x, item.y + BOX.height]);
  found.push([last.x, last.y]);
  return found;
}

/** A smooth way through points that goes down at each of them. */
function curve(through) {
  let way = `M${through[0][0].toFixed(1)},${through[0][1].toFixed(1)}`;
  for (let at = 1; at < through.length; at += 1) {
    const [x0, y0] = through[at - 1], [x1, y1] = through[at];
    if (x0 === x1) { way += `L${x1.toFixed(1)},${y1.toFixed(1)}`; continue; }
    const middle = ((y0 + y1) / 2).toFixed(1);
    way += `C${x0.toFixed(1)},${middle} ${x1.toFixed(1)},${middle} ${x1.toFixed(1)},${y1.toFixed(1)}`;
  }
  return way;
}
