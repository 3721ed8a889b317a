"""What the pages of masters that share a journal must do; see .ci/check-page."""

import os
import re

from look import Looker
from nodes import Cluster, free_ports


class SharedCluster(Cluster):
    """A broker with JetStream, two masters that share a journal there, and two secondaries."""

    def __init__(self, demo, nats_server, work):
        super().__init__(demo, nats_server, work, {"REPLOG_STORE": "jetstream", "REPLOG_JOURNAL_REPLICAS": "1"})
        self.broker.command += ["-js", "-sd", os.path.join(work, "jetstream")]
        [port] = free_ports(1)
        self.other = self.node("other", port, ["master"])
        self.nodes.append(self.other)

    def start(self):
        """The first master leads by then."""
        for node in self.broker, self.master, self.first, self.second:
            node.start()
        for node in self.master, self.first, self.second:
            node.await_ready()
        self.other.start()
        self.other.await_ready("/livez")


class StandbyCheck(Looker):
    def __init__(self, cluster, browser, _work):
        super().__init__(browser)
        self.cluster = cluster

    def shows_who_leads(self):
        self.browser.open(self.cluster.other.url)
        self.until("it stands by", 'text("state") === "standby" && card("Role") === "standby" && card("Behind") === "0 chunks"')
        self.until("it has heard who leads", 'said("master")[1] === "heard"')
        link = self.now('cells("master")[0].querySelector("a").href')
        assert link == f"{self.cluster.master.url}/", link
        assert self.now('document.getElementById("append").hidden'), "only the master that leads takes appends"
        assert re.fullmatch(r"stream, 1 of 1 replicas.*", self.now('card("Storage")')), self.now('card("Storage")')

    def shows_what_is_appended_elsewhere(self):
        status, said = self.cluster.master.ask("POST", "/messages?w=all", {"content": "at the other one"})
        assert status == 200, said
        self.until("it is here", 'holdings("at the other one") === "held held"')

    def says_where_the_stream_takes_nothing(self):
        self.browser.open(self.cluster.master.url)
        self.until("it leads", 'text("state") === "ok" && card("Role") === "master"')
        self.cluster.broker.pause()
        try:
            self.browser.append("is on its way", "1")
            self.until("that is said", 'text("notices").includes("A chunk is on its way to the stream replog-default for ")', seconds=20)
            assert self.now('row("is on its way")') is None, "shown before it is stored"
        finally:
            self.cluster.broker.resume()
        self.until("it is stored", 'row("is on its way") || text("state") === "standby"', seconds=20)

    def becomes_the_one_that_leads(self):
        self.browser.open(self.cluster.other.url)
        self.until("one of the two is there", '["ok", "standby"].includes(text("state"))', seconds=20)
        leads = self.now('card("Role")') == "master"
        if not leads:
            self.cluster.master.kill()
            self.until("it leads", 'text("state") === "ok" && card("Role") === "master"', seconds=20)
        self.until("its appends are taken", '!document.getElementById("append").hidden')
        self.browser.append("after the takeover", "all")
        self.until("all have it", 'holdings("after the takeover") === "held held held"', seconds=20)
        self.can_be_read_by_everybody("a master that has taken over")

    def all(self):
        for part in (
            self.shows_who_leads, lambda: self.can_be_read_by_everybody("a standby"), self.shows_what_is_appended_elsewhere,
            self.says_where_the_stream_takes_nothing, self.becomes_the_one_that_leads,
        ):
            part()
            self.browser.collect()
