// Plots over one shared time axis, with marks above them. Used by reports and by the live page.
//
//   const plots = new Plots(container, { plots: [{ title, unit, lines: [{ label, kind, tone }] }], clock: false });
//   plots.show(seconds, [[values of each line], ...], marks);
//
// `clock`: seconds are Unix time and the axis shows the time of day, in UTC as the log does; otherwise they count from the
// beginning.
"use strict";

const AXIS = 52; // Room for the vertical axis: the same for all, so that times stand below each other.
const RIGHT = 30;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function colour(tone) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + tone).trim();
}

// With three digits; what is small keeps its digits behind the point.
function figure(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "s" && value < 0.9995) return (value * 1000).toPrecision(value < 0.0995 ? 2 : 3).replace(/\.?0+$/, (m) => (m.startsWith(".") ? "" : m)) + " ms";
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits) + (unit ? " " + unit : "");
}

// As it stands beside an axis: no zeros at the end.
function tick(value, unit) {
  return figure(value, unit).replace(/(\.\d*?)0+(?= |$)/, "$1").replace(/\.(?= |$)/, "");
}

// Values with none on either side: no line goes through them, so they are dots.
function lonely(u, line) {
  const values = u.data[line];
  const there = (at) => values[at] !== null && values[at] !== undefined;
  const found = [...values.keys()].filter((at) => there(at) && !there(at - 1) && !there(at + 1));
  return found.length ? found : null;
}

function pad(number) {
  return String(number).padStart(2, "0");
}

function moment(second, clock) {
  if (!clock) return second >= 120 ? Math.floor(second / 60) + ":" + pad(Math.round(second % 60)) : Math.round(second * 10) / 10 + " s";
  const date = new Date(second * 1000);
  return pad(date.getUTCHours()) + ":" + pad(date.getUTCMinutes()) + ":" + pad(date.getUTCSeconds());
}

