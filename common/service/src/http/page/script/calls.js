
// Calls, and streams of server-sent events. They are read from the body of an answer, not by EventSource: so a call can carry
// headers of its own.

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 4000;

/** Every call of the page goes through here. */
function call(url, options = {}) {
  return fetch(url, { cache: "no-store", ...options });
}

/** What went wrong, in words: the detail of a problem (RFC 9457), or the status where there is none. */
async function problemOf(answer) {
  const problem = await answer.json().catch(() => null);
  return problem?.detail ?? `the answer was ${answer.status} ${answer.statusText}`;
}

/** Takes the text of an event stream (WHATWG HTML, 9.2.6) in pieces, and hands out whole events. */
class EventParser {
  #rest = "";
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
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const [event, data, id] = [this.#event || "message", this.#data, this.#id];
    [this.#event, this.#data, this.#id] = ["", [], undefined];
    if (id !== undefined) this.placed(id);
    if (data.length > 0) this.take(event, data.join("\n"), id);
  }
}

/** One stream, opened again whenever it ends, for as long as somebody looks at the page. */
class Stream {
  /** Why it is not open; empty while it is. */
  problem = "";
  #path;
  #take;
  #longestSilenceMs;
  #lastId = "";
  #retryMs = FIRST_RETRY_MS;
  #controller = null;
  #wakeUp = () => {};
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
    else this.#wakeUp();
  }

  /** Until the next `open`. */
  close() {
    this.#isWanted = false;
    this.#controller?.abort();
    this.#wakeUp();
  }

  /** Begins anew, as if nothing had been read. */
  restart() {
    this.#lastId = "";
    this.#controller?.abort();
    this.#retryMs = FIRST_RETRY_MS;
    this.#wakeUp();
  }

  async #run() {
    // A run that was closed and opened again meanwhile goes on as this one.
    if (this.#controller) return;
    while (this.#isWanted) {
      this.#controller = new AbortController();
      try {
        await this.#read(this.#controller.signal);
        this.problem = "the stream has ended";
      } catch (error) {
        this.problem = error.name === "AbortError" ? "" : error.message;
      }
      if (!this.#isWanted) break;
      await this.#pause();
    }
    this.#controller = null;
  }

  async #read(signal) {
    const headers = { accept: "text/event-stream" };
    if (this.#lastId) headers["last-event-id"] = this.#lastId;
    this.#readAt = performance.now();
    const answer = await call(this.#path(), { headers, signal });
    if (!answer.ok) {
      // What was read last means nothing to this node any more.
      if (answer.status === 400) this.#lastId = "";
      throw new Error(await problemOf(answer));
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

  #pause() {
    const jitter = 0.75 + Math.random() / 2;
    const ms = this.#retryMs * jitter;
    this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_RETRY_MS);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wakeUp = () => { clearTimeout(timer); resolve(); };
    });
  }

  /** A line that is dead is not always told so. */
  #watch() {
    const silence = performance.now() - this.#readAt;
    if (this.#isWanted && silence > this.#longestSilenceMs) this.#controller?.abort();
  }
}
