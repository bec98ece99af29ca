// The panel with all facts about one candidate, which the URL's hash selects.

import { byId, el, say, svg } from "./dom.js";
import { mark } from "./marks.js";

let shown = null;
let look = "";
let opener = null;

/** Return the attempt that the URL selects, or null. */
export function wanted() {
  const found = /^#attempt-(\d{1,12})$/.exec(location.hash);
  return found ? found[1] : null;
}

/** Open, update or close the panel to match the URL; fetch again when the state has changed. */
export async function followHash(state) {
  const id = wanted();
  if (id === null) return close();
  const cell = state?.strip.flatMap((row) => row.cells).find((c) => String(c.id) === id);
  const now = `${id} ${cell?.text ?? ""}`;
  if (now === look) return;
  const opening = id !== shown;
  look = now;
  try {
    const reply = await fetch(`/api/attempt/${id}`, { cache: "no-store" });
    const attempt = await reply.json();
    if (wanted() !== id) return;
    if (reply.ok) show(attempt);
    else fail(id, attempt.error);
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
  say(byId("panel-title"), `#${id}`);
  byId("panel-mark").replaceChildren();
  byId("panel-body").replaceChildren(el("p", {}, why));
}

function show(attempt) {
  say(byId("panel-title"), `#${attempt.id}`);
  byId("panel-mark").replaceChildren(mark(attempt.state, attempt.stage));
  byId("panel-body").replaceChildren(...parts(attempt));
}

function* parts(a) {
  yield el("p", { class: "lead" }, a.verdict, ...(a.accuracy ? [", accuracy ", el("b", {}, a.accuracy)] : []));
  if (a.reason) yield el("p", { class: "why" }, a.reason);
  if (a.refusal) yield el("pre", { class: "detail", tabindex: 0 }, a.refusal);
  yield trail(a.trail);
  if (a.curve.length > 1) yield curve(a.curve);
  if (a.curve.length) yield epochs(a.curve);
  yield el("dl", {}, ...a.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  if (a.changed) yield* code("Change written by the LLM", a.changed);
  yield* code(a.title, a.code);
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
