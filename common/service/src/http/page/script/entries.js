
// The newest entries of this node's log.

const MAX_ENTRIES = 200;
const MAX_CONTENT_CHARS = 300;
/** So far behind, the entries between are not worth reading: they would not be shown any more. */
const SKIP_AFTER = 5 * MAX_ENTRIES;

class Entries {
  /** By position, ascending: `{ seq, epoch, id, content, length }`, or the JSON of it as long as nobody has looked. */
  #bySeq = new Map();
  #from = 1;
  last = 0;

  /** The path to read from when nothing was read yet. */
  path() {
    return `/messages/stream?from=${this.#from}`;
  }

  /** Forgets everything: what comes next is the end of a log that ends there. */
  beginNear(lastSeq) {
    this.#bySeq.clear();
    this.#from = Math.max(1, lastSeq - MAX_ENTRIES + 1);
    this.last = 0;
  }

  isFarBehind(lastSeq) {
    return lastSeq - Math.max(this.last, this.#from - 1) > SKIP_AFTER;
  }

  take(event, data, id) {
    if (event === "reset") {
      this.#forgetFrom(JSON.parse(data).from);
    } else if (event === "message") {
      const seq = Number.parseInt(id, 10);
      // Long ones are not kept as they are.
      this.#bySeq.set(seq, data.length > 4 * MAX_CONTENT_CHARS ? shortened(data) : data);
      this.last = seq;
      for (const oldest of this.#bySeq.keys()) {
        if (this.#bySeq.size <= MAX_ENTRIES) break;
        this.#bySeq.delete(oldest);
      }
    }
  }

  /** Another log goes on from there. */
  #forgetFrom(from) {
    for (const seq of this.#bySeq.keys()) {
      if (seq >= from) this.#bySeq.delete(seq);
    }
    this.last = Math.min(this.last, from - 1);
  }

  get(seq) {
    const entry = this.#bySeq.get(seq);
    if (typeof entry !== "string") return entry;
    const read = shortened(entry);
    this.#bySeq.set(seq, read);
    return read;
  }

  /** The positions, newest first. */
  seqs() {
    return [...this.#bySeq.keys()].reverse();
  }
}

function shortened(json) {
  const { seq, epoch, message_id: id, content } = JSON.parse(json);
  return { seq, epoch, id, content: cut(content, MAX_CONTENT_CHARS), length: content.length };
}

/** At most that many characters; a pair of surrogates is one. */
function cut(text, max) {
  return text.length <= max ? text : [...text.slice(0, max)].slice(0, max - 1).join("") + "…";
}
