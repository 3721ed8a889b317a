"""Nodes on free ports, played by the program demo; see .ci/check-page."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_ports(count):
    """Ports that nobody has at this moment, below those that the system gives to whoever connects."""
    sockets = []
    while len(sockets) < count:
        try:
            sockets.append(socket.create_server(("127.0.0.1", random.randrange(28000, 32000))))
        except OSError:
            pass
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def await_that(what, is_so, seconds=20):
    """Until it is so."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Node:
    """One process, which may be killed and started again on the same port."""

    def __init__(self, command, port, log, environment):
        self.command, self.port, self.environment = command, port, environment
        self.url = f"http://127.0.0.1:{port}"
        self.token = None
        self.log = open(log, "ab")
        self.process = None

    def start(self):
        # Its input ends with this process, and so does it.
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, env=self.environment
        )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.resume()
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log.close()

    def ask(self, method, path, body=None, content_type="application/json"):
        """The status of the answer and what it says."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        headers = {"content-type": content_type}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def metric(self, name):
        """What /metrics says of one that has no labels."""
        request = urllib.request.Request(f"{self.url}/metrics", headers={"authorization": f"Bearer {self.token}"} if self.token else {})
        with urllib.request.urlopen(request, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def await_ready(self, path="/readyz", seconds=20):
        """Until the node answers that with 200."""
        end = time.monotonic() + seconds
        while True:
            try:
                status, said = self.ask("GET", path)
            except (OSError, ValueError) as error:
                status, said = None, error
            if status == 200:
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"{self.url}{path}: {said}")
            time.sleep(0.05)


class Cluster:
    """A broker, a master, and two secondaries, of which the first one lets its faults be set."""

    def __init__(self, demo, nats_server, work, more=None):
        broker, master, first, second = free_ports(4)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("REPLOG_", "NATS_"))}
        environment |= {
            "NATS_URL": f"nats://127.0.0.1:{broker}",
            "REPLOG_HEARTBEAT_INTERVAL": "200ms",
            "REPLOG_ALLOW_CLEAR": "true",
            "REPLOG_ALLOW_ORIGIN": f"http://127.0.0.1:{master}",
        } | (more or {})
        address = "127.0.0.1:{}".format

        def node(name, port, flags, more=None):
            """A node that is started later."""
            log = os.path.join(work, f"{name}.log")
            return Node([demo, "node", *flags, "--http-addr", address(port)], port, log, environment | (more or {}))

        def secondary(name, port, more=None):
            return node(name, port, ["secondary", "--node-id", name], more)

        command = [nats_server, "-a", "127.0.0.1", "-p", str(broker)]
        self.broker = Node(command, broker, os.path.join(work, "nats.log"), environment)
        self.master = node("master", master, ["master"])
        self.first = secondary("secondary1", first, {"REPLOG_ALLOW_FAULTS": "true"})
        self.second = secondary("secondary2", second)
        self.nodes = [self.master, self.first, self.second]
        self.node = node

    def start(self):
        for node in [self.broker, *self.nodes]:
            node.start()
        for node in self.nodes:
            node.await_ready()

    def stop(self):
        for node in [*self.nodes, self.broker]:
            node.stop()
