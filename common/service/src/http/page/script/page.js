
// What is shown, from what was heard: the health of this node as it changes, and its log.

/** The health comes at least every two seconds. */
const STALE_MS = 2500;
/** After that the line is taken for dead, and another one is opened. */
const DEAD_MS = 10_000;
/** A stream of entries without any says so every 15 seconds. */
const DEAD_LOG_MS = 40_000;
/** A chunk that is on its way to the stream for longer is worth a word: a stream may take nothing, and call itself well. */
const SLOW_JOURNAL_MS = 1000;

let health = null;
let heardAt = performance.now();
let heardTime = new Date();
let isStale = false;
let isDrawing = false;
let statuses = new Map();
let isChangingToken = false;

const access = new Access(takeAccess);
const entries = new Entries();
const writes = new Writes(changed, giveBack);
const faults = new Faults(changed);
const healthStream = new Stream(() => "/health/stream", takeHealth, DEAD_MS);
const logStream = new Stream(() => entries.path(), takeEntry, DEAD_LOG_MS);

function takeHealth(event, data) {
  if (event !== "health") return;
  const isFirst = health === null;
  const wasStale = isStale;
  health = JSON.parse(data);
  heardAt = performance.now();
  heardTime = new Date();
  if (isFirst) {
    entries.beginNear(health.last_seq);
  } else if (entries.isFarBehind(health.last_seq)) {
    entries.beginNear(health.last_seq);
    logStream.restart();
  }
  if (isFirst || wasStale) logStream.open();
  if (isFirst) faults.learnReachable();
  if (wasStale) faults.forget();
  const nodes = nodesOf(health);
  announceStatuses(nodes);
  writes.follow(nodes, entries);
  faults.look(health, nodes);
  changed();
}

function takeEntry(event, data, id) {
  if (event === "reset") writes.forgetFrom(JSON.parse(data).from);
  entries.take(event, data, id);
  changed();
}

/** Another token, or what the node says of it. */
function takeAccess(state) {
  if (access.isAsking) isChangingToken = false;
  if (state === "trying") {
    faults.forget();
    healthStream.retry();
  }
  // With the first token the stream of health comes first, as it does without any.
  if (state === "taken" && health !== null) logStream.retry();
  const said = describeAccess(access);
  setText($("access-said"), access.isAsking ? said : "");
  if (said) announce(said);
  changed();
}

/** Puts a text back where it was typed, unless the next one is there. */
function giveBack(content) {
  const field = $("form").elements.content;
  if (field.value !== "") return false;
  field.value = content;
  return true;
}

function announceStatuses(nodes) {
  const now = new Map(nodes.slice(0, MAX_NODES).map((node) => [node.id, node.status]));
  for (const [id, status] of now) {
    const before = statuses.get(id);
    if (before && before !== status) announce(`${id} is ${words(status)}`);
  }
  statuses = now;
}

function nameOf(health) {
  return health === null ? "this node" : health.id ?? `the ${health.role}`;
}

/** Something is to be shown, with the next picture that the browser draws. */
function changed() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    draw();
  });
}

function draw() {
  const elapsedMs = performance.now() - heardAt;
  drawSilence(elapsedMs);
  showAccess(access, isChangingToken);
  if (health === null) return;
  const nodes = nodesOf(health);
  const isMaster = health.role === "master";
  setText($("node"), `· ${selfOf(health)}`);
  drawCards();
  drawNotices();
  showNodes(nodes, elapsedMs);
  showMatrix(health, nodes, entries, (id) => writes.waitsFor(id));
  const select = $("form").elements.w;
  showConcerns(select, health.members?.length ?? 0, select.options.length === 0);
  $("append").hidden = !isMaster;
  $("waiting").parentElement.hidden = !isMaster;
  if (isMaster) {
    showWrites(writes);
    showWaiting(health, nodes, elapsedMs);
  }
  showFaults(faults);
  const since = health.started_at ? `, since ${new Date(health.started_at).toLocaleString("en-GB")}` : "";
  setText($("foot"), (health.version ? `Version ${health.version}${since}. ` : "") + (health.instance ? `Start of the master: ${health.instance}.` : ""));
}

function drawSilence(elapsedMs) {
  const was = isStale;
  isStale = elapsedMs > STALE_MS;
  document.documentElement.classList.toggle("stale", isStale);
  // Before anything was heard, there is only the token to be asked for.
  const isOnlyAsking = access.isAsking && health === null;
  $("silence").hidden = !isStale || isOnlyAsking;
  const [state, look] = isOnlyAsking ? ["token needed", "idle"] : isStale ? ["no word", "idle"] : health === null ? ["connecting …", "idle"] : [words(health.status), looks(health.status)];
  setText($("state"), state);
  setClass($("state"), `pill ${look}`);
  document.title = health === null ? "Replicated log" : `${state} · ${selfOf(health)} · Replicated log`;
  const refusal = healthStream.isRefused && !access.isAsking ? ` Refused: ${healthStream.problem}. Reload the page to try again.` : "";
  if (isStale) setText($("silence"), `No word from ${nameOf(health)} since ${clock(heardTime)}. What is shown is from then.${refusal}`);
  if (was !== isStale && !isOnlyAsking) announce(isStale ? $("silence").textContent : `${nameOf(health)} is heard again`);
}

/** How long the chunk on its way has been, where that is worth a word; else 0. */
const slowJournalMs = ({ in_flight_ms: ms }) => (ms > SLOW_JOURNAL_MS ? ms : 0);

