
// The latest entries, a row each, and which node holds them, a column each.

const HOLDINGS = { held: "holds it", waits: "not yet", lacks: "not there, not heard" };

let columns = "";

/** Shows the entries; `waits` says of the id of an entry what a client on this page waits for. */
function showMatrix(health, nodes, entries, waits) {
  const shown = nodes.slice(0, MAX_NODES);
  const names = JSON.stringify(shown.map((node) => node.id));
  const body = $("matrix").tBodies[0];
  if (names !== columns) {
    columns = names;
    setClass($("matrix"), health.role);
    $("matrix").tHead.rows[0].replaceChildren(
      head("Seq", "number"),
      ...shown.map((node) => head(node.id, "node", node.id)),
      head("Held by", "held-by"),
      head("Message", ""),
    );
    arrange(body, [], entryRow);
  }
  const self = shown[0];
  // What the node has sent, it has: the health may be a moment older.
  const own = { ...self, position: Math.max(self.position, entries.last) };
  const holds = [own, ...shown.slice(1)];
  const seqs = entries.seqs();
  const missing = missingOf(holds);
  arrange(body, missing ? ["missing", ...seqs] : seqs, entryRow, (row, key) => {
    if (key === "missing") return showMissing(row, holds, missing);
    const entry = entries.get(key);
    setClass(row, key <= health.committed_seq ? "committed" : "");
    showHoldings(row, holds, key);
    const by = holders([own, ...nodes.slice(1)], key);
    const members = nodes.filter((node) => node.isMember).length;
    const of = health.role === "master" ? `${by} of ${members}` : "";
    setText(row.cells[holds.length + 1], of);
    showContent(row.cells[holds.length + 2], entry, entries.get(key - 1), waits(entry.id));
  });
  const total = seqs.length === 0 ? "The log is empty." : `${count(seqs.length, "entry", "entries")} of ${number(own.position)}, newest first.`;
  setText($("log-note"), total);
}

/** What another node has that this one has not. */
function missingOf([own, ...others]) {
  const end = Math.max(...others.filter((node) => node.id === "master").map((node) => node.position ?? 0), 0);
  return end > own.position ? { first: own.position + 1, last: end } : null;
}

function head(text, className, title = "") {
  return make("th", { scope: "col", className, textContent: text, title });
}

function entryRow(key) {
  const seq = make("td", { className: "number", textContent: key === "missing" ? "" : key });
  const ticks = JSON.parse(columns).map(() => {
    const tick = make("span");
    tick.setAttribute("role", "img");
    return make("td", { className: "node" }, tick);
  });
  const content = make("div", { className: "content", dir: "auto" });
  const row = make("tr", {}, seq, ...ticks, make("td", { className: "held-by" }), make("td", { className: "text" }, make("div", { className: "message" }, content)));
  row.dataset.seq = key;
  return row;
}

function showHoldings(row, nodes, seq) {
  nodes.forEach((node, i) => {
    const tick = row.cells[i + 1].firstElementChild;
    const how = holding(node, seq);
    if (tick.dataset.how === how) return;
    tick.dataset.how = how;
    setClass(tick, `tick ${how}`);
    tick.setAttribute("aria-label", HOLDINGS[how]);
  });
}

function showMissing(row, nodes, { first, last }) {
  setText(row.cells[0], first === last ? number(first) : `${number(first)}–${number(last)}`);
  showHoldings(row, nodes, last);
  setText(row.querySelector(".content"), `${count(last - first + 1, "entry", "entries")} not here yet`);
}

function showContent(cell, entry, before, waits) {
  const message = cell.firstElementChild;
  const content = message.firstElementChild;
  setText(content, entry.content === "" ? "(empty)" : entry.content);
  setClass(content, entry.content === "" ? "content empty" : "content");
  const tags = [
    before && before.epoch !== entry.epoch && `epoch ${number(entry.epoch)}`,
    entry.length > MAX_CONTENT_CHARS && `${number(entry.length)} characters`,
    waits,
  ].filter(Boolean);
  const create = (key) => (key === content ? content : make("span", { className: key === waits ? "tag warn" : "tag", textContent: key }));
  arrange(message, [content, ...tags], create);
}
