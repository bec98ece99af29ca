// The panel with all facts about one candidate, or two side by side, which the URL's hash selects.

import { byId, el, say, svg } from "./dom.js";
import { mark } from "./marks.js";

let shown = null;
let look = "";
let opener = null;

/** Return the attempt that the URL selects, or two with a slash between them, or null. */
export function wanted() {
  const found = /^#attempt-(\d{1,12})(?:-(\d{1,12}))?$/.exec(location.hash);
  return found ? found.slice(1).filter(Boolean).join("/") : null;
}

/** Open, update or close the panel to match the URL; fetch again when the state has changed. */
export async function followHash(state) {
  const id = wanted();
  if (id === null) return close();
  const cells = state?.strip.flatMap((row) => row.cells).filter((c) => id.split("/").includes(String(c.id)));
  const now = `${id} ${cells?.map((cell) => cell.text)}`;
  if (now === look) return;
  const opening = id !== shown;
  look = now;
  try {
    const reply = await fetch(`/api/attempt/${id}`, { cache: "no-store" });
    const found = await reply.json();
    if (wanted() !== id) return;
    if (!reply.ok) fail(id, found.error);
    else if (found.pair) showPair(found);
    else show(found);
  } catch {
    look = "";
    return;
  }
  shown = id;
  if (opening) open();
}

function open() {
  if (byId("panel").hidden) opener = document.activeElement;
  byId("panel").hidden = false;
  byId("panel").scrollTop = 0;
  byId("panel-title").focus({ preventScroll: true });
}

function close() {
  if (byId("panel").hidden) return;
  byId("panel").hidden = true;
  shown = null;
  look = "";
  opener?.focus({ preventScroll: true });
}

/** Close on Escape and on the cross, without scrolling to the top. */
export function closable(changed) {
  const leave = (event) => {
    event.preventDefault();
    history.pushState(null, "", location.pathname);
    changed();
  };
  byId("panel-close").addEventListener("click", leave);
  addEventListener("keydown", (event) => event.key === "Escape" && wanted() !== null && leave(event));
}

function fail(id, why) {
  title(id.split("/"));
  byId("panel-body").replaceChildren(el("p", {}, why));
}

function title(ids, ...marks) {
  say(byId("panel-title"), ids.map((id) => `#${id}`).join(" and "));
  byId("panel-mark").replaceChildren(...marks);
}

function show(attempt) {
  title([attempt.id], mark(attempt.state, attempt.stage));
  byId("panel-body").replaceChildren(...parts(attempt));
}

function showPair({ pair, facts, diff }) {
  title(pair.map((one) => one.id));
  const head = (one) => el("th", { scope: "col" }, mark(one.state, one.stage), " ", el("a", { href: `#attempt-${one.id}` }, `#${one.id}`));
  const row = ([name, ...values]) => el("tr", { class: values[0] === values[1] ? null : "differs" }, el("th", { scope: "row" }, name), ...values.map((value) => el("td", {}, value)));
  byId("panel-body").replaceChildren(
    el("table", { class: "pair" }, el("thead", {}, el("tr", {}, el("td"), ...pair.map(head))), el("tbody", {}, ...facts.map(row))),
    el("div", { class: "code-head" }, el("h3", {}, `Code, from #${pair[0].id} to #${pair[1].id}`)),
    diff.length ? el("pre", { class: "diff", tabindex: 0 }, ...diff.map(diffLine)) : el("p", {}, "No line differs."));
}

function diffLine(line) {
  const changed = line.changed ? [el("mark", {}, line.changed)] : [];
  return el("span", { class: line.kind }, line.before, ...changed, line.after);
}

function* parts(a) {
  yield el("p", { class: "lead" }, a.verdict, ...(a.accuracy ? [", accuracy ", el("b", {}, a.accuracy)] : []));
  if (a.reason) yield el("p", { class: "why" }, a.reason);
  if (a.refusal) yield el("pre", { class: "detail", tabindex: 0 }, a.refusal);
  yield trail(a.trail);
  if (a.curve.length > 1) yield curve(a.curve);
  if (a.curve.length) yield epochs(a.curve);
  yield el("dl", {}, ...a.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  yield compare(a.id);
  if (a.changed) yield* code("Change written by the LLM", a.changed);
  yield* code(a.title, a.code);
}

function compare(id) {
  const other = el("input", { type: "number", min: 1, max: 999999999999 });
  other.addEventListener("change", () => { if (other.value) location.hash = `attempt-${id}-${other.value}`; });
  return el("p", { class: "compare" }, el("label", {}, "Compare with # ", other));
}

function trail(steps) {
  const item = (step) => el("li", {}, step.state, " ", el("time", { datetime: step.at, class: "dim" }, new Date(step.at).toLocaleTimeString([], { hour12: false })));
  return el("ol", { class: "trail", "aria-label": "History" }, ...steps.map(item));
}

function curve(points) {
  const high = Math.max(...points.map((p) => p.high));
  const low = Math.min(...points.map((p) => p.low));
  const x = (n) => 14 + (n * 372) / Math.max(1, points.length - 1);
  const y = (value) => 88 - ((value - low) / (high - low || 1)) * 76;
  const line = points.map((p, n) => `${n ? "L" : "M"}${x(n)} ${y(p.value)}`).join("");
  const whisker = (p, n) => svg("path", { class: "whisker", d: `M${x(n)} ${y(p.low)}V${y(p.high)}M${x(n) - 3} ${y(p.low)}h6M${x(n) - 3} ${y(p.high)}h6` });
  return svg("svg", { viewBox: "0 0 400 100", class: "curve a-loop", role: "img", "aria-label": "Accuracy by epoch" },
    svg("path", { class: "line", d: line }), ...points.map(whisker), ...points.map((p, n) => svg("circle", { cx: x(n), cy: y(p.value), r: 3.5 })));
}

function epochs(points) {
  const row = (p) => el("tr", {}, el("td", {}, String(p.epoch)), el("td", {}, p.text), el("td", {}, p.seconds));
  const heads = ["epoch", "accuracy", "time"].map((head) => el("th", { scope: "col" }, head));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...points.map(row)));
}

function* code(title, text) {
  const copy = el("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => navigator.clipboard.writeText(text).then(() => say(copy, "Copied"), () => say(copy, "Not allowed")));
  yield el("div", { class: "code-head" }, el("h3", {}, title), copy);
  yield el("pre", { tabindex: 0 }, text);
}
