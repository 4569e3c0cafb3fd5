// Elements made from values: text is always text, so nothing a corpus says can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (name === "style") {
      for (const [key, entry] of Object.entries(value)) node.style.setProperty(key, entry);
    } else if (name.startsWith("on") || name === "srcdoc") {
      throw new Error(`attribute ${name} is not for values`);
    } else if (name === "href" && !/^(#|https?:\/\/)/i.test(value)) {
      throw new Error("a link leads into this page or to a web server");
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** el("p", {class: "quiet"}, "text", el("b", null, "more")) */
function el(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function put(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

/** A link out of the page; anything but http and https stays plain text. */
function outside(url, text) {
  const safe = /^https?:\/\//i.test(url);
  if (!safe) return el("span", null, text);
  return el("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, text);
}

/** A link to a place in this page: each part is encoded, so a name cannot be a way. */
function route(...parts) {
  return "#/" + parts.map(encodeURIComponent).join("/");
}

function say(text) {
  document.getElementById("live").textContent = text;
}

function heading(level, text, props) {
  return el(`h${level}`, props, text);
}

/** A table of values; a column is {title, cell(row), number}. */
function table(caption, columns, rows, props) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption, ...props },
    el("table", null,
      el("caption", { class: "unseen" }, caption),
      el("thead", null, el("tr", null, columns.map((column) =>
        el("th", { scope: "col", class: column.number && "number" }, column.title)))),
      el("tbody", null, rows.map((row) => el("tr", { class: row.className },
        columns.map((column, at) => el(at === 0 ? "th" : "td",
          { scope: at === 0 && "row", class: [column.number && "number", column.class].filter(Boolean).join(" ") || null },
          column.cell(row)))))),
    ));
}

/** Names and values, one under the other. */
function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, shown.map(([name, value]) =>
    el("div", null, el("dt", null, name), el("dd", null, value))));
}

/** A command to copy. */
function command(text) {
  const code = el("code", { tabindex: 0 }, text);
  const button = el("button", { type: "button", class: "small", on: { click: copy } }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    say(`${button.textContent}: ${text}`);
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }
  return el("div", { class: "command" }, code, button);
}

function failure(error) {
  return el("p", { class: "notice", role: "alert" }, String(error.message || error));
}
