"use strict";
// Zooms and reads out the charts, and copies commands. Everything is there without it.
const WIDE = 1000; // units of a plot, as drawn

function button(words, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function copied(pre, made) {
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(pre);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  };
  const say = (done) => { made.textContent = done ? "copied" : "selected: press Ctrl+C"; };
  if (navigator.clipboard) navigator.clipboard.writeText(pre.textContent).then(() => say(true), () => say(select()));
  else say(select());
}

function chart(figure) {
  const svg = figure.querySelector("svg.timeline");
  if (!svg) return;
  const from = Number(svg.dataset.from), span = Number(svg.dataset.to) - from;
  const LEFT = Number(svg.dataset.left);
  const plots = [...svg.querySelectorAll("svg.plot")];
  const moving = [...svg.querySelectorAll("[data-x]")].filter((one) => !one.classList.contains("tick"));
  const ticks = svg.querySelector(".ticks");
  const axis = ticks.firstElementChild ? ticks.firstElementChild.getAttribute("y") : "0";
  const rows = figure.closest(".course").querySelectorAll("table.slices");
  let view = [0, WIDE];

  const seconds = (x) => from + (x / WIDE) * span;
  function show() {
    const [a, b] = view;
    for (const plot of plots) {
      const box = plot.getAttribute("viewBox").split(" ");
      plot.setAttribute("viewBox", `${a} 0 ${b - a} ${box[3]}`);
    }
    const place = (x) => LEFT + ((x - a) / (b - a)) * WIDE;
    for (const one of moving) {
      const x = Number(one.dataset.x);
      one.setAttribute("x", place(x) + Number(one.dataset.shift || 0));
      one.setAttribute("visibility", x < a - 0.01 || x > b + 0.01 ? "hidden" : "visible");
    }
    const wide = ((b - a) / WIDE) * span, power = 10 ** Math.floor(Math.log10(wide / 10));
    const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= wide / 10.0001);
    ticks.replaceChildren();
    for (let n = Math.ceil(seconds(a) / step); n * step <= seconds(b) + 1e-9; n++) {
      const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
      text.setAttribute("class", "tick");
      text.setAttribute("x", place(((n * step - from) / span) * WIDE));
      text.setAttribute("y", axis);
      text.textContent = `${n >= 0 ? "+" : ""}${Number((n * step).toPrecision(8))} s`;
      ticks.append(text);
    }
  }
  function look(a, b) {
    const wide = Math.min(Math.max(b - a, 0.5), WIDE);
    a = Math.min(Math.max(a, 0), WIDE - wide);
    view = [a, a + wide];
    show();
  }
  function zoom(factor, at = (view[0] + view[1]) / 2) {
    look(at - (at - view[0]) * factor, at + (view[1] - at) * factor);
  }
  const move = (share) => look(view[0] + share * (view[1] - view[0]), view[1] + share * (view[1] - view[0]));

  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  const bottom = svg.viewBox.baseVal.height - 22;
  const says = document.createElement("output");
  says.className = "quiet";
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width - LEFT;
    return view[0] + (x / WIDE) * (view[1] - view[0]);
  };
  function read(x) {
    const t = seconds(x);
    let words = `${t >= 0 ? "+" : ""}${t.toFixed(3)} s`;
    for (const table of rows) {
      const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
      const row = [...table.tBodies[0].rows].filter((one) => parseFloat(one.cells[0].textContent) <= t).pop();
      if (row) words += `, from ${row.cells[0].textContent}: ` + [...row.cells].slice(1).map((cell, n) => [heads[n + 1], cell.textContent]).filter(([, told]) => told !== "0" && told !== "").map((told) => told.join(" ")).join(", ");
    }
    says.textContent = words;
    const place = LEFT + ((x - view[0]) / (view[1] - view[0])) * WIDE;
    cursor.setAttribute("d", `M${place} 4V${bottom}`);
  }

  let held = null;
  svg.addEventListener("pointermove", (event) => {
    const x = at(event);
    if (x < view[0] || x > view[1]) return;
    if (held !== null && event.buttons & 1) look(view[0] + held - x, view[1] + held - x);
    else read(x);
  });
  svg.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") held = at(event); });
  svg.addEventListener("pointerup", () => { held = null; });
  svg.addEventListener("pointerleave", () => { held = null; cursor.removeAttribute("d"); });
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, at(event));
  }, { passive: false });

  const keys = { "+": () => zoom(0.5), "-": () => zoom(2), "0": () => look(0, WIDE), ArrowLeft: () => move(-0.25), ArrowRight: () => move(0.25) };
  figure.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
    read((view[0] + view[1]) / 2);
  });
  const bar = document.createElement("div");
  bar.className = "tools";
  bar.append(
    button("+", "zoom in", () => zoom(0.5)), button("−", "zoom out", () => zoom(2)),
    button("◀", "earlier", () => move(-0.5)), button("▶", "later", () => move(0.5)),
    button("whole", "the whole time", () => look(0, WIDE)), says);
  figure.prepend(bar);
}

for (const pre of document.querySelectorAll(".replay pre")) {
  const made = button("copy", "copy the command", () => copied(pre, made));
  pre.before(made);
}
const drawn = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting) { drawn.unobserve(one.target); chart(one.target); }
}, { rootMargin: "50%" });
for (const figure of document.querySelectorAll("figure.chart")) drawn.observe(figure);
function shown() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", shown);
shown();
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details:not(.behind)")) one.open = true; });
