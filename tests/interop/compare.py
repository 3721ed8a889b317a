"""Says the same messages, chosen by a seed, to the real secondary and to the one of this directory, and compares their answers word
for word. The messages are those of many masters, one after the other, which all go on speaking: late, early, again, and wrong.

    NATS_URL=nats://127.0.0.1:4222 python3 tests/interop/compare.py target/release/demo node secondary --seeds 1 2 3
"""
import argparse
import asyncio
import json
import os
import pathlib
import random
import socket
import sys
import uuid

import nats

HERE, QUIET = pathlib.Path(__file__).parent, 0.15  # seconds after which no answer will come


def some_id(n):
    return str(uuid.UUID(int=n))


class Master:
    def __init__(self, log_id, epoch, entries, cleared):
        self.log_id, self.epoch, self.entries, self.cleared = log_id, epoch, entries, cleared  # of each entry: who placed it

    def position(self, seq):
        return {"seq": seq, **fields_of(self.entries[seq - 1])} if seq else {"seq": 0, "epoch": 0}


def fields_of(epoch):
    return {"epoch": epoch[0], "instance": some_id(epoch[1])}


class Said:
    """What masters say: one after the other leads, from some part of the log of a former one, and all of them go on speaking."""

    def __init__(self, seed):
        self.random, self.masters = random.Random(seed), [Master(some_id(1), (1, 1), [], [])]

    def hits(self, rate):
        return self.random.random() < rate

    def another_master(self):
        number, before = len(self.masters) + 1, self.random.choice(self.masters[-3:])
        epoch = (max(m.epoch[0] for m in self.masters) + self.random.randint(0, 1), 100 - number if self.hits(0.3) else 100 + number)
        if self.hits(0.2):  # it has cleared the log
            cleared = [*before.cleared, {"log_id": before.log_id, **fields_of(before.epoch)}][-12:]
            return Master(some_id(1000 + number), epoch, [], cleared)
        if self.hits(0.1):  # it knows of nobody
            return Master(some_id(1000 + number), (1, number), [], [])
        keep = self.random.randint(0, len(before.entries))
        keep = max((i for i in range(keep + 1) if not i or before.entries[i - 1] < epoch))
        return Master(before.log_id, epoch, before.entries[:keep], before.cleared)

    def next(self):
        if self.hits(0.06):
            self.masters.append(self.another_master())
        master = self.masters[-1] if self.hits(0.7) else self.random.choice(self.masters)
        master.entries += [master.epoch] * self.random.choice([0, 0, 1, 2])
        kind = self.random.choice(["append"] * 5 + ["heartbeat"] * 5 + ["prepare", "fetch", "announce"])
        fields = {"kind": kind, "v": 2, "log_id": master.log_id, **fields_of(master.epoch)}
        fields["epoch"] += (1 << 33) * self.hits(0.02)
        return kind, fields | getattr(self, kind)(master)

    def append(self, master):
        prev = self.random.randint(max(0, len(master.entries) - 6), len(master.entries))
        placed = master.entries[prev] if prev < len(master.entries) else master.epoch
        last = prev
        while last < min(len(master.entries), prev + 3) and master.entries[last] == placed:
            last += 1
        of = {"placed_in": placed[0], "placed_by": some_id(placed[1])} if placed != master.epoch else {}
        entries = [{"seq": seq, "epoch": placed[0], "message_id": some_id(seq), "content": f"entry {seq} of {placed}"}
                   for seq in range(prev + 1, last + 1)]
        head = {"seq": last, "count": last - prev, "prev": master.position(prev), "tail": len(master.entries), "commit": 0}
        return head | of | {"entries": entries}

    def heartbeat(self, master):
        prev = master.position(self.random.randint(0, len(master.entries)))
        named = {"storage": "@", "round": self.random.randint(1, 9)} if self.hits(0.7) else {}
        head = {"seq": prev["seq"], "count": 0, "prev": prev, "tail": len(master.entries), "commit": 0}
        return head | named | self.prepare(master)

    def prepare(self, master):
        return {"cleared": master.cleared} if master.cleared else {}

    def fetch(self, master):
        other = self.random.choice([m for m in self.masters if m.log_id == master.log_id])
        prev = other.position(self.random.randint(0, len(other.entries)))
        max_bytes = self.random.choice([1, 200, 100_000])
        return {"seq": prev["seq"] + 1, "prev": prev, "max_bytes": max_bytes, "storage": "@"}

    def announce(self, _):
        return {"kind": self.random.choice(["recovering", "serving", "stopping"])}


