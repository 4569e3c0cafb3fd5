// Elements made from values, and the tokens of a text by when they were fixed.
// Text goes in as text nodes only: nothing a model or a user says can become markup.

const SHADES = 8;

function el(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

function shade(step, steps) {
  return `s${Math.min(SHADES - 1, Math.floor((step * SHADES) / Math.max(steps, 1)))}`;
}

/** The place of a token that is still masked. */
function maskMark() {
  return el("span", { class: "mask", "aria-hidden": "true" });
}

/** A token that was fixed in a step, counted from 0; an empty text is the end of the answer. */
function tokenMark(text, step, steps, title) {
  if (text === "") return el("span", { class: `token end ${shade(step, steps)}`, title }, "∎");
  return el("span", { class: `token ${shade(step, steps)}`, title }, text);
}

function legend() {
  const strip = Array.from({ length: SHADES }, (_, at) => el("span", { class: `s${at}` }));
  return el("span", { class: "legend shaded" }, "fixed first",
    el("span", { class: "strip", "aria-hidden": "true" }, strip), "last");
}
