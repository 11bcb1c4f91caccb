// The live page: asks the admin port once a second, and shows one revision of what it says.
"use strict";

(() => {
  const EVERY = 1000;
  const WAKING = 250;
  const byId = (id) => document.getElementById(id);
  const PLOTS = [
    { title: "Requests", unit: "/s", lines: [
      { label: "asked", kind: "area", tone: "load" }, { label: "answered", kind: "line", tone: "ready" },
      { label: "errors and refusals", kind: "line", tone: "error" }] },
    { title: "Requests at once", unit: "", lines: [
      { label: "here", kind: "area", tone: "load" }, { label: "of these, held", kind: "area", tone: "held" }] },
    { title: "Replicas", unit: "", whole: true, lines: [
      { label: "ready", kind: "steparea", tone: "ready" }, { label: "starting", kind: "step", tone: "held" },
      { label: "wanted", kind: "dashed", tone: "wanted" }] },
    { title: "Latency", unit: "s", lines: [
      { label: "median", kind: "line", tone: "median" }, { label: "99th percentile", kind: "line", tone: "slow" }] },
  ];
  const plots = new Plots(byId("plots"), { plots: PLOTS, clock: true });
  let chosen = null; // "namespace/name"
  let told = null;
  let hasShadows = true; // Not so where the activators are elsewhere: on a cluster.

  async function ask(path) {
    const answer = await fetch(path, { headers: { accept: "application/json" }, cache: "no-store" });
    if (!answer.ok) throw new Error(path + " answers " + answer.status);
    return answer.json();
  }

  const path = (revision, part) => "/api/v1/revisions/" + encodeURIComponent(revision.namespace) + "/" + encodeURIComponent(revision.name) + "/" + part;
  const key = (revision) => revision.namespace + "/" + revision.name;
  const seconds = (text) => Date.parse(text) / 1000;
  const sum = (...values) => (values.every((value) => value === null) ? null : values.reduce((all, value) => all + (value ?? 0), 0));
  const said = (value) => (value === null || value === undefined ? "–" : String(value));
  const clock = (text) => moment(seconds(text), true);

  async function look() {
    const { endpoints } = await ask("/api/v1/endpoints");
    const revisions = endpoints.flatMap((endpoint) => endpoint.revisions);
    choose(revisions);
    const revision = revisions.find((one) => key(one) === chosen);
    showEndpoints(endpoints);
    if (hasShadows) await showShadows();
    if (!revision) return say("No endpoint is served yet.");
    const [series, decisions, wakes] = await Promise.all(["series", "decisions", "wakes"].map((part) => ask(path(revision, part))));
    showRevision(revision, decisions.decisions);
    showPlots(series.points, decisions.decisions);
    showTables(revision, decisions.decisions, wakes.wakes);
    return revision;
  }

  function choose(revisions) {
    const names = revisions.map(key);
    const select = byId("revision");
    if ([...select.options].map((option) => option.value).join() !== names.join()) {
      select.replaceChildren(...names.map((name) => element("option", { value: name }, name.replace(/^default\//, ""))));
    }
    if (!names.includes(chosen)) chosen = names[0] ?? null;
    if (chosen && select.value !== chosen) select.value = chosen;
  }

  // One sentence, told to screen readers only when it changes.
  function say(text) {
    if (text !== told) byId("said").textContent = told = text;
  }

  function showRevision(revision, decisions) {
    const { state, mode, path: way, readyReplicas, desiredReplicas, startingReplicas, demand } = revision;
    const last = decisions[decisions.length - 1];
    say(revision.reason ?? (last ? last.because + ": " + last.sentence : "nothing was decided yet"));
    const count = readyReplicas + (desiredReplicas === null ? "" : " of " + desiredReplicas);
    const facts = [
      ["State", state, way + ", " + mode + " window"],
      ["Replicas ready", count, startingReplicas ? startingReplicas + " starting" : "none starting"],
      ["Demand", figure(demand.stable, ""), demand.metric + " over the stable window"],
      ["… over the panic window", figure(demand.panic, ""), "one replica is for " + figure(demand.target, "")],
    ];
    byId("facts").replaceChildren(...facts.map(([label, value, note]) =>
      element("div", {}, element("dt", {}, label), element("dd", {}, value, element("span", { class: "note" }, note)))));
    document.title = readyReplicas + " ready · " + revision.name + " · Rouse";
  }

  function showPlots(points, decisions) {
    const times = points.map((point) => seconds(point.at));
    const column = (name) => points.map((point) => point[name]);
    const marks = decisions.map((decision) => ({
      at: seconds(decision.at), label: decision.because + (decision.want === null ? "" : ", wants " + decision.want),
      text: decision.sentence, tone: decision.mode === "panic" ? "slow" : "wanted",
    }));
    plots.show(times, [
      [column("requestsPerSecond"), column("answersPerSecond"), points.map((point) => sum(point.errorsPerSecond, point.refusalsPerSecond))],
      [column("inFlight"), column("held")],
      [column("readyReplicas"), column("startingReplicas"), column("desiredReplicas")],
      [column("p50Seconds"), column("p99Seconds")],
    ], times.length ? marks : []);
  }

  // Only what changed is put in again: what is selected or focused stays so.
  function put(id, ...children) {
    const place = byId(id);
    const fresh = element("div", {}, ...children);
    if (place.innerHTML !== fresh.innerHTML) place.replaceChildren(...fresh.childNodes);
  }

  const listed = (title, head, rows, none) => (rows.length ? table(title, head, rows) : element("p", { class: "empty" }, none));

  function showEndpoints(endpoints) {
    const rows = endpoints.map((endpoint) => [
      endpoint.name, endpoint.state, said(endpoint.url), endpoint.traffic.map((share) => share.percent + "% " + share.revision).join(", "),
    ]);
    put("endpoints", listed("", ["name", "state", "URL", "traffic"], rows, "None."));
    put("beside", ...besideEachOther(endpoints));
  }

  async function showShadows() {
    const answer = await fetch("/api/v1/shadows", { headers: { accept: "application/json" }, cache: "no-store" });
    hasShadows = answer.status !== 404;
    if (hasShadows && !answer.ok) throw new Error("/api/v1/shadows answers " + answer.status);
    put("shadows", ...shadowsShown(hasShadows ? (await answer.json()).shadows : []));
  }

  function showTables(revision, decisions, wakes) {
    put("replicas", listed("", ["name", "ready", "requests here", "address"],
      revision.replicas.map((replica) => [replica.name, replica.ready ? "yes" : "no", said(replica.inFlight), said(replica.address)]),
      "None runs: the first request starts one."));
    put("decisions", listed("", ["when", "wants", "why", "what that means", "demand", "held", "times"],
      decisions.slice(-40).reverse().map((decision) => [
        clock(decision.at), said(decision.want), decision.because, decision.sentence,
        figure(decision.mode === "panic" ? decision.panic : decision.stable, ""), said(decision.heldRequests), said(decision.times)]),
      "None yet."));
    put("wakes", listed("", ["when", "asked by", "request", "held", "ordered", "started", "ready", "outcome"],
      wakes.slice(-20).reverse().map((wake) => [
        clock(wake.at), wake.askedBy, said(wake.requestId), said(wake.heldRequests), figure(wake.orderedSeconds, "s"),
        figure(wake.startedSeconds, "s"), figure(wake.readySeconds, "s"), wake.outcome ?? "under way"]),
      "It has not been woken yet."));
    put("settings", table("", ["setting", "value", "said by"],
      Object.entries(revision.settings).map(([name, { value, source }]) => [name, value, source])));
  }

  async function turn() {
    let wait = EVERY;
    if (!document.hidden) {
      try {
        const revision = await look();
        if (revision?.state === "waking") wait = WAKING;
        byId("banner").hidden = true;
      } catch (error) {
        byId("banner").textContent = "No answer from " + location.host + " (" + error.message + "). What is shown is the last that was heard; trying again.";
        byId("banner").hidden = false;
      }
    }
    setTimeout(turn, wait);
  }

  byId("revision").addEventListener("change", (event) => {
    chosen = event.target.value;
    look().catch(() => {});
  });
  turn();
})();
