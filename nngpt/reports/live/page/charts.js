// The charts: drawn from figures with their intervals, and updated in place.

import { byId, el, say, set, svg, sync } from "./dom.js";
import { armMark, armShape } from "./marks.js";

const HEIGHT = 196;
const EDGE = { left: 40, right: 10, top: 10, bottom: 24 };
const CHARTS = [
  { key: "validity", title: "Valid, of all written", full: true },
  { key: "mean", title: "Mean accuracy of the valid", threshold: true },
  { key: "best", title: "Best accuracy, of our loop where it trained again", threshold: true },
  { key: "above", title: "At or above the threshold, of all written", full: true },
  { key: "admitted", title: "Admitted, of the settled", full: true },
  { key: "corpus", title: "Networks admitted so far", count: true },
];

let last = null;

/** Draw or redraw all charts, the legend of the arms, and the table. */
export function showCharts(state) {
  last = state;
  sync(byId("arms"), state.arms, (a) => a.arm, (a) => el("li", {}, armMark(a.arm), el("span", {}, `${a.arm}: ${a.label}`)));
  sync(byId("charts"), CHARTS, (chart) => chart.key, makeChart, (node, chart) => draw(node, chart, state));
  showTable(state);
}

addEventListener("resize", () => last && showCharts(last));

function makeChart(chart) {
  const picture = svg("svg", { role: "img", tabindex: 0, height: HEIGHT });
  for (const part of ["grid", "axis", "plot", "cursor"]) picture.append(svg("g", { class: part }));
  const node = el("figure", {}, el("figcaption", {}, chart.title), picture, el("div", { class: "tip", hidden: "" }));
  picture.addEventListener("pointermove", (event) => point(node, chart, cycleAt(picture, event.offsetX)));
  picture.addEventListener("pointerleave", () => point(node, chart, null));
  picture.addEventListener("blur", () => point(node, chart, null));
  picture.addEventListener("keydown", (event) => step(node, chart, event));
  return node;
}

function cycleAt(picture, x) {
  const { run } = last;
  const wide = picture.clientWidth - EDGE.left - EDGE.right;
  const cycle = Math.floor(((x - EDGE.left) / wide) * Math.max(1, run.cycles)) + 1;
  return Math.min(Math.max(cycle, 1), Math.max(1, run.cycles));
}

function step(node, chart, event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const now = Number(node.dataset.cycle || (by > 0 ? 0 : last.run.cycles + 1)) + by;
  point(node, chart, Math.min(Math.max(now, 1), Math.max(1, last.run.cycles)));
}

function scales(chart, state, width) {
  const shown = state.series.flatMap((s) => s.cycles.map((c) => c[chart.key]).filter(Boolean));
  const [low, high, ticks] = range(chart, shown, state.run.threshold);
  const wide = width - EDGE.left - EDGE.right;
  const tall = HEIGHT - EDGE.top - EDGE.bottom;
  const count = Math.max(1, state.run.cycles);
  return {
    x: (cycle) => EDGE.left + (wide * (cycle - 0.5)) / count,
    y: (value) => EDGE.top + tall * (1 - (Math.min(Math.max(value, low), high) - low) / (high - low)),
    dodge: Math.min(7, (wide / count) * 0.25), size: count > 12 ? 3 : 4, ticks, right: width - EDGE.right, count, wide,
  };
}

function range(chart, shown, threshold) {
  if (chart.full) return [0, 1, [0, 0.25, 0.5, 0.75, 1]];
  if (chart.count) {
    const size = nice(Math.max(4, ...shown.map((f) => f.value)) / 4);
    return [0, 4 * size, [0, 1, 2, 3, 4].map((n) => n * size)];
  }
  // Intervals of two or three values are wide: the scale follows the values, with a margin.
  const values = shown.map((f) => f.value);
  if (threshold !== null && threshold !== undefined) values.push(threshold);
  if (!values.length) return [0, 1, [0, 0.25, 0.5, 0.75, 1]];
  const low = Math.max(0, Math.floor((Math.min(...values) - 0.08) * 10) / 10);
  const high = Math.min(1, Math.ceil((Math.max(...values) + 0.08) * 10) / 10);
  const by = high - low > 0.55 ? 0.2 : 0.1;
  const ticks = [];
  for (let tick = Math.ceil(low / by - 1e-9) * by; tick <= high + 1e-9; tick += by) ticks.push(tick);
  return [low, high, ticks];
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return Math.max(1, [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= value && Number.isInteger(n)) ?? 10 * power);
}

