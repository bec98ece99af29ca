// The list of all candidates: filtered by arm and standing, page by page; loaded while it is open.

import { byId, el, say, sync } from "./dom.js";
import { makeItem } from "./lists.js";

const PAGE = 25;
let page = 0;
let shown = "";

/** Offer the arms of the run as filters, and load the list again if it is open. */
export function showCandidates(state) {
  const arms = [{ arm: "", label: "every arm" }, ...state.arms];
  sync(byId("all-arm"), arms, (one) => one.arm, (one) => el("option", { value: one.arm }, one.label));
  load();
}

async function load() {
  if (!byId("all").open) return;
  const wanted = new URLSearchParams({ arm: byId("all-arm").value, standing: byId("all-standing").value, page });
  let found;
  try {
    const reply = await fetch(`/api/attempts?${wanted}`, { cache: "no-store" });
    if (!reply.ok) return;
    found = await reply.json();
  } catch {
    return; // the page says that the server is gone, and asks again
  }
  const text = JSON.stringify(found);
  if (text === shown) return;
  shown = text;
  const { items, total } = found;
  const first = page * PAGE;
  say(byId("all-range"), items.length ? `${first + 1}–${first + items.length} of ${total}` : `0 of ${total}`);
  byId("all-newer").disabled = page === 0;
  byId("all-older").disabled = first + PAGE >= total;
  byId("all-list").replaceChildren(...(items.length ? items.map(makeItem) : [el("li", { class: "empty" }, "None.")]));
}

function turn(to) {
  page = Math.max(0, to);
  load();
}

byId("all").addEventListener("toggle", load);
for (const id of ["all-arm", "all-standing"]) byId(id).addEventListener("change", () => turn(0));
byId("all-newer").addEventListener("click", () => turn(page - 1));
byId("all-older").addEventListener("click", () => turn(page + 1));
