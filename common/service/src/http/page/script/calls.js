
// Calls, and streams of server-sent events. They are read from the body of an answer, not by EventSource: so a call can carry
// headers of its own.

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 4000;

/** An event that is longer than that is nobody's entry. */
const MAX_EVENT_CHARS = 1 << 25;

/** Every call of the page goes through here: only here does a call get the token, and only for the page's own node. */
async function call(url, options = {}) {
  const target = new URL(url, location.href);
  const token = access.tokenFor(target);
  const guarded = token ? { headers: { ...options.headers, authorization: `Bearer ${token}` }, redirect: "error" } : {};
  const answer = await fetch(target, { cache: "no-store", ...options, ...guarded });
  access.heard(target, token, answer.status);
  return answer;
}

/** What went wrong, in words: the detail of a problem (RFC 9457), or the status where there is none. `role` is what the call takes. */
async function problemOf(answer, role = "read") {
  const problem = await answer.json().catch(() => null);
  const detail = problem?.detail ?? `the answer was ${answer.status} ${answer.statusText}`;
  const isOwn = new URL(answer.url).origin === location.origin;
  if (answer.status === 401) return isOwn ? "the node takes it only with a token that it knows" : "this node wants a token, on its own page";
  if (answer.status !== 403 || problem?.reason !== "insufficient_role") return detail;
  return `the role of the token is too little, it takes “${role}”: ${detail}`;
}

/** An answer that another try does not change: 401 and 403, or what is no stream of events. */
class Refused extends Error {}

/** Takes the text of an event stream (WHATWG HTML, 9.2.6) in pieces, and hands out whole events. */
class EventParser {
  #rest = "";
  #chars = 0;
  #afterReturn = false;
  #event = "";
  #data = [];
  #id;

  /** `take(event, data)` is called for each event that has data; `placed(id)` for each block that has an id. */
  constructor(take, placed) {
    this.take = take;
    this.placed = placed;
  }

  push(text) {
    if (text === "") return;
    // A line may end with \r, \n or both, and a piece between the two.
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    this.#afterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
    if (this.#rest.length + this.#chars > MAX_EVENT_CHARS) throw new Refused(`an event has more than ${number(MAX_EVENT_CHARS)} characters`);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#event = value;
    else if (field === "data") {
      this.#data.push(value);
      // A short line takes room as well.
      this.#chars += value.length + 16;
    } else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const [event, data, id] = [this.#event || "message", this.#data, this.#id];
    [this.#event, this.#data, this.#chars, this.#id] = ["", [], 0, undefined];
    if (id !== undefined) this.placed(id);
    if (data.length > 0) this.take(event, data.join("\n"), id);
  }
}

/** One stream, opened again whenever it ends, for as long as somebody looks at the page. */
class Stream {
  /** Why it is not open; empty while it is. */
  problem = "";
  /** Whether it waits to be opened again, because another try would be answered the same. */
  isRefused = false;
  #path;
  #take;
  #longestSilenceMs;
  #lastId = "";
  #retryMs = FIRST_RETRY_MS;
  #controller = null;
  #wakeUp = () => {};
  #isWoken = false;
  #readAt = 0;
  #isWanted = false;

  /** `path()` is asked at each opening; `take(event, data, id)` is told of each event. */
  constructor(path, take, longestSilenceMs) {
    this.#path = path;
    this.#take = take;
    this.#longestSilenceMs = longestSilenceMs;
    setInterval(() => this.#watch(), 1000);
  }

  /** Opens it, or tries at once where the next try is still to come. */
  open() {
    const isNew = !this.#isWanted;
    this.#isWanted = true;
    this.#retryMs = FIRST_RETRY_MS;
    if (isNew) this.#run();
    else this.#wake();
  }

  /** Opens it anew, where it is wanted: the answer may be another one now. What was read stays read. */
  retry() {
    this.#controller?.abort();
    this.#retryMs = FIRST_RETRY_MS;
    this.#wake();
  }

  /** Until the next `open`. */
  close() {
    this.#isWanted = false;
    this.#controller?.abort();
    this.#wake();
  }

  /** Begins anew, as if nothing had been read. */
  restart() {
    this.#lastId = "";
    this.retry();
  }

  async #run() {
    // A run that was closed and opened again meanwhile goes on as this one.
    if (this.#controller) return;
    while (this.#isWanted) {
      this.#controller = new AbortController();
      this.#isWoken = false;
      try {
        await this.#read(this.#controller.signal);
        this.problem = "the stream has ended";
      } catch (error) {
        this.problem = error.name === "AbortError" ? "" : error.message;
        this.isRefused = error instanceof Refused;
      }
      // Where an event could not be taken, the rest of the answer is still to come.
      this.#controller.abort();
      if (!this.#isWanted) break;
      await this.#pause();
      this.isRefused = false;
    }
    this.#controller = null;
    this.isRefused = false;
  }

  async #read(signal) {
    const headers = { accept: "text/event-stream" };
    if (this.#lastId) headers["last-event-id"] = this.#lastId;
    this.#readAt = performance.now();
    const answer = await call(this.#path(), { headers, signal });
    if (!answer.ok) {
      // What was read last means nothing to this node any more.
      if (answer.status === 400) this.#lastId = "";
      const problem = await problemOf(answer);
      throw [401, 403].includes(answer.status) ? new Refused(problem) : new Error(problem);
    }
    const parser = new EventParser(
      (event, data, id) => this.#take(event, data, id),
      (id) => { this.#lastId = id; },
    );
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      this.#readAt = performance.now();
      this.problem = "";
      this.#retryMs = FIRST_RETRY_MS;
      parser.push(decoder.decode(value, { stream: true }));
    }
  }

  /** Until the next try; after a refusal until somebody opens it again. Not at all where somebody has meanwhile. */
  #pause() {
    if (this.#isWoken) return;
    const jitter = 0.75 + Math.random() / 2;
    const ms = this.#retryMs * jitter;
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    return new Promise((resolve) => {
      const timer = this.isRefused ? undefined : setTimeout(resolve, ms);
      this.#wakeUp = () => { clearTimeout(timer); resolve(); };
    });
  }

  #wake() {
    this.#isWoken = true;
    this.#wakeUp();
  }

  /** A line that is dead is not always told so. */
  #watch() {
    const silence = performance.now() - this.#readAt;
    if (this.#isWanted && silence > this.#longestSilenceMs) this.#controller?.abort();
  }
}
