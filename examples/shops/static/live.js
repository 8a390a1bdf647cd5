// Keeps a page live without a line of code on the server: the page is fetched again every second, and each element with
// data-live takes the place of the old one if the server renders it differently now. Polling works on every server,
// holds no thread, and needs no reconnecting. Without JavaScript the pages work as pages do.
"use strict";
(() => {
  const EVERY = 1000; // milliseconds between two looks
  const AT_ZERO = 300; // … while a deadline has just passed
  const SLOWEST = 10000; // … while the server does not answer
  const WARNINGS = [10, 30, 60]; // seconds left that are said to those who cannot see them

  const rendered = new Map(); // the HTML of each live element as the server sent it, by id
  let offset = 0; // what to add to performance.now() to have the server's clock, in milliseconds
  let failures = 0;
  let timer = 0;
  let isLooking = false;
  let isLeaving = false;

  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => { document.getElementById("said").textContent = text; };

  // The browser's clock may be wrong by hours. performance.now() only has to go at the right pace.
  const setClock = (page, at) => {
    offset = Number(page.querySelector("meta[name=server-time]").content) * 1000 - at;
  };
  const secondsLeft = (time) => Number(time.dataset.deadline) - (performance.now() + offset) / 1000;

  const text = (left) => {
    const seconds = Math.max(0, Math.ceil(left));
    const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    if (!parts[0]) parts.shift();
    return parts.map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
  };

  const warn = (time, left) => {
    const mark = WARNINGS.find((seconds) => left <= seconds);
    if (time.mark !== undefined && mark !== time.mark && left > 0) say(`${mark} seconds left to pay`);
    time.mark = mark ?? Infinity;
  };

  // Shows what is left at all deadlines; returns the milliseconds until it is worth asking the server again.
  const tick = () => {
    let next = EVERY;
    for (const time of all("time[data-deadline]")) {
      const left = secondsLeft(time);
      const box = time.closest("[data-countdown]");
      if (time.textContent !== text(left)) time.textContent = text(left);
      box.style.setProperty("--left", Math.min(1, Math.max(0, left / Number(time.dataset.seconds))));
      box.classList.toggle("is-over", left <= 0); // what may no longer be pressed hides
      if ("warns" in time.dataset) warn(time, left);
      if (left > 0) next = Math.min(next, left * 1000 + 50);
      else if (left > -3) next = Math.min(next, AT_ZERO);
    }
    return next;
  };

  const replace = (old, fresh) => {
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(fresh);
    if (focused) {
      const same = focused.id && document.getElementById(focused.id);
      (same || fresh.querySelector("[data-focus]") || fresh).focus();
    }
    if (fresh.dataset.say && fresh.dataset.say !== old.dataset.say) say(fresh.dataset.say);
  };

  const update = (page) => {
    for (const old of all("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh || rendered.get(old.id) === fresh.outerHTML) continue;
      rendered.set(old.id, fresh.outerHTML);
      replace(old, document.importNode(fresh, true));
    }
    document.title = page.title;
  };

  const look = async () => {
    isLooking = true;
    tick(); // zero is seen before what comes of it
    const asked = performance.now();
    try {
      const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(SLOWEST) });
      const answered = performance.now();
      if (response.redirected) return location.reload(); // logged out
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      setClock(page, (asked + answered) / 2);
      update(page);
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      isLooking = false;
    }
    document.getElementById("offline").hidden = failures === 0 || isLeaving;
    const next = tick();
    lookIn(failures ? Math.min(EVERY * 2 ** failures, SLOWEST) : next);
  };

  const lookIn = (milliseconds) => {
    clearTimeout(timer);
    if (!document.hidden && !isLooking && !isLeaving) timer = setTimeout(look, milliseconds);
  };

  addEventListener("pagehide", () => { isLeaving = true; });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  addEventListener("online", () => lookIn(0));
  document.addEventListener("visibilitychange", () => lookIn(0));
  // Nobody means to order or to pay twice.
  addEventListener("submit", (event) => setTimeout(() => { if (event.submitter) event.submitter.disabled = true; }));

  for (const element of all("[data-live]")) rendered.set(element.id, element.outerHTML);
  const [arrival] = performance.getEntriesByType("navigation");
  setClock(document, arrival.responseStart);
  setInterval(tick, 200);
  // After "back" the page may come from the browser's cache.
  if (rendered.size) lookIn(arrival.type === "navigate" ? tick() : 0);
})();
