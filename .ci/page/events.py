"""How the page reads server-sent events (WHATWG HTML, section 9.2.6), its own script in a browser; see .ci/check-page."""

from pathlib import Path

CALLS = Path(__file__).parents[2] / "common/service/src/http/page/script/calls.js"
LINES = [
    "\ufeff: a comment", "id: 0@log", "", "event: health", 'data: {"a":1}', "", "id:1@log", "event: message", "data: first",
    "data:  second, é and 😀", "data", "unknown: x", "", ":", "", "data", "", "id: 2@log", "", "event: lost", "", "data: not ended",
]
EVENTS = [["health", '{"a":1}', None], ["message", "first\n second, é and 😀\n", "1@log"], ["message", "", None]]
PLACES = ["0@log", "1@log", "2@log"]
READ = """
const [bytes, cuts, done] = [Uint8Array.from(arguments[0]), arguments[1], arguments[2]];
const events = [];
const places = [];
const parser = new EventParser((event, data, id) => events.push([event, data, id ?? null]), (id) => places.push(id));
const decoder = new TextDecoder();
let from = 0;
for (const to of [...cuts, bytes.length]) {
  parser.push(decoder.decode(bytes.subarray(from, to), { stream: true }));
  from = to;
}
return [events, places];
"""
# How much is taken: of one event, its data in one line or in very many, and of a whole stream of short ones.
TAKE = """
const number = String;
const [piece, most] = arguments;
const parser = new EventParser(() => {}, () => {});
for (let chars = 0; chars < most; chars += piece.length) {
  try {
    parser.push(piece);
  } catch (error) {
    return [chars, error instanceof Refused];
  }
}
return [null, false];
"""
MOST_CHARS = 1 << 25


def reads_events_however_they_are_cut(browser):
    """Also between the bytes of a character, and between the two of a line's end."""
    source = CALLS.read_text()
    for end in "\n", "\r\n", "\r":
        sent = end.join(LINES).encode()
        by_one = list(range(1, len(sent)))
        for cuts in [[], by_one, by_one[::3], *([cut] for cut in by_one)]:
            read = browser.run(source + READ, list(sent), cuts)
            assert read == [EVENTS, PLACES], f"lines end with {end!r}, cut at {cuts}: {read}"
    for piece in "x" * (1 << 20), "data:\n" * (1 << 17), "data: " + "x" * 4000 + "\n":
        chars, is_refused = browser.run(source + TAKE, piece, 2 * MOST_CHARS)
        assert is_refused and chars <= MOST_CHARS, f"{piece[:8]!r}: {chars}"
    for piece in "data: x\n\n" * (1 << 17), ": still here\n" * (1 << 17):
        chars, _ = browser.run(source + TAKE, piece, 2 * MOST_CHARS)
        assert chars is None, f"{piece[:8]!r}: {chars}"