class Node:
    def __init__(self, name, cluster, command):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = "127.0.0.1:{}".format(free.getsockname()[1])
        more = {"REPLOG_CLUSTER": cluster, "REPLOG_NODE_ID": name, "REPLOG_HTTP_ADDR": address, "REPLOG_HEARTBEAT_INTERVAL": "60s"}
        self.name, self.command, self.env, self.inbox, self.storage = name, command, os.environ | more, asyncio.Queue(), None

    def read(self, answer):
        """The subject of an answer, and what it says, but for what may differ: names, storages, times, addresses."""
        subject, text = answer
        fields = json.loads(text.replace(f'"{self.name}"', '"N"').replace(str(self.storage), "STORAGE"))
        for part in (fields, fields.get("position", {})):
            part.pop("at_ms", None)
            part.pop("url", None)
        return subject.replace(self.name, "N"), fields


async def compare(broker, real, seed, messages):
    cluster, said, answers = f"compare{seed}", Said(seed), 0
    nodes = {"real": Node("real", cluster, real), "other": Node("other", cluster, [sys.executable, str(HERE / "secondary")])}

    async def heard(message):
        nodes[message.subject.split(".")[3]].inbox.put_nowait((message.subject, message.data.decode()))
    for subject in ("ack.*.*", "promise.*", "fetched.*"):
        await broker.subscribe(f"replog.{cluster}.{subject}", cb=heard)
    processes = [await asyncio.create_subprocess_exec(*node.command, env=node.env, stdin=asyncio.subprocess.PIPE,
                                                      stdout=asyncio.subprocess.DEVNULL) for node in nodes.values()]
    for node in nodes.values():
        node.storage = node.read(await asyncio.wait_for(node.inbox.get(), 20))[1]["storage"]
    for i in range(messages):
        kind, fields = said.next()
        for node in nodes.values():
            line = json.dumps(fields, separators=(",", ":")).replace('"@"', f'"{node.storage}"').encode()
            await broker.publish(f"replog.{cluster}.{kind}" + ("" if kind == "announce" else f".{node.name}"), line)
            if kind == "announce":
                break
        waits = [asyncio.ensure_future(node.inbox.get()) for node in nodes.values()]
        done, pending = await asyncio.wait(waits, timeout=QUIET, return_when=asyncio.FIRST_COMPLETED)
        if done:  # who is answered by one is answered by the other
            _, pending = await asyncio.wait(waits, timeout=5)
        for wait in pending:
            wait.cancel()
        if done:
            both = [None if wait in pending else node.read(wait.result()) for node, wait in zip(nodes.values(), waits, strict=True)]
            if both[0] != both[1]:
                raise SystemExit(f"seed {seed}, message {i}: {json.dumps(fields)}\nreal:  {both[0]}\nother: {both[1]}")
            answers += 1
    for process in processes:
        process.stdin.close()
        await process.wait()
    print(f"seed {seed}: {answers} answers to {messages} messages, word for word the same")


async def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("real", nargs="+")
    parse.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parse.add_argument("--messages", type=int, default=300)
    args = parse.parse_args()
    broker = await nats.connect(os.environ["NATS_URL"])
    await asyncio.gather(*(compare(broker, args.real, seed, args.messages) for seed in args.seeds))
    await broker.close()

asyncio.run(main())
