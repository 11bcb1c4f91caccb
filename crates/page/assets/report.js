// Draws the report that stands in the page as JSON.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("report");
  main.append(element("h1", {}, data.title), element("p", { class: "soft" }, data.subtitle));
  const facts = data.facts.map(({ label, value, note }) => {
    const said = element("dd", {}, value);
    if (note) said.append(element("span", { class: "note" }, note));
    return element("div", {}, element("dt", {}, label), said);
  });
  if (facts.length) main.append(element("dl", { class: "facts" }, ...facts));
  if (data.plots.length) {
    const whole = (plot) => plot.lines.every((line) => line.kind !== "line" && line.kind !== "area");
    const plots = new Plots(main, { plots: data.plots.map((plot) => ({ ...plot, whole: whole(plot) })) });
    plots.show(data.seconds, data.plots.map((plot) => plot.lines.map((line) => line.values)), data.marks);
  }
  for (const { title, head, rows } of data.tables) main.append(table(title, head, rows));
  main.append(element("footer", {}, data.made));
})();
