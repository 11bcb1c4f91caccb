// Shadows: how many copies each got, what became of them, and how its answers compare with those that clients got. What is
// alike the activator decided; here it is only shown.
"use strict";

const NEWEST = 10; // Disagreements of each that are shown; /api/v1/shadows has all that are kept.
const PLACES = 3; // Differences of each of them.

function shadowsShown(shadows) {
  if (!shadows.length) return [];
  return [element("h2", {}, "Shadows"), ...shadows.map((shadow) =>
    element("article", { class: "shadow" }, ...heading(shadow), cards(shadow), ...disagreements(shadow)))];
}

function heading({ namespace, name, endpoint, percent, wake, compared }) {
  const full = namespace === "default" ? name : namespace + "/" + name;
  const wakes = wake ? ", and is woken for them" : ", while it is awake";
  const requests = percent === 100 ? "all requests" : percent + "% of the requests";
  const silence = compared ? "" : ". Answers are not compared: compare: {} in its entry asks for that.";
  return [element("h3", {}, full), element("p", { class: "soft" }, "gets copies of " + requests + " of " + endpoint + wakes + silence)];
}

function cards({ copies, underWay, compared }) {
  const ended = Object.entries(copies).filter(([, count]) => count);
  const all = ended.reduce((sum, [, count]) => sum + count, 0);
  const words = ended.map(([word, count]) => (count === all ? "all " : count + " ") + word);
  if (underWay) words.push(underWay + " under way");
  const facts = [["Copies", String(all), words.join(", ") || "none yet"]];
  if (compared) facts.push(...ofCompared(compared));
  return element("dl", { class: "facts" }, ...facts.map(([label, value, note]) =>
    element("div", {}, element("dt", {}, label), element("dd", {}, value, element("span", { class: "note" }, note)))));
}

function ofCompared({ alike, different, notCompared, agreement, numbers, largestDifference, meanDifference, rows, rowsThatAgree, usedTook, shadowTook }) {
  const answers = "of " + (alike + different) + " answers" + (notCompared ? "; " + notCompared + " more not compared" : "");
  const facts = [["Agreement", share(agreement), answers]];
  // What the answers have none of is no figure.
  if (rows) facts.push(["Same largest score", share(rowsThatAgree / rows), "in " + rows + " rows of scores"]);
  if (numbers) facts.push(["Largest difference", small(largestDifference), "on average " + small(meanDifference)]);
  facts.push(["Median latency", figure(shadowTook.p50Seconds, "s"), "clients’: " + figure(usedTook.p50Seconds, "s")]);
  facts.push(["99th percentile", figure(shadowTook.p99Seconds, "s"), "clients’: " + figure(usedTook.p99Seconds, "s")]);
  return facts;
}

// Rounded, but never to all or none while it is not.
function share(part) {
  if (part === null) return "–";
  const rounded = (part * 100).toFixed(1);
  if (rounded === "100.0" && part < 1) return "> 99.9 %";
  if (rounded === "0.0" && 0 < part) return "< 0.1 %";
  return rounded.replace(/\.0$/, "") + " %";
}

function small(number) {
  return number === 0 ? "0" : number.toPrecision(2);
}

function disagreements({ compared }) {
  if (!compared || !compared.disagreements.length) return [];
  const title = "The last that were not alike: the client’s status and time first, then the shadow’s";
  const rows = compared.disagreements.slice(-NEWEST).reverse().map((one) => [
    moment(Date.parse(one.time) / 1000, true), one.requestId, one.usedStatus + ", " + one.shadowStatus,
    figure(one.usedSeconds, "s") + ", " + figure(one.shadowSeconds, "s"), where(one),
  ]);
  return [table(title, ["when", "request", "statuses", "took", "where they differ"], rows)];
}

function where({ differences, more }) {
  const left = differences.length - PLACES + more;
  return differences.slice(0, PLACES).join("; ") + (0 < left ? "; and " + left + " more" : "");
}
