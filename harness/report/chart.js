"use strict";
// Draws the charts with uPlot, from the numbers beside each. Where it does not run, or fails, the SVG is there.
const KINDS = { ok: ["ok", "good"], open: ["no end seen", "bad"], fail: ["refused", "bad"], unknown: ["unknown", "doubt"] };
const GUTTER = 168, NARROW = 640; // left of the plots; below so wide a figure has a small gutter, and names in the plots
const NEAR = 5; // pixels beside the pointer within which marks are read out

const signed = (s) => `${s >= 0 ? "+" : ""}${s} s`;
const moment = (s) => signed(s.toFixed(3));
const latency = (ms) => (ms < 1000 ? `${Number(ms.toPrecision(2))} ms` : `${Number((ms / 1000).toPrecision(2))} s`);
const shortened = (name) => (name.length > 26 ? `${name.slice(0, 25)}…` : name);
const within = (bar, s) => bar[0] <= s && s <= bar[1];

const parts = (flat, of) => Array.from({ length: flat.length / of }, (_, n) => flat.slice(of * n, of * n + of));
// Pairs whose first is how much further than the one before.
function further(flat) {
  let x = 0;
  return parts(flat, 2).map(([gap, n]) => [x += gap, n]);
}

// Steps of values that hold for `wide` from each place on; without `wide`, until the next.
function steps(pairs, wide, from, to) {
  const xs = [from], ys = pairs.length ? pairs[0][1].map(() => [0]) : [];
  const put = (x, values) => { xs.push(x); values.forEach((value, n) => ys[n].push(value)); };
  pairs.forEach(([x, values], n) => {
    put(x, values);
    if (wide && !(n + 1 < pairs.length && pairs[n + 1][0] - x < wide * 1.5)) put(x + wide, values.map(() => 0));
  });
  if (pairs.length && xs[xs.length - 1] < to) put(to, ys.map((of) => of[of.length - 1]));
  return [xs, ...ys];
}

// A mark of each kind at a place of the canvas; its shape tells it apart as well as its colour.
const SHAPES = {
  ok: (path, x, y, size) => { path.moveTo(x + size / 2, y); path.arc(x, y, size / 2, 0, 7); },
  open: (path, x, y, size) => path.rect(x - size / 4, y - size / 4 - 3 * devicePixelRatio, size / 2, size / 2 + 6 * devicePixelRatio),
  fail: (path, x, y, size) => path.rect(x - size / 2, y - size / 2, size, size),
  unknown: (path, x, y, size) => path.rect(x - size, y - size / 4, size * 2, size / 2),
};

