// Lists and tiles: notes, totals, latest and best candidates, gates, time.

import { byId, el, say, set, sync } from "./dom.js";
import { armMark, mark } from "./marks.js";

/** Show alarms and an early end; hide the list while it is empty. */
export function showNotes(notes) {
  byId("notes").hidden = !notes.length;
  sync(byId("notes"), notes, (note) => note.text, (note) => el("li", { class: note.kind }, note.text));
}

/** Show the loop's totals, and below each those of its control arms. */
export function showTotals(state, times) {
  const tiles = [...times, ...["validity", "admitted", "best"].map((key) => figureTile(state, key))];
  sync(byId("tiles"), tiles, (tile) => tile.key, makeTile, updateTile);
}

const TITLES = { validity: "Valid", admitted: "Admitted", best: "Best accuracy" };

function figureTile(state, key) {
  const [loop, ...controls] = state.totals;
  const figure = loop?.[key];
  const lines = controls.filter((c) => c[key]).map((c) => ({ arm: c.arm, text: `${c[key].short} ${c[key].range}` }));
  return { key, title: TITLES[key], value: figure?.short ?? "–", range: figure?.range ?? "", lines };
}

function makeTile() {
  return el("div", { class: "tile" }, el("h3"), el("p", { class: "value" }, el("b"), el("span")), el("div", { class: "lines" }));
}

function updateTile(node, tile) {
  say(node.querySelector("h3"), tile.title);
  say(node.querySelector("b"), tile.value);
  say(node.querySelector("span"), tile.range ?? "");
  const make = (line) => el("p", {}, ...(line.arm ? [armMark(line.arm)] : []), el("span"));
  sync(node.querySelector(".lines"), tile.lines, (line) => line.arm ?? line.key, make, (p, line) => say(p.lastElementChild, line.text));
}

/** Show how far the loop is ahead of each control arm, by intervals valid at any time. */
export function showLeads(leads) {
  const make = (lead) => el("p", {}, armMark(lead.arm), el("span"));
  sync(byId("leads"), leads, (lead) => lead.arm, make, (p, lead) => say(p.lastElementChild, lead.text));
}

/** Show a list of candidates: those settled last, or the best. */
export function showItems(id, items) {
  const list = byId(id);
  if (!items.length) return;
  sync(list, items, (item) => item.id, makeItem);
}

/** Return a candidate as an entry of a list. */
export function makeItem(item) {
  const name = el("a", { href: `#attempt-${item.id}` }, `#${item.id}`);
  const repairs = item.repairs === null ? "" : `repairs #${item.repairs}; `;
  const reason = el("span", { class: "reason", title: item.reason }, repairs + item.reason);
  const verdict = el("span", { class: "verdict" }, item.verdict);
  const figures = [el("b", {}, item.accuracy || "–"), el("span", { class: "dim" }, item.parameters ? `${item.parameters} parameters` : "not trained")];
  return el("li", {}, mark(item.state, item.stage),
    el("div", { class: "what" }, el("div", {}, name, " ", verdict), reason),
    el("div", { class: "from dim" }, armMark(item.arm), el("span", {}, `cycle ${item.cycle}`)),
    el("div", { class: "figures" }, ...figures));
}

/** Show a bar for each arm at each gate. */
export function showFunnel({ arms, steps }) {
  if (!steps.length) return;
  const make = (step) => el("div", { class: "gate" }, el("div", { class: "gate-name" }, el("b", {}, step.label), el("span", { class: "dim" }, step.detail)), el("div", { class: "gate-bars" }));
  sync(byId("funnel"), steps, (step) => step.label, make, (node, step) => {
    const bars = step.arms.map((bar, n) => ({ ...bar, arm: arms[n] })).filter((bar) => bar.left);
    sync(node.lastElementChild, bars, (bar) => bar.arm, makeBar, updateBar);
  });
}

function makeBar(bar) {
  const track = el("div", { class: "bar" }, el("i"), el("u"));
  return el("div", { class: `gate-bar a-${bar.arm}` }, track, el("span", { class: "gone" }), el("span", { class: "num" }));
}

function updateBar(node, bar) {
  const [fill, whisker] = node.firstElementChild.children;
  const { value, low, high, text } = bar.left;
  fill.style.width = `${100 * value}%`;
  whisker.style.left = `${100 * low}%`;
  whisker.style.width = `${100 * (high - low)}%`;
  say(node.children[1], bar.gone ? `−${bar.gone}` : "");
  say(node.children[2], text);
}

/** Show the time by activity: one bar, and a line for each activity. */
export function showTime(time) {
  say(byId("spent"), [time.overlapping && time.total ? "by stage; stages overlap" : time.total, time.energy].filter(Boolean).join(", "));
  if (!time.parts.length) return;
  const root = byId("time");
  if (!root.querySelector(".whole")) root.replaceChildren(el("div", { class: "whole", "aria-hidden": "true" }), el("ol", { class: "parts" }));
  const parts = time.parts.map((part, n) => ({ ...part, number: n + 1 }));
  sync(root.firstElementChild, parts, (part) => part.name, () => el("i"), (node, part) => {
    node.style.width = `${100 * part.share}%`;
    set(node, { class: `p${(part.number - 1) % 6}`, title: `${part.name}: ${part.text}` });
    say(node, part.share > 0.04 ? String(part.number) : "");
  });
  const make = (part) => el("li", {}, el("i"), el("span", {}, part.name), el("span", { class: "num" }), el("span", { class: "num dim" }));
  sync(root.lastElementChild, parts, (part) => part.name, make, (node, part) => {
    say(set(node.children[0], { class: `p${(part.number - 1) % 6}` }), String(part.number));
    say(node.children[2], part.text);
    say(node.children[3], part.energy);
  });
}
