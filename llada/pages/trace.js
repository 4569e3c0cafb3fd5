// The player: which tokens stand after a step, and the way from one step to another.

const boot = JSON.parse(byId("boot").textContent);
const last = boot.steps;
let at = last; // how many steps are done
let timer = null;

const ended = boot.tokens.findIndex(([, step, , end]) => end && step >= 0);
const marks = boot.tokens.map(([text, step, confidence, end], place) => {
  if (step < 0) return { step: -1, now: el("span", { class: "stood" }, end ? "∎" : text) };
  const title = `fixed in step ${step + 1} of ${boot.steps}, probability ${(100 * confidence).toFixed(1)}%`;
  const shown = end ? "" : text;
  const mark = shown === "" && !end
    ? el("span", { class: `token ${shade(step, boot.steps)}`, title })
    : tokenMark(shown, step, boot.steps, title);
  if (ended >= 0 && place > ended) mark.classList.add("after");
  return { step, mark, mask: maskMark(), now: null };
});

function show(step) {
  at = Math.max(0, Math.min(last, step));
  for (const slot of marks) {
    if (slot.step < 0) continue;
    const wanted = slot.step < at ? slot.mark : slot.mask;
    if (slot.now !== wanted) {
      slot.now.replaceWith(wanted);
      slot.now = wanted;
    }
    slot.mark.classList.toggle("new", slot.step === at - 1 && at < last);
  }
  byId("step").value = at;
  byId("step").setAttribute("aria-valuetext", `step ${at} of ${last}`);
  byId("at").textContent = `step ${at} of ${last}`;
  byId("back").disabled = at === 0;
  byId("on").disabled = at === last;
  draw();
}

function pause() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "Play";
}

function play() {
  if (timer !== null) {
    pause();
    byId("live").textContent = `Paused at step ${at} of ${last}`;
    return;
  }
  if (at === last) show(0);
  byId("play").textContent = "Pause";
  timer = setInterval(() => {
    show(at + 1);
    if (at === last) {
      pause();
      byId("live").textContent = `Finished: ${byId("text").textContent}`;
    }
  }, 1000 / Number(byId("speed").value));
}

function step(by) {
  pause();
  show(at + by);
}

/** Every token as a mark in the row of its step; steps to come are faint. */
function draw() {
  const canvas = byId("order");
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const fixed = boot.tokens.filter(([, step]) => step >= 0);
  const margin = 8 * ratio;
  const wide = (canvas.width - 2 * margin) / Math.max(1, fixed.length);
  const high = (canvas.height - 2 * margin) / Math.max(1, boot.steps);
  pen.fillStyle = style.getPropertyValue("--accent");
  fixed.forEach(([, step], place) => {
    pen.globalAlpha = step < at ? 0.35 + (0.65 * step) / boot.steps : 0.08;
    pen.fillRect(margin + place * wide, margin + step * high, Math.max(ratio, wide - ratio), Math.max(1.5 * ratio, high - 0.5 * ratio));
  });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target.tagName;
  if (event.key === " " && on !== "BUTTON" && on !== "SELECT") play();
  else if (on === "SELECT" || event.target.id === "step") return; // they have keys of their own
  else if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else if (event.key === "Home") step(-last);
  else if (event.key === "End") step(last);
  else return;
  event.preventDefault();
}

for (const slot of marks) {
  if (slot.step >= 0) slot.now = slot.mark;
  byId("text").appendChild(slot.now);
}
byId("about").textContent = `${boot.model}; ${boot.settings}; ${boot.steps} steps, ${boot.passes} passes`;
byId("legend").appendChild(legend());
byId("step").max = last;
byId("step").addEventListener("input", (event) => { pause(); show(Number(event.target.value)); });
byId("play").addEventListener("click", play);
byId("back").addEventListener("click", () => step(-1));
byId("on").addEventListener("click", () => step(1));
byId("speed").addEventListener("change", () => { if (timer !== null) { pause(); play(); } });
byId("text").addEventListener("mouseover", (event) => { byId("hovered").textContent = event.target.title || ""; });
document.addEventListener("keydown", onKey);
addEventListener("resize", draw);
show(last);
