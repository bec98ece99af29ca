// The marks of candidates and arms: each state and arm has its own colour and shape.

import { svg } from "./dom.js";

const GROUPS = {
  parse: ["text", "P"], contract: ["text", "C"], safety: ["text", "S"],
  build: ["run", "B"], forward: ["run", "F"], train: ["run", "T"], judge: ["run", "J"],
  duplicate: ["copy", "D"], novelty: ["copy", "N"],
  threshold: ["low", ""],
};

const WORDS = {
  generated: "written", parsed: "read", validated: "waiting for training", training: "in training",
  trained: "trained", judged: "judged", admitted: "admitted",
};

const ORDER = [...Object.keys(WORDS), ...Object.keys(GROUPS)];

const circle = (r, more = {}) => svg("circle", { cx: 10, cy: 10, r, ...more });
const path = (d, more = {}) => svg("path", { d, ...more });
const DIAMOND = "M10 3.2L16.8 10L10 16.8L3.2 10Z";

const SHAPES = {
  room: () => [circle(2)],
  generated: () => [circle(6.5, { class: "hollow" })],
  parsed: () => [circle(6.5, { class: "hollow" }), circle(2.2)],
  validated: () => [path(DIAMOND, { class: "hollow" })],
  training: () => [circle(7, { class: "track" }), path("M10 3A7 7 0 0 1 17 10", { class: "arc" }), path("M8 6.8L13.2 10L8 13.2Z")],
  trained: () => [path("M4 4H16V16H4Z")],
  judged: () => [path(DIAMOND)],
  admitted: () => [circle(8), path("M6.2 10.3L9 13L13.9 7.4", { class: "tick" })],
  text: () => [svg("rect", { x: 2.5, y: 2.5, width: 15, height: 15, rx: 2.5, class: "box" })],
  run: () => [path("M6.6 1.8H13.4L18.2 6.6V13.4L13.4 18.2H6.6L1.8 13.4V6.6Z", { class: "box" })],
  copy: () => [svg("rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 1.5, class: "box" }), svg("rect", { x: 4.5, y: 4.5, width: 14, height: 14, rx: 1.5, class: "box front" })],
  low: () => [path("M2.5 2.5H17.5V10.5L10 18L2.5 10.5Z", { class: "box" }), path("M10 5.5V13M7 10.2L10 13.2L13 10.2", { class: "stroke" })],
};

/** Return the mark of a candidate; "room" marks a place for one that is not written yet. */
export function mark(state, stage) {
  const [shape, letter] = stage ? GROUPS[stage] : [state, ""];
  const root = svg("svg", { viewBox: "0 0 20 20", class: `mark m-${shape}`, "aria-hidden": "true" }, ...SHAPES[shape]());
  if (letter) {
    const shift = shape === "copy" ? 1.5 : 0;
    root.append(svg("text", { x: 10 + shift, y: 13.8 + shift, "text-anchor": "middle" }, letter));
  }
  return root;
}

/** Return the meaning of a mark in a few words. */
export const wordFor = (state, stage) => (stage ? `refused: ${stage}` : WORDS[state]);

/** Return the position of a mark in the legend. */
export const rankOf = (state, stage) => ORDER.indexOf(stage || state);

const ARMS = {
  loop: (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  base: (x, y, r) => svg("path", { d: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z` }),
  corpus: (x, y, r) => svg("path", { d: `M${x} ${y - 1.25 * r}L${x + 1.2 * r} ${y + r}H${x - 1.2 * r}Z` }),
};

/** Return an arm's shape for a chart, centred on (x, y). */
export const armShape = (arm, x, y, r) => ARMS[arm](x, y, r);

/** Return an arm's mark with a piece of its line, for use in text. */
export function armMark(arm) {
  return svg("svg", { viewBox: "0 0 26 14", class: `arm a-${arm}`, "aria-hidden": "true" },
    svg("path", { d: "M1 7H25", class: "line" }), armShape(arm, 13, 7, 4));
}
