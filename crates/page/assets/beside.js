// Revisions of one endpoint side by side: what each did, and how each differs from the one with the largest share. What
// may be concluded comes from the admin port, with its sentence; here it is only shown.
"use strict";

const MEASURES = [
  ["failures", "failures"], ["firstByte", "first byte"],
  ["duration", "whole answer"], ["outcome", "rouse-outcome"],
];

function besideEachOther(endpoints) {
  const compared = endpoints.filter((endpoint) => endpoint.outcomes);
  if (!compared.length) return [];
  return [element("h2", {}, "Side by side"), ...compared.flatMap(({ name, outcomes }) => [
    did(name, outcomes), ...outcomes.comparisons.map((comparison) => difference(comparison, outcomes)),
  ])];
}

function did(name, outcomes) {
  const rows = outcomes.revisions.map(({ revision, requests, failed, failedShare, firstByte, duration, outcome }) => [
    revision, String(requests), failedShare === null ? "–" : failed + " (" + figure(failedShare * 100, "%") + ")",
    figure(firstByte.p50Seconds, "s") + ", " + figure(firstByte.p99Seconds, "s"),
    figure(duration.p50Seconds, "s") + ", " + figure(duration.p99Seconds, "s"),
    outcome.count ? outcome.mean.toPrecision(3) + " of " + outcome.count : "–",
  ]);
  const since = moment(Date.parse(outcomes.since) / 1000, true);
  return element("div", { class: "did" }, table(name + ", since its split is as it is: " + since,
    ["revision", "requests", "failed", "first byte: median, 99th", "whole answer: median, 99th", "rouse-outcome"], rows));
}

function difference(comparison, { against }) {
  const there = MEASURES.filter(([key]) => comparison[key]);
  const rows = there.map(([key, label]) => element("tr", { class: comparison[key].verdict },
    element("th", { scope: "row" }, label), element("td", { class: "range" }, interval(comparison[key])),
    element("td", {}, comparison[key].sentence)));
  return element("div", { class: "scroll beside" }, element("table", {},
    element("caption", {}, comparison.revision + " against " + against), element("tbody", {}, ...rows)));
}

// How far the difference may be to either side of none.
function interval({ low, high, difference: seen }) {
  const svg = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  };
  const parts = [svg("line", { x1: 60, x2: 60, y1: 1, y2: 17, class: "none" })];
  if (low !== null) {
    const reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
    const at = (value) => (60 + 54 * value / reach).toFixed(1);
    parts.push(svg("line", { x1: at(low), x2: at(high), y1: 9, y2: 9, class: "may" }), svg("circle", { cx: at(seen), cy: 9, r: 4 }));
  }
  return svg("svg", { width: 120, height: 18, viewBox: "0 0 120 18", "aria-hidden": "true" }, ...parts);
}
