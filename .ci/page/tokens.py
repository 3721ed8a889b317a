"""What the page must do where the nodes want tokens; see .ci/check-page."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from look import Looker
from nodes import Cluster, free_ports
from stranger import Stranger

READ, APPEND, ADMIN = "token-of-a-reader-5f1c", "token-of-a-writer-77a0", "token-of-an-admin-c0de"
WRONG, LATER = "token-of-nobody-0000", "token-of-a-later-reader-91b2"
TOKENS = [READ, APPEND, ADMIN, WRONG, LATER]
ASKS = 'text("state") === "token needed" && !document.getElementById("access").hidden'
LIVE = 'text("state") === "ok" && document.getElementById("access").hidden && text("access-held").includes("A token is kept")'
FIELD = 'document.getElementById("access-token")'
CONTENT = 'document.querySelector("#form input[name=content]")'


def has_token(text):
    return any(token in text for token in TOKENS)


class TokenCluster(Cluster):
    """Nodes with tokens, of which the last one has somebody else's address."""

    def __init__(self, demo, nats_server, work):
        [port] = free_ports(1)
        self.stranger = Stranger(port)
        super().__init__(demo, nats_server, work, {"REPLOG_TOKEN_READ": READ, "REPLOG_TOKEN_APPEND": APPEND, "REPLOG_TOKEN_ADMIN": ADMIN})
        self.second.environment["REPLOG_ADVERTISE_URL"] = self.stranger.url
        for node in self.nodes:
            node.token = ADMIN

    def stop(self):
        super().stop()
        self.stranger.stop()


