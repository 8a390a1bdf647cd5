// Keeps an operators' page up to date without loading it again, and counts the selected orders.
//
// <div id="content-main" data-live="5" data-clock="14:03:05">   seconds between two looks; the time of what is shown
// <… id="…" data-part>                                          what is replaced, unless somebody is at work in it
// <p id="oe-frozen" hidden>                                     says since when nothing was updated, and why
"use strict";

(() => {
  const WAIT = 10000;
  let page;
  let lastTicked = null;

  const rows = () => [...page.querySelectorAll("input.action-select")];

  // Somebody is at work where a field has focus or is not as it came, or where text is selected, to copy it.
  function isInUse(part) {
    const selection = getSelection();
    if (!selection.isCollapsed && part.contains(selection.anchorNode)) return true;
    return [...part.querySelectorAll("input, select")].some((field) => {
      if (field.type === "checkbox") return field.checked !== field.defaultChecked;
      if (field === document.activeElement) return true;
      if (field.tagName === "SELECT") return [...field.options].some((option) => option.selected !== option.defaultSelected);
      return field.type !== "hidden" && field.value !== field.defaultValue;
    });
  }

  function update(part, fresh) {
    if (isInUse(part) || part.innerHTML === fresh.innerHTML) return;
    const address = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
    part.replaceChildren(...fresh.childNodes);
    if (address) part.querySelector(`a[href="${CSS.escape(address)}"]`)?.focus({preventScroll: true});
  }

  function freeze(why) {
    const note = document.getElementById("oe-frozen");
    note.textContent = `Frozen${page.dataset.clock ? ` since ${page.dataset.clock}` : ""}: ${why}. Trying again.`;
    note.hidden = false;
  }

  async function look() {
    let answer;
    let text;
    try {
      answer = await fetch(location.href, {headers: {"X-Orders-Live": "1"}, signal: AbortSignal.timeout(WAIT)});
      text = await answer.text();
    } catch {
      return freeze("the server does not answer");
    }
    const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("content-main");
    const problem = fresh?.querySelector("[data-problem]");
    if (problem) return freeze(problem.textContent.replace(/\.$/, ""));
    if (!answer.ok) return freeze(`the server answered ${answer.status}`);
    if (!fresh?.dataset.live) return freeze("you are no longer logged in");
    const parts = [...page.querySelectorAll("[data-part]")];
    if (!parts.length) return location.reload();  // it came when something had failed, and has no parts
    for (const part of parts) {
      const found = fresh.querySelector(`#${part.id}`);
      if (found) update(part, found);
    }
    page.dataset.clock = fresh.dataset.clock;
    document.getElementById("oe-frozen").hidden = true;
  }

  async function goOn() {
    if (!document.hidden) await look();
    setTimeout(goOn, 1000 * Number(page.dataset.live));
  }

  function count() {
    const all = rows();
    const ticked = all.filter((row) => row.checked).length;
    all.forEach((row) => row.closest("tr").classList.toggle("selected", row.checked));
    page.querySelector("#action-toggle").checked = ticked > 0 && ticked === all.length;
    const note = page.querySelector(".action-counter");
    note.textContent = `${ticked} of ${note.dataset.of} selected${ticked ? ": the list stands still" : ""}`;
    across(false, ticked === all.length);
  }

  // Whether an action is for all dead letters, not only for those on this page.
  function across(isAll, isOffered) {
    const button = page.querySelector(".oe-across");
    if (!button) return;
    button.dataset.question ??= button.textContent;
    button.hidden = !isOffered;
    button.textContent = isAll ? button.dataset.clear : button.dataset.question;
    if (isAll) page.querySelector(".action-counter").textContent = button.dataset.all;
    page.querySelector(".select-across").value = Number(isAll);
  }

  function tick(box, isRange) {
    const all = rows();
    const ends = [all.indexOf(box), all.indexOf(lastTicked)].sort((one, other) => one - other);
    if (isRange && ends[0] >= 0) all.slice(ends[0], ends[1] + 1).forEach((row) => { row.checked = box.checked; });
    lastTicked = box;
  }

  function onClick(event) {
    const box = event.target;
    if (box.id === "action-toggle") rows().forEach((row) => { row.checked = box.checked; });
    else if (box.matches("input.action-select")) tick(box, event.shiftKey);
    else if (!box.matches(".oe-across")) return;
    if (!box.matches(".oe-across")) return count();
    if (page.querySelector(".select-across").value === "0") return across(true, true);
    rows().forEach((row) => { row.checked = false; });
    count();
  }

  function start() {
    page = document.querySelector("#content-main[data-live]");
    if (!page) return;
    page.addEventListener("click", onClick);
    addEventListener("pageshow", () => rows().length && count());  // the back button restores what was ticked
    setTimeout(goOn, 1000 * Number(page.dataset.live));
  }

  start();
})();
