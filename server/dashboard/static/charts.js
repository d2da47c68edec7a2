/* The two charts. They hold all points of what is shown, and redraw at most once a frame. */
"use strict";

const Charts = (() => {
  const COLOURS = 6;
  let folds = new Map(); // fold -> Map(round -> [training loss, validation loss, auc])
  let plots = {};
  let due = false;

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const text = (value) => (value == null ? "–" : value.toFixed(3));

  function take(fold, rounds, training, loss, auc) {
    if (!folds.has(fold)) folds.set(fold, new Map());
    const own = folds.get(fold);
    rounds.forEach((round, at) => own.set(round, [training[at], loss[at], auc[at]]));
    redraw();
  }

  function clear() {
    folds = new Map();
    redraw();
  }

  function columns() {
    const rounds = new Set();
    for (const own of folds.values()) for (const round of own.keys()) rounds.add(round);
    const x = [...rounds].sort((a, b) => a - b);
    const of = (own, at) => x.map((round) => (own.has(round) ? own.get(round)[at] : undefined));
    const numbers = [...folds.keys()].sort((a, b) => a - b);
    return {
      numbers,
      loss: [x, ...numbers.flatMap((n) => [of(folds.get(n), 1), of(folds.get(n), 0)])],
      auc: [x, ...numbers.map((n) => of(folds.get(n), 2))],
    };
  }

  function axis(more) {
    return {
      stroke: style("--soft"), grid: { stroke: style("--grid"), width: 1 },
      ticks: { show: false }, font: "12px system-ui, sans-serif", gap: 6, ...more,
    };
  }

  function line(fold, dashed, few) {
    return {
      stroke: style(`--fold-${fold % COLOURS}`), width: dashed ? 1.25 : 2, spanGaps: true,
      dash: dashed ? [5, 4] : undefined, points: { show: few && !dashed, size: 5 },
    };
  }

  function make(id, series, data, range, say) {
    const place = document.getElementById(`plot-${id}`);
    place.replaceChildren();
    const read = document.getElementById(`read-${id}`);
    return new uPlot({
      width: place.clientWidth, height: place.clientHeight,
      legend: { show: false }, cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: false, range: (u, low, high) => [low ?? 0, Math.max(high ?? 1, (low ?? 0) + 1)] }, y: { range } },
      axes: [axis({ size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }), axis({ size: 46 })],
      series: [{}, ...series],
      hooks: { setCursor: [(u) => { read.textContent = u.cursor.idx == null ? "" : say(u.cursor.idx); }] },
    }, data, place);
  }

  function draw() {
    due = false;
    const { numbers, loss, auc } = columns();
    const few = loss[0].length <= 30;
    const key = `${numbers.join()}|${few}`;
    if (plots.key !== key) {
      for (const plot of [plots.loss, plots.auc]) if (plot) plot.destroy();
      const named = (n) => (numbers.length > 1 ? `fold ${n}: ` : "");
      plots = {
        key,
        loss: make("loss", numbers.flatMap((n) => [line(n, false, few), line(n, true, few)]), loss,
          (u, low, high) => (low == null ? [0, 1] : uPlot.rangeNum(low, high, 0.1, true)),
          (at) => `after round ${plots.data.loss[0][at]}: ` + numbers.map((n, i) => `${named(n)}validation ${text(plots.data.loss[1 + 2 * i][at])}, training ${text(plots.data.loss[2 + 2 * i][at])}`).join("; ")),
        auc: make("auc", numbers.map((n) => line(n, false, few)), auc,
          (u, low) => [Math.min(0.4, low == null ? 0.4 : Math.floor(low * 10) / 10), 1],
          (at) => `after round ${plots.data.auc[0][at]}: ` + numbers.map((n, i) => `${named(n)}${text(plots.data.auc[1 + i][at])}`).join("; ")),
      };
      const keys = document.getElementById("folds");
      keys.replaceChildren(...(numbers.length > 1 ? numbers : []).map((n) => {
        const one = document.createElement("span");
        one.className = `key fold-${n % COLOURS}`;
        one.textContent = `fold ${n}`;
        return one;
      }));
    }
    plots.data = { loss, auc };
    plots.loss.setData(loss);
    plots.auc.setData(auc);
  }

  function redraw() {
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  }

  function afresh() {
    plots.key = null;
    redraw();
  }

  let wide = 0;
  new ResizeObserver((seen) => {
    const now = Math.round(seen[0].contentRect.width);
    if (wide && now !== wide) afresh();
    wide = now;
  }).observe(document.querySelector(".charts"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", afresh);

  return { take, clear, redraw };
})();