class TokenCheck(Looker):
    def __init__(self, cluster, browser, work):
        super().__init__(browser)
        self.cluster, self.work = cluster, Path(work)

    def nothing_is_left_of(self, token):
        """Neither in the page, nor among what is kept for it."""
        found = self.now(
            "[document.documentElement.outerHTML, location.href, document.cookie, "
            "JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage}), "
            '...[...document.querySelectorAll("input")].map((input) => input.value)].join("\\n")'
        )
        assert token not in found, f"{token} is still there: {found}"

    def gives(self, token):
        self.browser.give_token(token)
        assert self.now(f"{FIELD}.value") == "", "the field keeps it"

    def asks_for_one(self):
        status, said = self.cluster.master.ask("POST", "/messages?w=all", {"content": "before"})
        assert status == 200, said
        self.browser.open(self.cluster.master.url)
        self.until("it asks", ASKS)
        self.until("that is said to those who listen", 'text("said").includes("answers only with a token")')
        asked = self.now(f'[{FIELD}.type, {FIELD}.autocomplete, {FIELD}.name, document.activeElement === {FIELD}, text("access-origin")]')
        assert asked == ["password", "off", "", True, self.cluster.master.url], asked
        assert self.now('text("access-said")') == "This node answers only with a token."
        assert "before" not in self.now("document.body.innerText"), "it shows the log"
        self.can_be_read_by_everybody("a token is asked for")

    def says_that_one_is_wrong(self):
        self.gives(WRONG)
        self.until("it says so", 'text("access-said") === "The token is not taken: it is wrong, or was withdrawn."')
        self.until("it asks again", f'{ASKS} && {FIELD}.ariaInvalid === "true" && document.activeElement === {FIELD}')
        self.nothing_is_left_of(WRONG)
        self.can_be_read_by_everybody("a token was wrong")
        self.browser.run(f'{FIELD}.value = "no \\u0001 token"; {FIELD}.form.requestSubmit()')
        self.until("so is what can be none", 'text("access-said").startsWith("This can be no token")')
        assert self.now(f"{FIELD}.value") == "", "the field keeps it"

    def shows_the_log_to_a_reader(self):
        self.gives(READ)
        self.until("it is live", LIVE)
        self.until("it has the entry", 'holdings("before") === "held held held"')
        kept = self.now("JSON.stringify({...sessionStorage})")
        assert kept == json.dumps({"replog-token": READ}, separators=(",", ":")), kept
        shown = self.now("document.documentElement.outerHTML")
        assert READ not in shown, "the token is in the page"
        assert self.now('document.querySelector("nav").checkVisibility()') is False, "a link would carry no token"
        self.can_be_read_by_everybody("a token is kept")

    def does_not_append_for_a_reader(self):
        self.browser.append("typed by a reader", "1")
        self.until("it is refused", 'writes("refused") === 1')
        said = self.now('text("writes")')
        assert "the role of the token is too little, it takes “append”" in said, said
        assert self.now(f"{CONTENT}.value") == "typed by a reader", "what was typed is gone"
        # Where the next one is typed already, the first one waits where it is.
        self.browser.run(f'{CONTENT}.value = "typed before"; {CONTENT}.form.requestSubmit(); {CONTENT}.value = "typed by a reader"')
        self.until("it can be sent again", 'writes("refused") === 2 && document.querySelector("#writes li button").checkVisibility()')
        shown = self.now('[...document.querySelectorAll("#writes li button")].map((button) => button.checkVisibility())')
        assert shown == [True, False], shown
        assert self.now(f"{CONTENT}.value") == "typed by a reader", "what was typed is gone"
        assert self.cluster.master.ask("GET", "/messages")[1]["last_seq"] == 1

    def appends_for_a_writer(self):
        self.browser.press("access-other")
        self.until("it asks", f'document.activeElement === {FIELD}')
        self.can_be_read_by_everybody("another token is asked for")
        self.gives(APPEND)
        self.until("it is live", f'{LIVE} && sessionStorage.getItem("replog-token") === "{APPEND}"')
        assert self.now(f"{CONTENT}.value") == "typed by a reader", "what was typed is gone"
        self.browser.append("", "all")
        self.until("it is answered", 'writes("done") === 1 && holdings("typed by a reader") === "held held held"')
        self.browser.run('[...document.querySelectorAll("#writes li button")].find((button) => button.checkVisibility()).click()')
        self.until("the first one too", 'writes("done") === 2 && holdings("typed before") === "held held held"')

    def keeps_it_over_a_reload(self):
        self.browser.reload()
        self.until("it is live", f'{LIVE} && holdings("before") === "held held held"')

    def keeps_it_from_other_tabs(self):
        def look():
            self.browser.open(self.cluster.master.url)
            self.until("it asks", ASKS)

        self.browser.in_new_tab(look)

    def tells_nobody_else(self):
        """Of the others, one is a node with tokens of its own, and one is none at all. Both were asked for their faults."""
        for node, url in ("secondary1", self.cluster.first.url), ("secondary2", self.cluster.stranger.url):
            said = f"{node} answers only with a token, on its own page: {url}"
            self.until(f"{node} wants a token", f'[...document.querySelectorAll("#guarded li")].some((item) => item.textContent === "{said}")')
        assert self.cluster.stranger.heard, "nobody asked"
        for method, path, headers, body in self.cluster.stranger.heard:
            names = [name.lower() for name, _ in headers]
            asked = dict(headers).get("Access-Control-Request-Headers", "")
            told = unquote(path + str(headers) + body.decode(errors="replace"))
            assert "authorization" not in names and "cookie" not in names and "authorization" not in asked, (method, path, headers)
            assert not has_token(told), told

    def takes_an_admin_for_faults(self):
        """On the page of the node itself, which is another origin and knows no token yet."""
        self.browser.open(self.cluster.first.url)
        self.until("it asks", f'{ASKS} && text("access-origin") === "{self.cluster.first.url}"')
        self.gives(READ)
        self.until("it is live", f'{LIVE} && !document.getElementById("faults").hidden')
        form = 'document.querySelector("#knobs form")'
        self.browser.run(f'{form}.elements.delay_ms.value = "300"; {form}.requestSubmit()')
        self.until("a reader may not", 'text("knobs").includes("the role of the token is too little, it takes “admin”")')
        assert self.now(f"{form}.elements.delay_ms.value") == "300", "what was typed is gone"
        self.browser.press("access-other")
        self.gives(ADMIN)
        self.until("it is taken", f'{LIVE} && sessionStorage.getItem("replog-token") === "{ADMIN}" && {form}')
        self.browser.run(f'{form}.elements.delay_ms.value = "300"; {form}.requestSubmit()')
        self.until("an admin may", 'text("knobs").includes("secondary1: 300 ms late")')
        assert self.cluster.first.ask("GET", "/faults")[1]["delay_ms"] == 300
        assert self.cluster.first.ask("PUT", "/faults", {"delay_ms": 0})[0] == 200

    def says_that_one_was_withdrawn(self):
        """The page is left as it is, and asks: another token goes on where it was."""
        self.browser.open(self.cluster.master.url)
        self.until("it is live", f'{LIVE} && holdings("before") === "held held held"')
        self.browser.run(f'{CONTENT}.value = "typed meanwhile"')
        master = self.cluster.master
        master.kill()
        master.environment["REPLOG_TOKEN_READ"] = LATER
        del master.environment["REPLOG_TOKEN_APPEND"]
        master.start()
        master.await_ready()
        self.until("it asks", f'!{FIELD}.form.hidden && text("access-said").includes("was withdrawn")', seconds=20)
        self.until("what is shown is said to be old", 'stale() && text("silence").includes("What is shown is from then.")')
        self.nothing_is_left_of(APPEND)
        self.can_be_read_by_everybody("a token was withdrawn")
        self.gives(LATER)
        self.until("it is live", f'{LIVE} && !stale() && holdings("before") === "held held held"', seconds=20)
        assert self.now(f"{CONTENT}.value") == "typed meanwhile", "what was typed is gone"

    def forgets_it(self):
        self.browser.press("access-forget")
        self.until("it asks", f'{ASKS} && !text("matrix").includes("before")')
        self.nothing_is_left_of(LATER)
        assert self.now("sessionStorage.length") == 0

    def nothing_is_told(self):
        """In no request but in the header that is for it, and there only to the origin of the page that sends it."""
        urls = {sent["requestId"]: (sent["request"]["url"], sent["documentURL"]) for sent in self.browser.sent if "request" in sent}
        places, carried = set(), set()
        for sent in self.browser.sent:
            headers = (sent["request"] if "request" in sent else sent)["headers"]
            token = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
            rest = [(name, value) for name, value in headers.items() if name.lower() != "authorization"]
            request = sent.get("request", {})
            others = unquote(json.dumps([request.get("url"), sent.get("documentURL"), request.get("postData"), rest]))
            assert not has_token(others), others
            if token:
                url, page = (urlsplit(url) for url in urls[sent["requestId"]])
                assert url.netloc == page.netloc, f"a page of {page.netloc} told {url.netloc}"
                places.add(url.path)
                carried.add(token.removeprefix("Bearer "))
        assert {"/health/stream", "/messages/stream", "/messages", "/faults"} <= places and "/" not in places, places
        assert len(carried) == len(TOKENS), carried
        logs = [path for path in self.work.glob("*.log") if has_token(path.read_text(errors="replace"))]
        assert not logs, logs

    def nothing_went_wrong(self):
        """But what a browser says by itself of answers that are refusals, and of a node that is gone."""
        refused = re.compile(r"\S+ - Failed to load resource: (the server responded with a status of 40[13] .*|net::ERR_\w+)")
        wrong = [line for line in self.browser.complaints if line["source"] != "network" or not refused.match(line["message"])]
        assert not wrong, wrong
        assert not has_token(str(self.browser.console)), self.browser.console

    def all(self):
        self.browser.scheme("light")
        self.browser.size(1280, 800)
        for part in (
            self.asks_for_one, self.says_that_one_is_wrong, self.shows_the_log_to_a_reader, self.does_not_append_for_a_reader,
            self.appends_for_a_writer, self.keeps_it_over_a_reload, self.keeps_it_from_other_tabs, self.tells_nobody_else,
            self.takes_an_admin_for_faults, self.says_that_one_was_withdrawn, self.forgets_it,
        ):
            part()
            self.browser.collect()
        self.nothing_is_told()
        self.nothing_went_wrong()
