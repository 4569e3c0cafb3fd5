// The dialogue: what was said, what is being denoised, and the form below.

const boot = JSON.parse(byId("boot").textContent);
const turns = []; // {role, content} as the server takes them
let running = null; // the AbortController of the answer in the making

function say(text) {
  byId("live").textContent = text;
}

function numberOf(id) {
  const value = byId(id).value;
  return value === "" ? null : Number(value);
}

/** The settings as the server allows them: no block beyond the length, as many steps in each. */
function settings() {
  const length = Math.max(1, numberOf("length") || 64);
  const block = Math.min(length, Math.max(1, numberOf("block") || 32));
  const blocks = Math.ceil(length / block);
  const each = Math.ceil((numberOf("steps") || length) / blocks);
  return {
    max_tokens: length,
    block_length: block,
    steps: Math.min(each, block) * blocks,
    temperature: numberOf("temperature") || 0,
    cfg_scale: numberOf("guidance") || 0,
    threshold: numberOf("threshold"),
    seed: numberOf("seed"),
  };
}

/** Scroll to the end, unless the reader has scrolled up. */
function follow(change) {
  const log = byId("log");
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  change();
  if (near) log.scrollTop = log.scrollHeight;
}

function showTurn(role, ...content) {
  byId("hint").hidden = true;
  const name = role === "user" ? "You" : "Model";
  const turn = el("div", { class: `turn ${role}` }, el("span", { class: "unseen" }, `${name}: `), content);
  byId("log").appendChild(turn);
  byId("log").scrollTop = byId("log").scrollHeight;
  return turn;
}

/** An answer while it is denoised, and after. */
function answerView(asked) {
  const length = Math.ceil(asked.max_tokens / asked.block_length) * asked.block_length;
  const slots = Array.from({ length }, maskMark);
  const said = el("div", { class: "said tokens" }, slots);
  const bar = el("progress", { class: "progress", max: asked.steps, value: 0, "aria-label": "Denoising" });
  const about = el("div", { class: "about quiet" }, bar, el("span", null, "waiting"));
  showTurn("assistant", said, about);
  let fresh = [];
  return {
    said,
    about,
    frame(data) {
      follow(() => {
        for (const mark of fresh) mark.classList.remove("new");
        fresh = data.tokens.map(([at, text]) => {
          const mark = tokenMark(text, data.step - 1, data.steps, `step ${data.step} of ${data.steps}`);
          mark.classList.add("new");
          slots[at].replaceWith(mark);
          slots[at] = mark;
          return mark;
        });
        bar.value = data.step;
        about.lastChild.textContent = `step ${data.step} of ${data.steps}`;
      });
    },
    finish(tokens, words) {
      follow(() => {
        said.replaceChildren(...tokens.map(([text, step]) => text !== "" &&
          tokenMark(text, step, asked.steps, `step ${step + 1} of ${asked.steps}`)).filter(Boolean));
        if (!said.childNodes.length) said.appendChild(el("span", { class: "quiet" }, "(an empty answer)"));
        about.replaceChildren(...words);
      });
    },
  };
}

async function answer() {
  const asked = settings();
  const view = answerView(asked);
  running = new AbortController();
  busy(true);
  const started = performance.now();
  let text = "", tokens = [], how = {}, used = {};
  try {
    const body = { messages: turns, stream: true, ...asked,
      stream_options: { include_usage: true, include_denoising: true } };
    for await (const { event, data } of eventsOf("/v1/chat/completions", body, byId("key").value, running.signal)) {
      if (event === "llada.denoising") view.frame(data);
      else if (event === "llada.answer") tokens = data.tokens;
      else {
        for (const choice of data.choices) text += choice.delta.content || "";
        how = data.llada || how;
        used = data.usage || used;
      }
    }
    turns.push({ role: "assistant", content: text });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    view.finish(tokens, [
      el("span", null, `${used.completion_tokens} tokens, ${how.forward_passes} passes, ${seconds} s, seed ${how.seed}`),
      el("button", { type: "button", class: "link retry", on: { click: retry } }, "Try again"),
    ]);
    say(`Answer: ${text || "empty"}`);
  } catch (error) {
    await failed(error, view);
  } finally {
    running = null;
    busy(false);
  }
}

/** An answer that did not come: the turns too many are left out, or the reason is shown. */
async function failed(error, view) {
  if (error.code === "context_length_exceeded" && turns.length > 2) {
    turns.splice(0, 2);
    view.said.parentNode.replaceWith(el("p", { class: "notice" },
      "The oldest question and answer no longer fit into the context and are left out."));
    return answer();
  }
  const stopped = error.name === "AbortError";
  const text = stopped ? "Stopped." : error.message;
  for (const mark of view.said.querySelectorAll(".mask")) mark.remove();
  view.about.replaceChildren(
    el("span", { class: stopped ? null : "notice bad", role: stopped ? null : "alert" }, text),
    el("button", { type: "button", class: "link retry", on: { click: retry } }, "Try again"));
  say(text);
}

/** Ask the last question again. */
function retry() {
  if (running) return;
  if (turns.length && turns.at(-1).role === "assistant") turns.pop();
  const answers = document.querySelectorAll(".turn.assistant");
  answers[answers.length - 1].remove();
  answer();
}

function busy(on) {
  byId("send").hidden = on;
  byId("stop").hidden = !on;
  for (const button of document.querySelectorAll(".retry")) button.hidden = on;
  const last = [...document.querySelectorAll(".retry")];
  last.slice(0, -1).forEach((button) => button.remove());
}

function submit(event) {
  event.preventDefault();
  const question = byId("question");
  if (running || !question.value.trim() || !byId("form").reportValidity()) return;
  // A question without an answer is asked no more.
  if (turns.length && turns.at(-1).role === "user") turns.pop();
  turns.push({ role: "user", content: question.value });
  showTurn("user", el("div", { class: "said" }, question.value));
  question.value = "";
  question.focus();
  answer();
}

function reset() {
  if (running) running.abort();
  turns.length = 0;
  for (const node of [...byId("log").children]) if (node.id !== "hint") node.remove();
  byId("hint").hidden = false;
  byId("question").focus();
}

function shading() {
  byId("log").classList.toggle("shaded", byId("shaded").checked);
}

byId("model").textContent = `${boot.model}, context ${boot.context}`;
byId("key-label").hidden = !boot.needsKey;
byId("legend").appendChild(legend());
byId("form").addEventListener("submit", submit);
byId("reset").addEventListener("click", reset);
byId("stop").addEventListener("click", () => running && running.abort());
byId("shaded").addEventListener("change", shading);
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
});
shading();
byId("question").focus();