function course(figure) {
  const told = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg.timeline"), around = svg.parentElement;
  const rows = [...figure.closest(".course").querySelectorAll("table.slices")].map((table) => [
    [...table.tHead.rows[0].cells].map((cell) => cell.textContent),
    [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))]);
  const proofs = [...figure.closest(".course").querySelectorAll(".faults li")].map((one) => one.textContent);
  const style = getComputedStyle(figure), colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const whole = told.to - told.from, px = (n) => n * devicePixelRatio;
  const narrow = () => around.clientWidth < NARROW;
  const panels = [], key = Symbol("of one cursor");

  const at = (x) => told.from + x * told.step;
  const cells = Object.entries(told.cells).flatMap(([kind, rows]) => rows.flatMap(([y, ...flat]) => further(flat).map(([x, n]) => (
    { kind, n, s: at(x), ms: y === null ? null : 10 ** (y / told.rows) })))).sort((a, b) => a.s - b.s);
  const bands = told.faults.map((one, n) => ({ ...one, says: proofs[n] })).filter((one) => one.from !== null || one.asked !== null).map((one) => (
    { ...one, bar: one.from === null ? [one.asked, one.asked] : [one.from, one.to === null ? told.to : one.to] }));
  const lanes = [...told.lanes, ...Object.entries(told.recovery).map(([name, bars]) => ({ name, bars, closes: [], back: true }))];

  function inside(from, to) {
    const wide = Math.min(Math.max(to - from, whole / 2000), whole);
    from = Math.min(Math.max(from, told.from), told.to - wide);
    return [from, from + wide];
  }
  const view = () => [panels[0].scales.x.min, panels[0].scales.x.max];
  function look(from, to) {
    const [min, max] = inside(from, to);
    for (const one of panels) one.setScale("x", { min, max });
  }
  function zoom(factor, at) {
    const [from, to] = view(), about = at === undefined ? (from + to) / 2 : at;
    look(about - (about - from) * factor, about + (to - about) * factor);
  }
  function move(share) {
    const [from, to] = view();
    look(from + share * (to - from), to + share * (to - from));
  }

  // The faults, behind everything and through all panels: first what is shaded, then, over the grid, the edges.
  function faults(u, first, paint) {
    const { left, top, width, height } = u.bbox, ctx = u.ctx, last = panels[panels.length - 1] === u;
    const begin = first ? px(14 * Math.min(bands.length, 4)) : 0, end = last ? top + height : ctx.canvas.height;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - 1, begin, width + 2, end - begin);
    ctx.clip();
    for (const one of bands) paint(ctx, one, ...one.bar.map((s) => u.valToPos(s, "x", true)), begin, end - begin);
    ctx.restore();
  }
  function shade(ctx, one, from, to, top, height) {
    ctx.fillStyle = colour(one.bit ? "shown-bg" : "shade");
    if (one.from !== null) ctx.fillRect(from, top, Math.max(to - from, px(1)), height);
  }
  function edge(ctx, one, from, to, top, height) {
    ctx.strokeStyle = colour("shown");
    ctx.lineWidth = px(1);
    ctx.setLineDash(one.bit ? [] : [px(4), px(3)]);
    ctx.beginPath();
    for (const x of one.from !== null && one.to !== null ? [from, to] : [from]) {
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
    }
    ctx.stroke();
  }

  function write(u, words, x, y, name, weight) {
    u.ctx.font = `${weight} ${px(12)}px ${style.fontFamily}`;
    u.ctx.fillStyle = colour(name);
    u.ctx.textAlign = "left";
    u.ctx.textBaseline = "alphabetic";
    u.ctx.fillText(words, x, y);
  }
  // Before everything: what a panel is, and in the first the faults' names, each where there is room for it.
  function name(u, heading, first) {
    const { left, top, width } = u.bbox, ctx = u.ctx, taken = [[], [], [], []].slice(0, bands.length);
    ctx.save();
    write(u, heading, left, top - px(5), "ink", 600);
    for (const one of first ? bands : []) {
      const [from, to] = one.bar.map((s) => u.valToPos(s, "x", true));
      if (to < left || from > left + width) continue;
      ctx.font = `600 ${px(12)}px ${style.fontFamily}`;
      const wide = ctx.measureText(one.name).width;
      const x = Math.max(left, Math.min(Math.max(from, left) + px(3), left + width - wide));
      const row = taken.findIndex((others) => others.every(([a, b]) => x > b + px(8) || x + wide < a - px(8)));
      if (row < 0) continue;
      taken[row].push([x, x + wide]);
      write(u, one.name, x, px(11 + 14 * row), "ink", 600);
    }
    ctx.restore();
  }

  function panel(heading, height, data, series, y, axis) {
    const first = !panels.length, place = group.appendChild(document.createElement("div"));
    const last = (u) => panels[panels.length - 1] === u;
    const grid = { stroke: () => colour("line"), width: 1 }, font = `12px ${style.fontFamily}`, stroke = () => colour("quiet");
    const made = new uPlot({
      width: around.clientWidth, height: height(), legend: { show: false },
      padding: [(first ? 14 * Math.min(bands.length, 4) : 0) + 18, 20, 4, 0],
      cursor: {
        y: false, points: { show: false }, drag: { x: true, y: false, dist: 6 }, sync: { key, scales: ["x", null] },
        bind: { dblclick: () => () => look(told.from, told.to) },
      },
      scales: { x: { time: false, min: told.from, max: told.to, range: (_, from, to) => inside(from, to) }, y },
      axes: [
        { stroke, font, grid, ticks: { show: false }, space: 70, size: (u) => (last(u) ? 24 : 0), gap: 4,
          values: (u, splits) => splits.map((s) => (last(u) ? signed(Number(s.toPrecision(8))) : "")) },
        { stroke, font, grid, ticks: { show: false }, size: () => (narrow() ? 52 : GUTTER), gap: 8, ...axis },
      ],
      series: [{}, ...series],
      hooks: {
        drawClear: [(u) => faults(u, first, shade)],
        drawAxes: [(u) => faults(u, first, edge)],
        draw: [(u) => name(u, heading, first)],
        setScale: [(u, scale) => { if (scale === "x" && first) from.textContent = view().map(moment).join(" to "); }],
      },
    }, data, place);
    made.high = height;
    panels.push(made);
    made.over.addEventListener("pointermove", (event) => read(made.posToVal(event.offsetX, "x"), made, event.offsetY));
    made.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, made.posToVal(event.offsetX, "x"));
    }, { passive: false });
    return made;
  }

  function read(s, on, top) {
    const near = NEAR * (view()[1] - view()[0]) / panels[0].over.clientWidth, words = [moment(s)];
    words.push(...bands.filter((one) => within([one.bar[0] - near, one.bar[1] + near], s)).map((one) => one.says));
    if (on && on.lanes) words.push(...on.lanes(on.posToVal(top, "y"), s));
    const here = [];
    for (const [kind, [called]] of Object.entries(KINDS)) {
      const found = cells.filter((one) => one.kind === kind && Math.abs(one.s - s) <= near);
      const known = found.filter((one) => one.ms !== null).map((one) => latency(one.ms));
      const sum = (some) => some.reduce((n, one) => n + one.n, 0);
      if (known.length) {
        const times = found.filter((one) => one.ms !== null).map((one) => one.ms);
        const [least, most] = [latency(Math.min(...times)), latency(Math.max(...times))];
        here.push(`${sum(found.filter((one) => one.ms !== null))} ${called}, ${least}${least === most ? "" : ` to ${most}`}`);
      }
      const never = sum(found.filter((one) => one.ms === null));
      if (never) here.push(`${never} ${called}, never answered`);
    }
    if (here.length) words.push(`here: ${here.join("; ")}`);
    for (const [heads, cells] of rows) {
      const row = cells.filter((one) => parseFloat(one[0]) <= s).pop();
      if (row) words.push(`from ${row[0]}: ` + row.slice(1).map((cell, n) => [heads[n + 1], cell]).filter(([, cell]) => cell !== "0" && cell !== "").map((one) => one.join(" ")).join(", "));
    }
    says.textContent = words.join("\n");
  }

  function drawLatency() {
    const known = cells.filter((one) => one.ms !== null).map((one) => Math.log10(one.ms));
    const low = Math.floor(Math.min(0, ...known.length ? [Math.min(...known)] : []));
    const high = Math.max(Math.ceil(Math.max(1 / told.rows, ...known) + 1e-9), low + 1);
    const lost = cells.some((one) => one.ms === null), share = (high - low) * 0.14;
    const never = 10 ** (high + share), powers = Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n));
    const value = (one) => (one.ms === null ? never : one.ms);
    const marks = (kind) => {
      const of = cells.filter((one) => one.kind === kind);
      return (u) => {
        const path = new Path2D(), [from, to] = [u.scales.x.min, u.scales.x.max];
        for (const one of of) {
          if (one.s < from || one.s > to) continue;
          SHAPES[kind](path, u.valToPos(one.s, "x", true), u.valToPos(value(one), "y", true), px(one.n < 10 ? 4 : one.n < 100 ? 6 : 9));
        }
        return { fill: path, stroke: null };
      };
    };
    const top = high + (lost ? share * 1.6 : 0.04 * (high - low)), bottom = low - 0.04 * (high - low);
    panel("latency", () => 190,
      [cells.map((one) => one.s), ...Object.keys(KINDS).map((kind) => cells.map((one) => (one.kind === kind ? value(one) : null)))],
      Object.entries(KINDS).map(([kind, [, ink]]) => ({ paths: marks(kind), fill: () => colour(ink), width: 0, points: { show: false } })),
      { distr: 3, log: 10, range: () => [10 ** bottom, 10 ** top] },
      { space: 1, splits: () => (lost ? [...powers, never] : powers), filter: (_, splits) => splits,
        grid: { stroke: () => colour("line"), width: 1, filter: (_, splits) => splits },
        values: (_, splits) => splits.map((ms) => (ms === never && lost ? (narrow() ? "never" : "never answered") : latency(ms))) });
  }

  const filled = (ink, edge, alpha) => ({ paths: uPlot.paths.stepped({ align: 1 }), fill: () => colour(ink), stroke: edge && (() => colour(edge)), width: edge ? 1 : 0, alpha, points: { show: false } });
  const upTo = (most) => ({ range: () => [0, most ? most * 1.1 : 1] });

  function drawRate() {
    const pairs = parts(told.rate, 3).map(([x, offered, ok]) => [told.from + x * told.every, [offered / told.every, (offered - ok) / told.every]]);
    const most = Math.max(0, ...pairs.map(([, [offered]]) => offered));
    const data = pairs.length ? steps(pairs, told.every, told.from, told.to) : [[told.from, told.to], [0, 0], [0, 0]];
    panel("offered a second; filled: not ok, or no end", () => 92, data, [filled("line", "quiet", 0.6), filled("bad", null, 1)], upTo(most), { space: 18 });
  }

  function drawBacklog() {
    let open = 0;
    const pairs = further(told.backlog || []).map(([x, more]) => [at(x), [open += more]]);
    const again = further(told.again).map(([x, n]) => [at(x), n]);
    const most = Math.max(0, ...pairs.map(([, [n]]) => n)), times = again.reduce((sum, [, n]) => sum + n, 0);
    const [xs, ys] = pairs.length ? steps(pairs, 0, told.from, told.to) : [[told.from, told.to], [0, 0]];
    const ticks = (u) => {
      const path = new Path2D();
      for (const [s] of again) path.rect(u.valToPos(s, "x", true) - px(1), u.bbox.top, px(2), px(8));
      return { fill: path, stroke: null };
    };
    const heading = (told.backlog ? "backlog" : "backlog: not known") + (times ? `; ticks: ${times} seen again` : "");
    panel(heading, () => 84, [xs, ys, xs.map(() => null)],
      [filled("doubt-bg", "doubt", 0.75), { paths: ticks, fill: () => colour("shown"), width: 0, points: { show: false } }],
      upTo(most * 1.15), { space: 18, values: (_, splits) => splits.map((n) => (Number.isInteger(n) ? n : "")) });
  }

  function drawLanes() {
    const high = () => (narrow() ? 30 : 17), middle = (n) => lanes.length - n - 0.5, flat = () => [0, 0];
    const series = (ink, width, chosen, { ends = 0, ...more } = {}) => ({
      stroke: () => colour(ink), width, points: { show: false }, ...more,
      paths: (u) => {
        const path = new Path2D();
        lanes.forEach((lane, n) => {
          const y = u.valToPos(middle(n), "y", true) + (narrow() ? px(6) : 0);
          for (const [from, to] of chosen(lane)) {
            const [x, right] = [from, to].map((s) => u.valToPos(s, "x", true));
            path.moveTo(x, y - px(ends));
            path.lineTo(ends ? x : Math.max(right, x + px(3)), y + px(ends));
          }
        });
        return { stroke: path, fill: null };
      },
    });
    const back = (lane, ended) => (lane.back ? lane.bars.filter((bar) => bar[2] === ended) : []);
    const made = panel("connections; recovery", () => 18 + 4 + 24 + high() * lanes.length,
      [[told.from, told.to], flat(), flat(), flat(), flat()],
      [series("link", 5, (lane) => (lane.back ? [] : lane.bars), { alpha: 0.75 }),
        series("ink", 1, (lane) => lane.closes.map((s) => [s, s]), { ends: 6 }),
        series("doubt", 7, (lane) => back(lane, true)),
        series("bad", 7, (lane) => back(lane, false), { dash: [6, 3] })],
      { range: () => [0, lanes.length] },
      { space: 1, splits: () => lanes.map((_, n) => middle(n)), grid: { show: false },
        values: (_, splits) => splits.map((_, n) => (narrow() ? "" : shortened(lanes[n].name))) });
    made.hooks.draw.push((u) => {
      u.ctx.save();
      lanes.forEach((lane, n) => narrow() && write(u, lane.name, u.bbox.left, u.valToPos(middle(n), "y", true), "quiet", 400));
      u.ctx.restore();
    });
    made.lanes = (y, s) => {
      const lane = lanes[lanes.length - 1 - Math.floor(y)];
      if (!lane) return [];
      const bar = lane.bars.find((one) => within(one, s));
      return [`${lane.name}: ${bar ? `${moment(bar[0])} to ${bar[2] ? moment(bar[1]) : "the end of what was watched"}` : lane.back ? "not under way" : "no connection"}`];
    };
  }

  const group = document.createElement("div"), bar = document.createElement("div");
  const says = document.createElement("output"), from = document.createElement("span");
  group.className = "panels";
  group.setAttribute("role", "img");
  group.setAttribute("aria-label", svg.getAttribute("aria-label"));
  bar.className = "tools";
  bar.append(
    button("+", "zoom in", () => zoom(0.5)), button("−", "zoom out", () => zoom(2)),
    button("◀", "earlier", () => move(-0.5)), button("▶", "later", () => move(0.5)),
    button("whole", "the whole time", () => look(told.from, told.to)), from, says);
  from.className = says.className = "quiet";
  says.textContent = "Point at the chart to read it. Draw over a stretch to see it larger; a double click, or 0, shows the whole.\nBy keyboard: +, −, the arrows; the wheel zooms with Ctrl or Shift.";
  try {
    around.append(group);
    drawLatency();
    drawRate();
    if (told.backlog || told.again.length) drawBacklog();
    if (lanes.length) drawLanes();
  } catch (error) {
    group.remove();
    throw error;
  }
  figure.classList.add("drawn");
  figure.prepend(bar);

  const keys = { "+": () => zoom(0.5), "-": () => zoom(2), "0": () => look(told.from, told.to), ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25) };
  figure.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
    queueMicrotask(() => {
      panels[0].setCursor({ left: panels[0].over.clientWidth / 2, top: 0 }, true, true);
      read((view()[0] + view()[1]) / 2);
    });
  });
  new ResizeObserver(() => {
    if (around.clientWidth) for (const one of panels) one.setSize({ width: around.clientWidth, height: one.high() });
  }).observe(around);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const one of panels) one.redraw(false); });
}

const drawn = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (!isIntersecting) continue;
    drawn.unobserve(target);
    try { course(target); } catch (error) { console.error(error); }
  }
}, { rootMargin: "50%" });
for (const figure of document.querySelectorAll("figure.chart")) drawn.observe(figure);
