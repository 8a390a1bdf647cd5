// Keeps a page live: htmx polls its live part; this keeps ticks across polls, counts seconds, and says when a page is frozen.
"use strict";

(() => {
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
  const ticked = new Set();
  let serverNow = 0;
  let readAt = 0;
  let lastAnswer = new Date();
  let scrolled = [0, 0];

  const live = () => document.getElementById("live");
  const isPoll = (event) => event.detail.elt?.id === "live" || event.detail.target?.id === "live";

  // The same words as orders.clock.distance.
  function distance(seconds) {
    const whole = Math.round(seconds);
    if (whole === 0) return "now";
    const size = Math.abs(whole);
    const [unit, length] = UNITS.find(([, length]) => size >= 2 * length) || ["s", 1];
    const number = Math.floor(size / length);
    return whole > 0 ? `in ${number} ${unit}` : `${number} ${unit} ago`;
  }

  function tellTime() {
    const now = serverNow + (performance.now() - readAt) / 1000;
    for (const element of document.querySelectorAll(".rel[data-at]")) {
      const text = distance(Number(element.dataset.at) - now);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  function readTime() {
    if (!live()) return;
    serverNow = Number(live().dataset.now);
    readAt = performance.now();
  }

  const boxes = () => [...document.querySelectorAll('#orders input[name="id"]')];

  function tellTicked() {
    const text = document.querySelector("[data-ticked]");
    if (!text) return;
    const everything = document.getElementById("everything")?.checked;
    const number = boxes().filter((box) => box.checked).length;
    const said = everything ? "All of them:" : number ? `${number} ticked:` : "Tick orders, then choose:";
    if (text.textContent !== said) text.textContent = said;
    const all = document.querySelector("[data-all]");
    if (!all) return;
    all.checked = number > 0 && number === boxes().length;
    all.indeterminate = number > 0 && number < boxes().length;
  }

  function froze(reason) {
    const banner = document.getElementById("frozen");
    const since = lastAnswer.toLocaleTimeString("en-GB", {timeZoneName: "short"});
    banner.textContent = `Frozen since ${since}: ${reason}. Trying again.`;
    banner.hidden = false;
    document.body.classList.add("is-frozen");
  }

  function thawed() {
    lastAnswer = new Date();
    document.getElementById("frozen").hidden = true;
    document.body.classList.remove("is-frozen");
  }

  function reasonOf(request) {
    const found = new DOMParser().parseFromString(request.responseText || "", "text/html").querySelector("[data-problem]");
    return found?.textContent.trim().replace(/\.$/, "") || `the server answered ${request.status}`;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    tellTicked();
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.requestConfig?.triggeringEvent?.type !== "load") event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isPoll(event)) return;
    scrolled = [scrollX, scrollY];
    ticked.clear();
    document.querySelectorAll("#live input[type=checkbox]:checked").forEach((box) => ticked.add(box.id));
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!isPoll(event)) return;
    ticked.forEach((id) => { const box = document.getElementById(id); if (box) box.checked = true; });
    tellTicked();
    readTime();
    tellTime();
    thawed();
    scrollTo({left: scrolled[0], top: scrolled[1], behavior: "instant"});
  });
  document.addEventListener("htmx:sendError", (event) => isPoll(event) && froze("the server does not answer"));
  document.addEventListener("htmx:timeout", (event) => isPoll(event) && froze("the server does not answer in time"));
  document.addEventListener("htmx:responseError", (event) => isPoll(event) && froze(reasonOf(event.detail.xhr)));
  document.addEventListener("DOMContentLoaded", () => {
    readTime();
    tellTicked();
    setInterval(tellTime, 1000);
  });
})();