function draw(node, chart, state) {
  const picture = node.querySelector("svg");
  const width = Math.max(200, Math.round(node.clientWidth));
  const at = scales(chart, state, width);
  set(picture, { width, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-label": spoken(chart, state) });
  const [grid, axis, plot] = picture.children;
  drawGrid(grid, chart, state, at);
  drawAxis(axis, at);
  const arms = state.series.map((series, n) => ({ ...series, shift: (n - (state.series.length - 1) / 2) * at.dodge }));
  sync(plot, arms, (s) => s.arm, (s) => svg("g", { class: `a-${s.arm}` }), (group, s) => drawArm(group, chart, s, at));
  if (node.dataset.cycle) point(node, chart, Number(node.dataset.cycle));
}

function drawGrid(grid, chart, state, at) {
  const lines = at.ticks.map((tick) => ({ key: `t${tick.toFixed(4)}`, y: at.y(tick), text: chart.count ? String(tick) : `${Math.round(tick * 100)}%` }));
  const threshold = state.run.threshold;
  if (chart.threshold && threshold !== null) lines.push({ key: "threshold", y: at.y(threshold), text: "threshold", mark: true });
  const make = (item) => svg("g", { class: item.mark ? "threshold" : null }, svg("line"), svg("text", {}, item.text));
  sync(grid, lines, (item) => item.key, make, (group, item) => {
    set(group.children[0], { x1: EDGE.left, x2: at.right, y1: item.y, y2: item.y });
    if (item.mark) set(group.children[1], { x: at.right, y: item.y - 4, "text-anchor": "end" });
    else set(group.children[1], { x: EDGE.left - 6, y: item.y + 3.5, "text-anchor": "end" });
  });
}

function drawAxis(axis, at) {
  const every = Math.ceil((at.count * 22) / at.wide);
  const cycles = Array.from({ length: at.count }, (_, n) => n + 1).filter((n) => (n - 1) % every === 0);
  sync(axis, cycles, (n) => n, (n) => svg("text", { "text-anchor": "middle" }, String(n)),
    (text, n) => set(text, { x: at.x(n), y: HEIGHT - 7 }));
}

function drawArm(group, chart, series, at) {
  const points = series.cycles.filter((c) => c[chart.key]).map((c) => {
    const figure = c[chart.key];
    return { ...figure, cycle: c.cycle, open: !c.closed, x: at.x(c.cycle) + series.shift, y: at.y(figure.value) };
  });
  const parts = [{ key: "line" }, ...points.map((p) => ({ ...p, key: p.cycle }))];
  sync(group, parts, (p) => p.key, (p) => makePart(p), (node, p) => {
    if (p.key === "line") return set(node, { d: points.map((q, n) => `${n ? "L" : "M"}${q.x.toFixed(1)} ${q.y.toFixed(1)}`).join("") });
    set(node, { class: p.open ? "point open" : "point" });
    set(node.children[0], p.low === null ? { d: "" } : { d: whisker(p.x, at.y(p.low), at.y(p.high)) });
    const shape = armShape(series.arm, p.x, p.y, at.size);
    if (node.children[1]?.tagName === shape.tagName) set(node.children[1], Object.fromEntries([...shape.attributes].map((a) => [a.name, a.value])));
    else node.append(shape);
  });
}

function makePart(part) {
  if (part.key === "line") return svg("path", { class: "line" });
  return svg("g", { class: "point" }, svg("path", { class: "whisker" }));
}

function whisker(x, low, high) {
  return `M${x} ${low}V${high}M${x - 2.5} ${low}h5M${x - 2.5} ${high}h5`;
}

function point(node, chart, cycle) {
  const tip = node.querySelector(".tip");
  const cursor = node.querySelector(".cursor");
  const found = cycle === null ? [] : figuresOf(chart, last, cycle);
  node.dataset.cycle = cycle ?? "";
  tip.hidden = !found.length;
  if (!found.length) return cursor.replaceChildren();
  const at = scales(chart, last, node.clientWidth);
  const x = at.x(cycle);
  cursor.replaceChildren(svg("line", { x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
  const rows = found.map(([arm, text]) => el("div", {}, armMark(arm), el("span", {}, text)));
  tip.replaceChildren(el("b", {}, `Cycle ${cycle}`), ...rows);
  const left = x + 12 + tip.offsetWidth > node.clientWidth ? x - 12 - tip.offsetWidth : x + 12;
  tip.style.left = `${Math.max(0, left)}px`;
}

function figuresOf(chart, state, cycle) {
  return state.series.flatMap((series) => {
    const figure = series.cycles.find((c) => c.cycle === cycle)?.[chart.key];
    return figure ? [[series.arm, figure.text]] : [];
  });
}

function spoken(chart, state) {
  const newest = state.series.flatMap((series) => {
    const figure = series.cycles.at(-1)?.[chart.key];
    return figure ? [`${series.arm} ${figure.text}`] : [];
  });
  return `${chart.title}, last cycle: ${newest.join("; ") || "nothing yet"}`;
}

function showTable(state) {
  const table = byId("figures");
  if (!table.firstElementChild) {
    const heads = ["cycle", "arm", ...CHARTS.map((chart) => chart.title)];
    table.append(el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody"));
  }
  const rows = state.series.flatMap((s) => s.cycles.map((c) => ({ ...c, arm: s.arm })));
  rows.sort((a, b) => a.cycle - b.cycle);
  sync(table.lastElementChild, rows, (row) => `${row.cycle} ${row.arm}`,
    () => el("tr", {}, el("td"), el("td"), ...CHARTS.map(() => el("td"))),
    (tr, row) => [row.cycle, row.arm, ...CHARTS.map((chart) => row[chart.key]?.text ?? "–")].forEach((text, n) => say(tr.children[n], String(text))));
}
