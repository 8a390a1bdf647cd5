// Draws the history of the schedule with uPlot into every element [data-history], and keeps it up to date.
//
// <figure class="history" data-history="counts" data-points='{"at": […], "expired": […], …}' data-url="history.json?minutes=60"
//         data-offset="3600"> </figure>
//
// data-history  "counts" (expired, paid, failed) or "lateness" (p50, p99, in seconds)
// data-points   columns of the same length; "at" in Unix seconds; null where there is no value
// data-url      where to read new points, every data-every seconds (10); without it the picture stays
// data-offset   the zone in which to show times, in seconds east of UTC
"use strict";

(() => {
  const KINDS = {
    counts: [
      {key: "expired", label: "expired", fill: true},
      {key: "paid", label: "paid"},
      {key: "failed", label: "failed"},
    ],
    lateness: [
      {key: "p99", label: "p99", fill: true},
      {key: "p50", label: "p50"},
    ],
  };
  const FONT = "12px system-ui, sans-serif";
  const NUMBER = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});
  const COUNTS = [1, 2, 5, 10, 20, 50, 1e2, 2e2, 5e2, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7];
  const SECONDS = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];
  const plots = new Map();

  const count = (value) => (value == null ? "–" : Number.isInteger(value) && value < 1e6 ? value.toLocaleString("en") : NUMBER.format(value));
  const seconds = (value) => {
    if (value == null) return "–";
    if (value >= 7200) return `${NUMBER.format(value / 3600)} h`;
    if (value >= 120) return `${NUMBER.format(value / 60)} min`;
    return value >= 1 ? `${NUMBER.format(value)} s` : `${Math.round(value * 1000)} ms`;
  };

  // The last point is of a minute that has not ended: it is faint, and at rest the legend shows the one before.
  function fade(plot, paper) {
    const {ctx, bbox, data: [at]} = plot;
    if (at.length < 2) return;
    const start = plot.valToPos(at[at.length - 2], "x", true);
    ctx.save();
    ctx.globalAlpha = .7;
    ctx.fillStyle = paper;
    ctx.fillRect(start + 1, bbox.top, bbox.left + bbox.width - start, bbox.height);
    ctx.restore();
  }

  // A value without neighbours is no line, so it needs a point.
  const alone = (values) => values.flatMap((value, index) =>
    value != null && values[index - 1] == null && values[index + 1] == null ? [index] : []);

  function rest(plot) {
    if (plot.cursor.idx == null) plot.setLegend({idx: Math.max(plot.data[0].length - 2, 0)});
  }

  function columns(element, points) {
    return [points.at, ...KINDS[element.dataset.history].map((series) => points[series.key])];
  }

  function options(element) {
    const style = getComputedStyle(element);
    const colour = (name) => style.getPropertyValue(`--plot-${name}`).trim();
    const isLateness = element.dataset.history === "lateness";
    const show = isLateness ? seconds : count;
    const offset = Number(element.dataset.offset || 0);
    const axis = {stroke: colour("text"), font: FONT, grid: {stroke: colour("grid"), width: 1}, ticks: {show: false}};
    return {
      width: Math.max(element.clientWidth, 100),
      height: Number(element.dataset.height || 150),
      tzDate: (unix) => {
        const date = new Date(unix * 1000);
        return new Date(date.getTime() + (offset + date.getTimezoneOffset() * 60) * 1000);
      },
      cursor: {y: false, drag: {setScale: false}, points: {size: 6}},
      legend: {live: true, markers: {width: 0, fill: (plot, index) => colour(KINDS[element.dataset.history][index - 1]?.key)}},
      hooks: {
        draw: isLateness ? [] : [(plot) => fade(plot, colour("paper"))],
        setCursor: [(plot) => plot.cursor.idx == null && setTimeout(rest, 0, plot)],
      },
      scales: {y: {range: (plot, low, high) => [0, Math.max(high || 0, isLateness ? 0.01 : 4) * 1.1]}},
      axes: [
        {...axis, size: 30, space: 60, values: [
          [3600 * 24, "{D} {MMM}", null, null, null, null, null, null, 1],
          [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
        ]},
        {...axis, size: 56, space: 32, incrs: isLateness ? SECONDS : COUNTS, values: (plot, marks) => marks.map(show)},
      ],
      series: [
        {label: "time", value: "{HH}:{mm}"},
        ...KINDS[element.dataset.history].map((series) => ({
          label: series.label,
          stroke: colour(series.key),
          fill: series.fill ? colour(`${series.key}-fill`) : undefined,
          width: 1.5,
          points: {show: true, size: 4, filter: (plot, index) => alone(plot.data[index])},
          value: (plot, value) => show(value),
        })),
      ],
    };
  }

  function draw(element) {
    const points = JSON.parse(element.dataset.points);
    plots.get(element)?.destroy();
    element.querySelectorAll(".uplot").forEach((old) => old.remove());
    const plot = new uPlot(options(element), columns(element, points), element);
    plots.set(element, plot);
    rest(plot);
  }

  async function refresh(element) {
    if (document.hidden || !element.isConnected) return;
    try {
      const answer = await fetch(element.dataset.url, {headers: {Accept: "application/json"}});
      if (!answer.ok) return;  // the page says that it is frozen
      element.dataset.points = JSON.stringify(await answer.json());
      const plot = plots.get(element);
      plot.setData(columns(element, JSON.parse(element.dataset.points)));
      rest(plot);
    } catch {
      // the next look tries again
    }
  }

  function start() {
    const sizes = new ResizeObserver((entries) => {
      for (const {target} of entries) {
        const plot = plots.get(target);
        if (plot && target.clientWidth && plot.width !== target.clientWidth) {
          plot.setSize({width: target.clientWidth, height: plot.height});
        }
      }
    });
    for (const element of document.querySelectorAll("[data-history]")) {
      draw(element);
      sizes.observe(element);
      if (element.dataset.url) setInterval(refresh, 1000 * Number(element.dataset.every || 10), element);
    }
    const redraw = () => plots.forEach((plot, element) => draw(element));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    // Django's admin has a button for the theme.
    new MutationObserver(redraw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
