// Poll the server for changes and show them; update the clock in between.

import { showCandidates } from "./candidates.js";
import { showCharts } from "./charts.js";
import { byId, say, set } from "./dom.js";
import { showFunnel, showItems, showLeads, showNotes, showTime, showTotals } from "./lists.js";
import { closable, followHash } from "./panel.js";
import { showStrip } from "./strip.js";

const EVERY_MS = 1500;
const HIDDEN_MS = 10000;

let state = null;
let tag = null;
let clockOffset = 0; // server clock minus local clock, in ms
let answered = null;

async function ask() {
  const found = await fetched();
  if (!found) return warn(gone());
  const { reply, body } = found;
  answered = new Date();
  const offset = Date.parse(reply.headers.get("Date")) - Date.now();
  if (Math.abs(offset - clockOffset) > 2000) clockOffset = offset; // the header has whole seconds
  if (reply.status === 200) {
    state = body;
    tag = reply.headers.get("ETag");
    show();
  }
  warn(body?.error ? `Cannot be read at the moment, retrying: ${body.error}` : "");
}

async function fetched() {
  try {
    const reply = await fetch("/api/run", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
    return { reply, body: reply.status === 304 ? null : await reply.json() };
  } catch {
    return null;
  }
}

function gone() {
  const since = answered ? `; the page is from ${time(answered)}` : "";
  return `The server has stopped${since}. Restart it with --port ${location.port} to continue.`;
}

function warn(text) {
  say(byId("banner"), text);
  byId("banner").hidden = !text;
  document.body.classList.toggle("stale", Boolean(text));
  tick();
}

function show() {
  const { run } = state;
  document.title = `${run.cycle}/${run.cycles} ${run.name}`;
  say(byId("name"), run.name);
  say(byId("facts"), run.facts.join(" · "));
  showNotes(state.notes);
  showStrip(state);
  showLeads(state.leads);
  showCharts(state);
  showItems("feed", state.feed);
  showItems("best", state.best);
  showCandidates(state);
  showFunnel(state.funnel);
  showTime(state.time);
  tick();
  followHash(state);
}

const STATUS = { running: "running", done: "done", idle: "idle: not running", archived: "archived" };

function tick() {
  if (!state) return;
  const { run } = state;
  const stale = document.body.classList.contains("stale");
  set(say(byId("status"), stale ? `was ${run.status}` : STATUS[run.status]), { class: `pill ${stale ? "unknown" : run.status}` });
  const last = new Date(run.last);
  say(byId("seen"), `Started ${moment(new Date(run.created))}, last change ${ago(now() - last)}`);
  showTotals(state, [cycleTile(run), elapsedTile(run), endTile(run, state.forecast)]);
}

function cycleTile(run) {
  const loop = state.totals[0];
  const lines = loop ? [{ key: "n", text: `${loop.settled} of ${loop.written} settled` }] : [{ key: "n", text: "nothing written yet" }];
  return { key: "cycle", title: "Cycle", value: String(run.cycle), range: `of ${run.cycles}`, lines };
}

function elapsedTile(run) {
  const until = run.status === "running" ? now() : new Date(run.last);
  const busy = state.time.overlapping || !state.time.total ? "" : `${state.time.total} active`;
  return { key: "elapsed", title: "Elapsed", value: span(until - new Date(run.created)), lines: [{ key: "busy", text: busy }] };
}

function endTile(run, forecast) {
  const tile = { key: "end", title: "Expected end", value: "–", lines: [{ key: "how", text: "no forecast" }] };
  if (run.status === "done") return { ...tile, title: "Ended", value: moment(new Date(run.last)), lines: [{ key: "how", text: "" }] };
  if (run.status !== "running") return { ...tile, lines: [{ key: "how", text: "not running" }] };
  if (!forecast) return tile;
  const late = now() > new Date(forecast.high) ? "later than expected" : `as of ${moment(new Date(forecast.created))}`;
  const range = `[${moment(new Date(forecast.low))} – ${moment(new Date(forecast.high))}]`;
  return { ...tile, value: moment(new Date(forecast.end)), lines: [{ key: "range", text: range }, { key: "how", text: late }] };
}

const now = () => new Date(Date.now() + clockOffset);
const time = (at) => at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });

function moment(at) {
  const today = at.toDateString() === now().toDateString();
  return today ? time(at) : `${at.toLocaleDateString([], { day: "numeric", month: "short" })} ${time(at)}`;
}

function span(ms) {
  const minutes = Math.max(0, Math.floor(ms / 60000));
  if (minutes < 2) return `${Math.max(0, Math.round(ms / 1000))} s`;
  if (minutes < 100) return `${minutes} min`;
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

const ago = (ms) => (ms < 3000 ? "just now" : `${span(ms)} ago`);

closable(() => followHash(state));
addEventListener("hashchange", () => followHash(state));
setInterval(tick, 1000);

addEventListener("visibilitychange", () => document.hidden || ask());

function watch() {
  ask().finally(() => setTimeout(watch, document.hidden ? HIDDEN_MS : EVERY_MS));
}

watch();
