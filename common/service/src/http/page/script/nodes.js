
// The nodes, as this node's health tells of them.

/** So many are shown; the rest is counted. */
const MAX_NODES = 40;
/** A secondary's master that was not heard for so long is said to be silent. */
const SILENT_MS = 2500;

const LOOKS = {
  ok: "ok", healthy: "ok", heard: "ok", connected: "ok",
  catching_up: "warn", recovering: "warn", suspected: "warn", stopping: "warn", standby: "warn",
  read_only: "bad", fenced: "bad", unhealthy: "bad", diverged: "bad", silent: "bad", disconnected: "bad", denied: "bad",
};
const looks = (word) => LOOKS[word] ?? "idle";
const words = (word) => word.replaceAll("_", " ");

/** What this node is called: a secondary has a name, a master and one that stands by are what they are. */
const selfOf = (health) => health.id ?? health.role;

/**
 * Every node of which `health` tells: `{ id, status, position, lag, heardMs, problem, url, isSelf, isMember }`. The node that is
 * asked comes first.
 */
function nodesOf(health) {
  const self = { position: health.last_seq, heardMs: 0, isSelf: true, isMember: true };
  if (health.role === "master") {
    const secondary = (isMember) => (m) => ({
      id: m.id, status: m.status, position: m.acked_seq, lag: m.lag, heardMs: m.last_seen_ms, url: m.url, isMember,
      problem: [m.problem, m.held_from && `holds entries from ${m.held_from} on, and not the one before`].filter(Boolean).join("; "),
    });
    return [
      { id: "master", status: health.status, lag: 0, ...self },
      ...health.members.map(secondary(true)),
      ...(health.observers ?? []).map(secondary(false)),
    ];
  }
  if (health.role === "standby") return [{ id: "standby", status: health.status, lag: null, ...self }, ...activeOf(health)];
  const heardMs = health.master_last_seen_ms;
  const status = heardMs === null ? "unknown" : heardMs > SILENT_MS ? "silent" : "heard";
  const known = health.lag !== null && heardMs !== null;
  return [
    { id: health.id, status: health.status, lag: health.lag, ...self },
    {
      id: "master", status, heardMs, url: health.master_url, isMember: true,
      position: known ? health.last_seq + health.lag : null, lag: known ? 0 : null,
    },
  ];
}

/** The master that leads, as one that stands by knows it: what is here was in its log. */
function activeOf({ active, last_seq: position }) {
  if (!active) return [];
  const heardMs = active.silent_ms ?? null;
  const status = heardMs === null ? "unknown" : heardMs > SILENT_MS ? "silent" : "heard";
  return [{ id: "master", status, heardMs, url: active.url, position, lag: null, isMember: true }];
}

const isAway = (node) => ["unhealthy", "unknown", "diverged", "silent"].includes(node.status);

/** How a node stands to an entry: `held`, `waits`, or `lacks` where nothing is to be hoped for now. */
function holding(node, seq) {
  if (node.position !== null && seq <= node.position) return "held";
  return isAway(node) ? "lacks" : "waits";
}

/** How many nodes count as holders of an entry, as far as the health tells. */
const holders = (nodes, seq) => nodes.filter((node) => node.isMember && holding(node, seq) === "held").length;

/** A write concern as a number of nodes. */
function needed(w, members) {
  const all = members + 1;
  if (w === "all") return all;
  return w === "majority" ? Math.floor(all / 2) + 1 : Number(w);
}

/** An address of a node that a browser may go to; null for anything else. */
function addressOf(url) {
  const parsed = URL.canParse(url ?? "") ? new URL(url) : null;
  return parsed && ["http:", "https:"].includes(parsed.protocol) ? parsed : null;
}

/** Shows the table of nodes. `elapsedMs` have passed since the health was said. */
function showNodes(nodes, elapsedMs) {
  const shown = nodes.slice(0, MAX_NODES);
  const byId = new Map(shown.map((node) => [node.id, node]));
  arrange($("nodes"), ["", ...byId.keys()], nodeRows, (body, id) => {
    if (id) showNode(body, byId.get(id), elapsedMs);
  });
  $("nodes-note").hidden = nodes.length <= MAX_NODES;
  setText($("nodes-note"), `and ${count(nodes.length - MAX_NODES, "more node")}`);
}

function nodeRows(id) {
  // The head is there before anything is known.
  if (!id) return document.querySelector("#nodes thead");
  const cells = ["", "number", "number", ""].map((className) => make("td", { className }));
  const row = make("tr", {}, make("th", { scope: "row" }), ...cells);
  const problem = make("tr", { className: "problem" }, make("td", { colSpan: 5 }));
  const body = make("tbody", {}, row, problem);
  body.dataset.node = id;
  return body;
}

function showNode(body, node, elapsedMs) {
  const [row, problem] = body.rows;
  const [name, status, position, lag, heard] = row.cells;
  showName(name, node);
  setText(status, words(node.status) + (node.isMember ? "" : ", observer"));
  setClass(status, looks(node.status));
  setText(position, node.position === null ? "?" : number(node.position));
  setText(lag, node.lag === null ? "?" : number(node.lag));
  setClass(lag, node.lag > 0 ? "number warn" : "number");
  setText(heard, node.isSelf ? "–" : ago(node.heardMs === null ? null : node.heardMs + elapsedMs));
  problem.hidden = !node.problem;
  setText(problem.cells[0], node.problem ?? "");
}

function showName(cell, node) {
  const address = node.isSelf ? null : addressOf(node.url);
  const link = cell.querySelector("a");
  const isShown = cell.textContent === node.id && link?.href === address?.href;
  if (isShown) return;
  cell.replaceChildren(address ? make("a", { href: address.href, rel: "noreferrer", textContent: node.id }) : node.id);
}
