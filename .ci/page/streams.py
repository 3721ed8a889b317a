"""How the page opens a stream again, its own script in a browser against a server that breaks off; see .ci/check-page."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Event

from nodes import free_ports
from stranger import Stranger

SCRIPT = Path(__file__).parents[2] / "common/service/src/http/page/script"
START = """
const number = String;
const access = new Access(() => {});
const seen = [];
const stream = new Stream(() => "/stream?from=1", (event, data, id) => seen.push([event, data, id ?? null]), 60_000);
Object.assign(window, { seen, stream, access, call });
stream.open();
"""
# Long enough for every pause between two tries that the first few have.
LET_IT_TRY = "const done = arguments[0]; setTimeout(done, 1500);"


class Breaker:
    """A server whose stream is what the test puts in: pieces, each of which is sent by itself, the status of a refusal, or another address."""

    def __init__(self):
        self.answers, self.requests, self.ends = Queue(), Queue(), Queue()
        breaker = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_GET(self):
                if self.path != "/stream?from=1":
                    return self.say(200, "text/html", b"<!doctype html><title>nothing</title>")
                breaker.requests.put({name.lower(): value for name, value in self.headers.items()})
                answer = breaker.answers.get()
                if isinstance(answer, int):
                    problem = {"status": answer, "detail": f"this is a {answer}", "reason": "cross_site"}
                    return self.say(answer, "application/problem+json", json.dumps(problem).encode())
                if isinstance(answer, str):
                    return self.say(302, "text/plain", b"", ("location", answer))
                pieces, stays = answer
                self.say(200, "text/event-stream", b"")
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
                if stays:
                    # Until the browser hangs up.
                    self.connection.recv(1)
                    breaker.ends.put(True)

            def say(self, status, content_type, body, *headers):
                self.send_response(status)
                for name, value in (("content-type", content_type), *headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:{}/".format(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def is_asked(self):
        """The headers of the next request for the stream."""
        return self.requests.get(timeout=10)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def streams_go_on(browser):
    breaker = Breaker()
    try:
        look(browser, breaker)
    finally:
        breaker.stop()


def look(browser, breaker):
    def until(what, condition):
        browser.until(what, f"return {condition}")

    def is_not_asked(why):
        browser.driver.execute_async_script(LET_IT_TRY)
        assert breaker.requests.empty(), f"it tries again, {why}"

    browser.open(breaker.url)
    script = "".join((SCRIPT / name).read_text() for name in ("access.js", "calls.js"))
    browser.run(script + START)

    # It begins without a place, and goes on after what it has read, however often that breaks off.
    assert "last-event-id" not in breaker.is_asked()
    first, second = 'id: 0@log\r\ndata: a\r\n\r\nid: 1@log\r\ndata: é😀\r\n\r\nid: 2@log\r\ndata: lost'.encode().split(b"\xa9")
    is_read = Event()

    def cut_in_a_character():
        yield first
        is_read.wait(10)
        yield b"\xa9" + second

    breaker.answers.put((cut_in_a_character(), False))
    until("it has what is whole", "seen.length === 1")
    is_read.set()
    until("it has the next one", 'JSON.stringify(seen) === JSON.stringify([["message", "a", "0@log"], ["message", "é😀", "1@log"]])')
    assert breaker.is_asked()["last-event-id"] == "1@log"
    breaker.answers.put(503)
    assert breaker.is_asked()["last-event-id"] == "1@log"
    until("it says why it is not open", 'stream.problem === "this is a 503" && !stream.isRefused')
    breaker.answers.put(([b"id: 2@log\ndata: kept\n\n"], True))
    until("it has the second one", 'seen.length === 3 && seen[2][1] === "kept" && stream.problem === ""')

    # It hangs up when nobody looks any more, and comes back.
    browser.run("stream.close()")
    breaker.ends.get(timeout=10)
    is_not_asked("though it is closed")
    browser.run("stream.open()")
    assert breaker.is_asked()["last-event-id"] == "2@log"

    # What another try does not change ends it, until there is something new: the token that was given.
    for status in 401, 403:
        breaker.answers.put(status)
        until(f"it ends at a {status}", "stream.isRefused")
        is_not_asked(f"after a {status}")
        browser.run('access.give(" tökén\\n"); stream.retry()')
        asked = breaker.is_asked()
        assert (asked["last-event-id"], asked["authorization"].encode("latin-1").decode()) == ("2@log", "Bearer tökén"), asked
    # The place means nothing to that node.
    breaker.answers.put(400)
    assert "last-event-id" not in breaker.is_asked()

    # A call with a token is not led elsewhere.
    with Stranger(*free_ports(1)) as stranger:
        breaker.answers.put(stranger.url)
        breaker.is_asked()
        assert not stranger.heard, stranger.heard
    breaker.answers.put(([b": still here\n\n"], True))
    until("it is open", 'stream.problem === ""')

    # What is said of a token that was replaced meanwhile is not said of the other one.
    browser.run('window.late = call("/stream?from=1")')
    breaker.is_asked()
    browser.run('access.give("another token")')
    breaker.answers.put(401)
    browser.driver.execute_async_script("window.late.then(arguments[0])")
    assert browser.run("return [access.state, access.hasToken]") == ["trying", True]
