/* Puts what the server sends in its place. The server writes all words; here are only clocks. */
"use strict";

(() => {
  const page = document.getElementById("run");
  const held = JSON.parse(document.getElementById("held").textContent);
  const line = document.getElementById("line");
  const parts = new Map();
  for (const one of page.querySelectorAll("[data-part]")) parts.set(one.dataset.part, one);
  let whose = "";
  let heard = Date.now();
  const skew = Date.now() / 1000 - held.at;

  function duration(seconds) {
    if (seconds < 9.95) return `${Math.max(0, Math.floor(seconds))} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min`;
    const minutes = Math.round(whole / 60);
    if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    const hours = Math.round(minutes / 60);
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }

  function tick() {
    const now = Date.now() / 1000 - skew;
    for (const one of page.querySelectorAll("time[data-at]")) {
      const words = `${duration(now - Number(one.dataset.at))} ago`;
      if (one.textContent !== words) one.textContent = words;
    }
    if (Date.now() - heard > 40000) say("lost", "the connection to the dashboard is lost; it is tried again");
  }

  function say(how, words) {
    if (line.textContent === words) return;
    line.className = `line ${how}`;
    line.textContent = words;
  }

  /* Rows of sites: only cells that changed, and no more of them a frame than it has time for. */
  const rows = new Map();
  const mould = document.createElement("template");
  function putRows() {
    const until = performance.now() + 8;
    for (const [name, html] of rows) {
      if (performance.now() > until) break;
      rows.delete(name);
      const place = parts.get(name);
      mould.innerHTML = `<table><tr>${html}</tr></table>`;
      const fresh = [...mould.content.querySelector("tr").children];
      if (!place) continue;
      fresh.forEach((cell, at) => {
        const there = place.children[at];
        if (there.innerHTML !== cell.innerHTML) there.innerHTML = cell.innerHTML;
      });
    }
    if (rows.size) requestAnimationFrame(putRows);
    else { filter(); tick(); }
  }

  function put(name, html) {
    if (name.startsWith("site-")) {
      if (!rows.size) requestAnimationFrame(putRows);
      rows.set(name, html);
      return;
    }
    const place = parts.get(name);
    if (!place) return;
    const open = [...place.querySelectorAll("details")].map((one) => one.open);
    const focused = place.contains(document.activeElement) && document.activeElement.tagName;
    place.innerHTML = html;
    place.querySelectorAll("details").forEach((one, at) => { one.open = Boolean(open[at]); });
    if (focused) place.querySelector(focused.toLowerCase())?.focus();
  }

  const find = document.getElementById("find");
  const troubled = document.getElementById("troubled");
  function filter() {
    if (!find) return;
    const wanted = find.value.trim().toLowerCase();
    for (const row of page.querySelectorAll(".sites tbody tr")) {
      const ill = row.querySelector(".state.late, .state.gone, .state.quarantined, .state.refused");
      row.hidden = !row.dataset.name.toLowerCase().includes(wanted) || (troubled.checked && !ill);
    }
  }

  function curves(all) {
    for (const one of all) Charts.take(one.fold, one.rounds, one.training_loss, one.validation_loss, one.validation_auc);
  }

  let asking = false;
  async function ofSite() {
    if (asking) return;
    asking = true;
    const site = whose;
    try {
      const answer = await fetch(page.dataset.sites + encodeURIComponent(site));
      if (answer.ok && site === whose) curves(await answer.json());
    } finally {
      asking = false;
      if (site !== whose) whose ? ofSite() : everybody();
    }
  }

  let pooled = held.curves;
  function everybody() {
    Charts.clear();
    curves(pooled);
  }

  const choice = document.getElementById("whose");
  choice?.addEventListener("change", () => {
    whose = choice.value;
    Charts.clear();
    if (whose) ofSite(); else everybody();
  });
  find?.addEventListener("input", filter);
  troubled?.addEventListener("change", filter);

  const source = new EventSource(`${page.dataset.live}?from=${held.mark}`);
  source.addEventListener("open", () => { heard = Date.now(); say("live", "live"); });
  source.addEventListener("error", () => say("lost", "the connection to the dashboard is lost; it is tried again"));
  source.addEventListener("still", () => { heard = Date.now(); say("live", "live"); });
  source.addEventListener("afresh", () => location.reload());
  source.addEventListener("parts", (event) => {
    heard = Date.now();
    say("live", "live");
    const sent = JSON.parse(event.data);
    for (const [name, html] of Object.entries(sent.parts)) put(name, html);
    if (sent.title) document.title = sent.title;
    if (sent.curves.length) {
      pooled = pooled.concat(sent.curves);
      if (whose) ofSite(); else curves(sent.curves);
    }
    tick();
  });

  everybody();
  tick();
  setInterval(tick, 1000);
})();