/** Where the log is: its value, how it looks, and what is said below it. */
function storageOf(storage) {
  const { kind, fsync, stream, replicas, current, leader, answers } = storage;
  if (kind !== "jetstream") {
    const value = [kind, fsync && `fsync ${fsync}`].filter(Boolean).join(", ");
    return [value, storage.is_full ? "bad" : "", storage.is_full && "the disk is full"];
  }
  const isBad = storage.is_full || !answers || slowJournalMs(storage) > 0;
  const led = leader ? `, led by ${leader}` : "";
  const below = storage.is_full ? "there is no room" : !answers ? "it does not answer" : `${stream}${led}`;
  return [`stream, ${current} of ${replicas} replicas`, isBad ? "bad" : current < replicas ? "warn" : "", below];
}

/** A name, a value, how it looks, and what is said below it. */
function cardsOf(health) {
  const behind = health.last_seq - health.committed_seq;
  const common = [
    ["Status", words(health.status), looks(health.status), health.reason && words(health.reason)],
    ["Epoch", number(health.epoch)],
    ["Last entry", number(health.last_seq)],
    ["Committed", number(health.committed_seq), behind > 0 ? "warn" : "", behind > 0 && `${number(behind)} not yet`],
  ];
  const last = [
    ["Broker", words(health.broker), looks(health.broker)],
    ["Storage", ...storageOf(health.storage)],
    ["Log", health.log_id ?? "none yet"],
  ];
  if (health.role === "master") {
    const { quorum } = health;
    return [
      ["Role", "master"], ...common,
      ["Quorum", `${quorum.alive} of ${health.members.length + 1}`, quorum.ok ? "ok" : "bad", `alive; ${quorum.needed} needed`],
      ["Waiting", count(health.waiting, "write"), health.waiting > 0 ? "warn" : ""],
      ...last,
    ];
  }
  if (health.role === "standby") {
    const lag = health.lag_chunks ?? null;
    return [
      ["Role", "standby"], ...common,
      ["Behind", lag === null ? "not known" : count(lag, "chunk"), lag > 0 ? "warn" : ""],
      ...last,
    ];
  }
  return [
    ["Role", "secondary"], ...common,
    ["Behind", health.lag === null ? "not known" : number(health.lag), health.lag > 0 ? "warn" : "", health.held_back > 0 && `${number(health.held_back)} held back`],
    ["Rolled back", count(health.put_aside ?? 0, "entry", "entries")],
    ...last,
  ];
}

function drawCards() {
  const cards = new Map(cardsOf(health).map(([name, ...rest]) => [name, rest]));
  const create = (name) => make("div", { className: name === "Log" ? "long" : "" }, make("dt", { textContent: name }), make("dd", {}, make("span"), make("small")));
  arrange($("cards"), cards.keys(), create, (card, name) => {
    const [value, look = "", below = ""] = cards.get(name);
    const [shown, small] = card.querySelector("dd").children;
    setText(shown, value);
    setClass(shown, look);
    setText(small, below || "");
  });
}

/** A stream that takes nothing, whatever it says of itself. */
function journalNotice(storage) {
  const ms = slowJournalMs(storage);
  if (ms === 0) return "";
  return `A chunk is on its way to the stream ${storage.stream} for ${Math.floor(ms / 1000)} s: it is not known to be stored, and no append is answered before it is`;
}

function drawNotices() {
  const damaged = health.storage.damaged ?? [];
  const notices = [
    health.problem,
    health.fenced_by?.problem,
    journalNotice(health.storage),
    health.role === "standby" && !health.active && "Nobody is known to lead: appends are refused until a master claims the stream",
    ...[...(health.cannot_read ?? []), ...(health.other_versions ?? [])].map((node) => node.problem),
    health.not_heard?.length > 0 && `Not heard since the start: ${listed(health.not_heard.slice(0, MAX_NODES))}`,
    damaged.length > 0 && `Damaged on the disk: ${count(damaged.length, "entry", "entries")}, from ${number(damaged[0])} on`,
    health.forged > 0 && `${count(health.forged, "message")} of a forged epoch ${health.forged === 1 ? "was" : "were"} dropped`,
    !isStale && logStream.problem && `The entries are not read just now: ${logStream.problem}${logStream.isRefused ? "" : "; it is tried again"}`,
  ];
  arrange($("notices"), notices.filter(Boolean).slice(0, MAX_NODES), (text) => make("li", { textContent: text }));
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const { content, w } = event.target.elements;
  writes.append(content.value, w.value);
  content.value = "";
  content.focus();
});

listenForToken(access, (isShown) => {
  isChangingToken = isShown;
  showAccess(access, isShown);
});

// Nobody looks: the few connections that a browser has to a node are for the pages that are seen.
function lookOrNot() {
  for (const stream of [healthStream, logStream]) {
    if (document.hidden) stream.close();
    else if (stream !== logStream || health !== null) stream.open();
  }
  if (!document.hidden) changed();
}
document.addEventListener("visibilitychange", lookOrNot);
window.addEventListener("online", lookOrNot);
// A page that is kept to be gone back to holds no connection.
window.addEventListener("pagehide", () => [healthStream, logStream].forEach((stream) => stream.close()));
window.addEventListener("pageshow", (event) => event.persisted && lookOrNot());
setInterval(() => {
  if (performance.now() - heardAt > STALE_MS !== isStale) changed();
}, 200);
// Ages grow.
setInterval(changed, 1000);
lookOrNot();
