// The current cycle: a row for each arm, a cell for each candidate, and the legend.

import { byId, el, say, set, sync } from "./dom.js";
import { armMark, mark, rankOf, wordFor } from "./marks.js";

/** Show the rows; cells keep their node, and so the focus. */
export function showStrip(state) {
  const { run, strip } = state;
  say(byId("now-title"), run.cycle ? `Cycle ${run.cycle} of ${run.cycles}` : "This cycle");
  const closed = state.series.some((s) => s.cycles.at(-1)?.cycle === run.cycle && s.cycles.at(-1).closed);
  say(byId("now"), counts(strip, closed));
  if (!strip.length) return;
  sync(byId("strip"), strip, (row) => row.arm, makeRow, updateRow);
  showLegend(strip);
}

function counts(strip, closed) {
  const all = strip.flatMap((row) => row.cells);
  const settled = all.filter((cell) => ["admitted", "refused"].includes(cell.state)).length;
  const training = all.filter((cell) => cell.state === "training").length;
  if (!all.length) return "";
  const now = closed ? "; the cycle is closed" : training ? `, ${training} in training` : "";
  return `${settled} of ${all.length} written settled${now}`;
}

function makeRow(row) {
  const name = el("div", { class: "row-name" }, armMark(row.arm), el("span", {}, row.arm));
  const cells = el("div", { class: "cells", role: "group", "aria-label": `Candidates of ${row.arm}` });
  cells.addEventListener("keydown", move);
  cells.addEventListener("focusin", (event) => rove(cells, event.target));
  return el("div", { class: "row" }, name, cells);
}

function updateRow(node, row) {
  const cells = node.lastElementChild;
  const room = Array.from({ length: row.expected - row.cells.length }, (_, n) => ({ room: row.cells.length + n }));
  const numbered = row.cells.map((cell, n) => ({ ...cell, place: n }));
  sync(cells, [...numbered, ...room], (cell) => cell.place ?? cell.room, () => el("span", { class: "cell" }), updateCell);
  const links = [...cells.querySelectorAll("a")];
  if (links.length && !links.some((link) => link.tabIndex === 0)) links[0].tabIndex = 0;
}

function updateCell(node, cell) {
  const look = cell.id === undefined ? "room" : `${cell.id} ${cell.state} ${cell.stage} ${cell.text}`;
  if (node.dataset.look === look) return;
  node.dataset.look = look;
  if (cell.id === undefined) return node.replaceChildren(mark("room"));
  let link = node.querySelector("a");
  if (!link) {
    link = el("a", { tabindex: -1 });
    node.replaceChildren(link);
  }
  set(link, { href: `#attempt-${cell.id}`, title: cell.text, "aria-label": cell.text, class: cell.repair ? "repair" : null });
  link.replaceChildren(mark(cell.state, cell.stage));
}

// One tab stop per row; the arrow keys move within it.
function move(event) {
  const links = [...event.currentTarget.querySelectorAll("a")];
  const here = links.indexOf(document.activeElement);
  const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: links.length - 1 }[event.key];
  if (here < 0 || links[goal] === undefined) return;
  event.preventDefault();
  links[goal].focus();
}

function rove(cells, link) {
  for (const other of cells.querySelectorAll("a")) other.tabIndex = other === link ? 0 : -1;
}

function showLegend(strip) {
  const seen = new Map();
  for (const cell of strip.flatMap((row) => row.cells)) seen.set(wordFor(cell.state, cell.stage), cell);
  const entries = [...seen.entries()].sort(([, a], [, b]) => rankOf(a.state, a.stage) - rankOf(b.state, b.stage));
  const make = ([word, cell]) => el("li", {}, mark(cell.state, cell.stage), el("span", {}, word));
  sync(byId("legend"), entries, ([word]) => word, make);
}
