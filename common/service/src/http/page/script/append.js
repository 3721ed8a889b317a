
// Appends that are made on this page. Each has an id of its own, so it can be sent again, and is found among the entries.

/** A browser opens six connections to a node: two are the streams, one is for what is asked besides. */
const MAX_OPEN = 3;
const MAX_WRITES = 30;
/** So many nodes that lag are named; the others are in the table. */
const MAX_BEHIND = 8;

class Writes {
  /** Newest first. */
  list = [];
  #changed;
  #giveBack;

  /** `giveBack(content)` offers what was not let in to be sent once more; false where there is no room for it. */
  constructor(changed, giveBack) {
    this.#changed = changed;
    this.#giveBack = giveBack;
  }

  append(content, w) {
    const write = { id: newId(), content, w, state: "queued", began: performance.now(), detail: "" };
    this.list.unshift(write);
    this.#forgetOldest();
    this.#sendNext();
  }

  /** Sends one again. Its id is the same: it is in the log once, whatever has become of it. */
  again(write) {
    write.state = "queued";
    write.isBarred = false;
    this.#sendNext();
  }

  /** What the newest health and entries say of those that wait. */
  follow(nodes, entries) {
    const open = this.list.filter((write) => ["open", "followed", "unknown"].includes(write.state));
    if (open.length > 0) {
      const seqs = new Map(entries.seqs().map((seq) => [entries.get(seq).id, seq]));
      for (const write of open) write.seq = seqs.get(write.id) ?? write.seq;
    }
    const members = nodes.filter((node) => node.isMember).length - 1;
    for (const write of open) {
      write.needed = needed(write.w, members);
      write.acks = write.seq && holders(nodes, write.seq);
      write.lacking = write.seq && nodes.filter((n) => n.isMember && holding(n, write.seq) !== "held").map((n) => n.id);
      // Nobody waits for an answer to these any more: whoever holds them is known all the same.
      if (write.state !== "open" && write.acks >= write.needed) this.#settle(write, "done");
    }
    this.#sendNext();
  }

  /** The entries from there on are another log's. */
  forgetFrom(seq) {
    for (const write of this.list) {
      if (write.seq < seq || !["open", "followed", "unknown"].includes(write.state)) continue;
      write.seq = undefined;
      if (write.state === "followed") this.#settle(write, "refused", "the log is another one now");
    }
  }

  /** What a client waits for who has sent the entry of that id. */
  waitsFor(id) {
    const write = this.list.find((write) => write.id === id && ["open", "followed"].includes(write.state));
    return write && `w=${write.w} waits`;
  }

  #sendNext() {
    for (;;) {
      const next = this.list.findLast((write) => write.state === "queued");
      if (!next) break;
      const open = this.list.filter((write) => write.state === "open");
      if (open.length >= MAX_OPEN) {
        // One that is in the log goes on replicating, whoever waits for it.
        const oldest = open.findLast((write) => write.seq);
        if (!oldest) break;
        oldest.state = "followed";
        oldest.controller.abort();
      }
      this.#send(next);
    }
    this.#changed();
  }

  async #send(write) {
    write.state = "open";
    write.controller = new AbortController();
    const { id: message_id, content, w } = write;
    try {
      const answer = await call("/messages", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ content, w, message_id }),
        signal: write.controller.signal,
      });
      if (answer.ok) {
        const { seq, acks } = await answer.json();
        Object.assign(write, { seq, acks });
        this.#settle(write, "done");
      } else {
        const problem = await answer.clone().json().catch(() => null);
        if (problem?.seq) write.seq = problem.seq;
        // With another token it may be let in: the text is not to be typed again.
        write.isBarred = [401, 403].includes(answer.status) && !this.#giveBack(content);
        this.#settle(write, answer.status === 504 ? "unknown" : "refused", await problemOf(answer, "append"));
      }
    } catch (error) {
      if (write.state === "open") this.#settle(write, "unknown", "there was no answer");
    }
    this.#sendNext();
  }

  #settle(write, state, detail = "") {
    Object.assign(write, { state, detail, tookMs: performance.now() - write.began });
    announce(describe(write));
    this.#changed();
  }

  #forgetOldest() {
    while (this.list.length > MAX_WRITES) {
      const oldest = this.list.findLastIndex((write) => ["done", "refused"].includes(write.state));
      const [forgotten] = this.list.splice(oldest < 0 ? -1 : oldest, 1);
      forgotten.controller?.abort();
      forgotten.state = "forgotten";
    }
  }
}

