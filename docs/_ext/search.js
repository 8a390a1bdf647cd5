/* How the search orders what it finds. Sphinx puts this into its searchtools.js: see html_search_scorer. */

// A browser may not read other pages if the site is opened as files, so results have no excerpts there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

var Scorer = {
  // Pages that record what was decided, changed or measured come after those that explain what is. Of two names that
  // match, the shorter one is meant: orders.enqueue, not orders.aio.enqueue.
  score: ([page, title, , , score, , kind]) =>
    score - (/^(docs\/adr\/|benchmarks\/|CHANGELOG)/.test(page) ? 4 : 0) - (kind === "object" ? title.length / 100 : 0),

  objNameMatch: 30, // a setting or a Python name: its reference comes first. Sphinx has 11
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