class Plots {
  constructor(container, { plots, clock = false }) {
    this.specs = plots;
    this.clock = clock;
    this.marks = [];
    this.seconds = [];
    this.values = plots.map((plot) => plot.lines.map(() => []));
    this.root = element("div", { class: "plots" });
    this.track = element("div", { class: "track", role: "group", "aria-label": "Decisions, in their order" });
    this.tip = element("div", { class: "tip", role: "tooltip", id: "tip-" + Math.random().toString(36).slice(2), hidden: "" });
    this.root.append(this.track, this.tip);
    this.figures = plots.map((plot) => this.figure(plot));
    container.append(this.root);
    this.build();
    new ResizeObserver(() => this.resize()).observe(this.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
  }

  figure(plot) {
    const caption = element("figcaption", {}, element("span", { class: "title" }, plot.title));
    const keys = plot.lines.map((line) => {
      const value = element("b", {}, "–");
      const swatch = element("i", { class: line.kind === "dashed" ? "dashed" : line.kind.endsWith("area") ? "area" : "" });
      caption.append(element("span", { class: "key" }, swatch, line.label, value));
      return { swatch, value };
    });
    const canvas = element("div", { "aria-hidden": "true" });
    this.root.append(element("figure", {}, caption, canvas));
    return { canvas, keys, drawn: null };
  }

  width() {
    return Math.max(240, Math.floor(this.root.clientWidth));
  }

  build() {
    this.figures.forEach((figure, at) => {
      figure.drawn?.destroy();
      figure.keys.forEach((key, line) => {
        const tone = colour(this.specs[at].lines[line].tone);
        key.swatch.style.borderColor = tone;
        key.swatch.style.background = key.swatch.className === "area" ? tone + "40" : "none";
      });
      const last = at === this.figures.length - 1;
      figure.drawn = new uPlot(this.options(this.specs[at], last), this.data(at), figure.canvas);
    });
    this.place();
  }

  options(plot, last) {
    const axis = { stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui, DejaVu Sans, sans-serif" };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const lines = plot.lines.map((line) => {
      const tone = colour(line.tone);
      const steps = line.kind.startsWith("step") || line.kind === "dashed";
      return {
        label: line.label, stroke: tone, width: line.kind === "dashed" ? 1.5 : 2, points: { show: false, size: 5, filter: lonely }, spanGaps: false,
        paths: steps ? stepped : undefined, dash: line.kind === "dashed" ? [5, 4] : undefined,
        fill: line.kind.endsWith("area") ? tone + "40" : undefined,
      };
    });
    const x = (u, splits) => splits.map((second) => (second === null ? "" : moment(second, this.clock)));
    return {
      width: this.width(), height: last ? 172 : 150, padding: [8, RIGHT, last ? 0 : 4, 0],
      cursor: { sync: { key: "time" }, drag: { setScale: false, x: false, y: false }, y: false, points: { size: 7 } },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (u, low, high) => [0, this.top(plot, high)] } },
      series: [{}, ...lines],
      axes: [
        { ...axis, show: true, values: last ? x : (u, splits) => splits.map(() => ""), size: last ? 28 : 6, space: 90, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600] },
        { ...axis, size: AXIS, space: 34, values: (u, splits) => splits.map((value) => tick(value, plot.unit)), incrs: plot.whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] : undefined },
      ],
      hooks: { setCursor: [(u) => this.read(u.cursor.idx)], draw: [(u) => this.rule(u)] },
    };
  }

  // A little room above the highest, and something to see where all is nothing.
  top(plot, high) {
    const least = plot.unit === "s" ? 0.1 : plot.whole ? 2 : 5;
    return Math.max(least, (high || 0) * 1.12);
  }

  // A faint line through each drawing where something was decided.
  rule(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.setLineDash([]);
    ctx.globalAlpha = 0.35;
    ctx.lineWidth = devicePixelRatio;
    for (const mark of this.marks) {
      const x = Math.round(u.valToPos(mark.at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour(mark.tone);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // The values below the cursor, or the last ones.
  read(index) {
    const at = index ?? this.seconds.length - 1;
    this.figures.forEach((figure_, plot) => {
      figure_.keys.forEach((key, line) => {
        key.value.textContent = figure(this.values[plot][line][at], this.specs[plot].unit);
      });
    });
  }

  data(at) {
    return [this.seconds, ...this.values[at]];
  }

  show(seconds, values, marks) {
    this.seconds = seconds;
    this.values = values;
    this.marks = marks;
    this.figures.forEach((figure, at) => figure.drawn.setData(this.data(at)));
    if (this.figures[0].drawn.cursor.left < 0) this.read(null);
    this.place();
  }

  resize() {
    const width = this.width();
    this.figures.forEach((figure, at) => {
      if (figure.drawn.width !== width) figure.drawn.setSize({ width, height: figure.drawn.height });
    });
    this.place();
  }

  // The marks at their places on the track. Kept as they are if nothing came: a focus would be lost.
  place() {
    const [first, last] = [this.seconds[0], this.seconds[this.seconds.length - 1]];
    const room = this.width() - AXIS - RIGHT;
    const seen = this.marks.filter((mark) => first <= mark.at && mark.at <= last + 1);
    const name = (mark) => mark.at + mark.label + mark.text;
    const buttons = new Map([...this.track.querySelectorAll("button")].map((button) => [button.dataset.name, button]));
    for (const mark of seen) {
      const known = buttons.get(name(mark));
      const button = known ?? this.button(mark);
      buttons.delete(name(mark));
      button.dataset.name = name(mark);
      button.style.left = AXIS + (room * (Math.min(mark.at, last) - first)) / Math.max(last - first, 1e-9) + "px";
      button.style.color = colour(mark.tone);
      if (!known) this.track.append(button);
    }
    buttons.forEach((button) => button.remove());
  }

  button(mark) {
    const when = moment(mark.at, this.clock);
    const button = element("button", { type: "button", "aria-label": when + ": " + mark.label + ". " + mark.text });
    const show = () => {
      this.tip.replaceChildren(element("strong", {}, when + "  " + mark.label), mark.text);
      this.tip.hidden = false;
      const left = Math.min(Math.max(0, button.offsetLeft - this.tip.offsetWidth / 2), this.root.clientWidth - this.tip.offsetWidth);
      this.tip.style.left = left + "px";
      this.tip.style.top = this.track.offsetTop + this.track.offsetHeight + 10 + "px";
    };
    const hide = () => (this.tip.hidden = true);
    button.addEventListener("mouseenter", show);
    button.addEventListener("focus", show);
    button.addEventListener("mouseleave", hide);
    button.addEventListener("blur", hide);
    button.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    return button;
  }
}

// A table of text. Columns whose cells are all numbers stand at the right.
function table(title, head, rows) {
  const numeric = head.map((_, column) => rows.length > 0 && rows.every((row) => /^[-–]?[\d.,]*( ?(ms|s|%))?$/.test(row[column])));
  const cell = (name, text, column) => element(name, { class: numeric[column] ? "number" : undefined, scope: name === "th" ? "col" : undefined }, text);
  return element(
    "div", { class: "scroll" },
    element(
      "table", {},
      element("caption", {}, title),
      element("thead", {}, element("tr", {}, ...head.map((text, column) => cell("th", text, column)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, column) => cell("td", text, column))))),
    ),
  );
}