/** A random UUID. `crypto.randomUUID` is there only where the page came over TLS or from this machine. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function describe(write) {
  // Isolated: what is written from right to left leaves the rest as it is.
  const what = `“\u2068${cut(write.content, 40)}\u2069”`;
  const entry = write.seq && `entry ${number(write.seq)}`;
  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`;
  switch (write.state) {
    case "queued": return `${what} is about to be sent`;
    case "done": return `${what}: ${entry}, held by ${count(write.acks, "node")} (w=${write.w}) after ${seconds(write.tookMs)}`;
    case "refused": return `${what} was refused: ${write.detail}`;
    case "unknown":
      return write.seq
        ? `${what}: ${entry}; ${write.detail}`
        : `${what}: ${write.detail}. Whether it is in the log is not known; sent again, it is there once`;
    default: {
      if (!entry) return `${what} waits (w=${write.w})`;
      const without = write.lacking?.length ? `, not yet by ${listed(write.lacking.slice(0, 5))}` : "";
      return `${what} waits: ${entry}, held by ${write.acks} of ${write.needed}${without}`;
    }
  }
}

const WRITE_TICKS = { done: "held", refused: "lacks", unknown: "lacks" };

function showWrites(writes) {
  const byId = new Map(writes.list.map((write) => [write.id, write]));
  const create = (id) => {
    const button = make("button", { type: "button", className: "second", textContent: "Send again", hidden: true });
    button.addEventListener("click", () => writes.again(byId.get(id)));
    const tick = make("span");
    tick.setAttribute("aria-hidden", "true");
    return make("li", {}, tick, " ", make("span"), " ", button);
  };
  arrange($("writes"), byId.keys(), create, (item, id) => {
    const write = byId.get(id);
    const [tick, text, button] = item.children;
    item.dataset.state = write.state;
    setText(text, describe(write));
    setClass(tick, `tick ${WRITE_TICKS[write.state] ?? "waits"}`);
    setClass(text, WRITE_TICKS[write.state] === "lacks" ? "bad" : "");
    button.hidden = write.state !== "unknown" && !write.isBarred;
  });
}

/** The write concerns that one may ask for. */
function showConcerns(select, members, isNew) {
  const most = Math.min(Math.max(members + 1, 3), MAX_NODES);
  const numbers = Array.from({ length: most }, (_, i) => String(i + 1));
  arrange(select, [...numbers, "majority", "all"], (w) => make("option", { value: w, textContent: w }));
  if (isNew) select.value = "all";
}

/** Who does not have the newest entries. */
function showWaiting(health, nodes, elapsedMs) {
  const behind = nodes.filter((node) => node.isMember && node.position < health.last_seq);
  const wait = health.waiting === 0 ? "No write waits." : `${count(health.waiting, "write")} ${health.waiting === 1 ? "waits" : "wait"} for more nodes.`;
  const all = behind.length === 0 ? " Every node has all entries." : "";
  setText($("waiting"), wait + all);
  setClass($("waiting"), health.waiting > 0 ? "warn" : "");
  const byId = new Map(behind.slice(0, MAX_BEHIND).map((node) => [node.id, node]));
  const more = behind.length - byId.size;
  arrange($("behind"), more > 0 ? [...byId.keys(), ""] : byId.keys(), () => make("li"), (item, id) => {
    if (!id) return setText(item, `and ${count(more, "more node")}`);
    const { position, status, heardMs } = byId.get(id);
    const first = position + 1;
    const which = first === health.last_seq ? `entry ${number(first)}` : `entries ${number(first)} to ${number(health.last_seq)}`;
    const heard = heardMs === null ? "was never heard" : `${words(status)}, heard ${ago(heardMs + elapsedMs)}`;
    setText(item, `${id} has not acknowledged ${which} (${heard})`);
  });
}
