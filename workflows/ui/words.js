// Numbers, sizes, times and states as people read them.

const STATES = {
  RAN: { mark: "●", word: "ran", tone: "done" },
  REUSED: { mark: "○", word: "reused", tone: "calm" },
  RESUMED: { mark: "◐", word: "resumed", tone: "done" },
  RUNNING: { mark: "▶", word: "running", tone: "live" },
  FAILED: { mark: "✕", word: "failed", tone: "bad" },
  QUARANTINED: { mark: "◆", word: "quarantined", tone: "bad" },
  DRIFT: { mark: "△", word: "drift", tone: "warn" },
  INTERRUPTED: { mark: "◒", word: "interrupted", tone: "warn" },
  NOT_BEGUN: { mark: "·", word: "not begun", tone: "none" },
};

const STATUSES = {
  FINISHED: { mark: "●", word: "finished", tone: "done" },
  FAILED: { mark: "✕", word: "failed", tone: "bad" },
  KILLED: { mark: "◒", word: "stopped", tone: "warn" },
  INTERRUPTED: { mark: "◒", word: "interrupted", tone: "warn" },
  RUNNING: { mark: "▶", word: "running", tone: "live" },
  UNREADABLE: { mark: "?", word: "unreadable", tone: "bad" },
};

const CHANGES = {
  changed: { mark: "≠", word: "changed", tone: "changed" },
  follows: { mark: "≈", word: "follows", tone: "follows" },
  added: { mark: "+", word: "only later", tone: "changed" },
  removed: { mark: "−", word: "only earlier", tone: "warn" },
  same: { mark: "=", word: "same", tone: "unchanged" },
};

const UNKNOWN = { mark: "?", word: "unknown", tone: "none" };

function stateOf(name) { return Object.hasOwn(STATES, name) ? STATES[name] : UNKNOWN; }
function statusOf(name) { return Object.hasOwn(STATUSES, name) ? STATUSES[name] : UNKNOWN; }

function chip(state) {
  return el("span", { class: `chip ${state.tone}` },
    el("span", { class: "mark", "aria-hidden": "true" }, state.mark), state.word);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function count(value) { return value === null || value === undefined ? "" : whole.format(value); }

/** 976,293 stays; 1,234,567,890 becomes 1.23B. */
function brief(value) { return Math.abs(value) < 1e7 ? whole.format(value) : compact.format(value); }

function figure(value) {
  if (typeof value !== "number") return plain(value);
  if (Number.isInteger(value)) return whole.format(value);
  return Math.abs(value) >= 1e-3 ? small.format(value) : value.toExponential(2);
}

function percent(share) {
  if (share === null || share === undefined) return "";
  const value = share * 100;
  return value > 0 && value < 0.1 ? "<0.1%" : `${value.toFixed(value < 10 && value > 0 ? 1 : 0)}%`;
}

function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${at === 0 ? value : value.toPrecision(3)} ${units[at]}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

function when(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function plain(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function short(hash) { return hash ? String(hash).slice(0, 12) : ""; }

function plural(number, one, many) { return `${whole.format(number)} ${number === 1 ? one : many || one + "s"}`; }

/** A word quoted for a shell. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\"'\"'")}'`;
}

function tally(counts) {
  return Object.keys(STATES).filter((name) => counts[name])
    .map((name) => `${counts[name]} ${STATES[name].word}`).join(", ");
}
