"""Messages as they travel: what comes is checked, what is written is one line. An epoch is (number, instance); "" is no instance."""
import json
import random
import re
import time
import types
import uuid

VERSION, TOP, NONE = 2, (1 << 53) - 1, (0, "")
NUMBERS = {"v", "seq", "epoch", "tail", "commit", "round", "max_bytes", "placed_in", "interval_ms"}
PARTS = {"prev", "digest", "cleared", "entries"}
UUIDS, UUID = {"log_id", "instance", "storage", "placed_by", "message_id"}, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
KINDS = {"append": {"append", "heartbeat"}, "announce": {"recovering", "serving", "stopping"}}
NOT_A_MESSAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class OtherVersion(Exception):
    """A message of another version of the protocol."""


def checked(fields):
    """These fields, if those that are used are of their types and ranges."""
    for name, value in fields.items():
        if name in PARTS:
            for part in [value] if name in ("prev", "digest") else value:
                checked(part)
        elif (name in NUMBERS and not (type(value) is int and 0 <= value <= TOP)
              or name in UUIDS and not re.fullmatch(UUID, value) or name == "content" and type(value) is not str):
            raise ValueError(name)
    return fields


def epoch_of(fields):
    return fields["epoch"], fields.get("instance", "")


def in_json(epoch, **more):
    return more | {"epoch": epoch[0]} | ({"instance": epoch[1]} if epoch[1] else {})


def read(kind, data):
    """A message; an error for what is to be dropped."""
    text = data.decode()
    fields = json.loads(text)
    if checked({"v": fields["v"]}) != {"v": VERSION}:
        raise OtherVersion(fields["v"])
    checked(fields)
    f = types.SimpleNamespace(storage=fields.get("storage"), round=fields.get("round", 0), node=fields.get("node"))
    if fields["kind"] not in KINDS.get(kind, {kind}) or f.storage is None and kind in ("fetch", "claim", "ack"):
        raise ValueError(kind)
    f.kind = fields["kind"]
    if kind in ("append", "prepare", "fetch", "announce"):
        f.log_id, f.epoch = fields["log_id"], (fields["epoch"], fields["instance"])
        f.cleared = {log["log_id"]: epoch_of(log) for log in fields.get("cleared", [])}
    if kind in ("append", "fetch"):
        f.prev, f.max_bytes = (fields["prev"]["seq"], epoch_of(fields["prev"])), fields.get("max_bytes", 0)
    if kind == "append":
        f.digest = fields.get("digest")
        f.interval = min(fields.get("interval_ms", 0), 60_000) / 1000
        f.tail, f.placed = fields["tail"], (fields.get("placed_in", f.epoch[0]), fields.get("placed_by", f.epoch[1]))
        f.texts, at = [], text.find('"entries":[') + len('"entries":[')  # each entry byte for byte as it came
        for f.last, e in enumerate(fields.get("entries", []), f.prev[0] + 1):
            if (e["seq"], e["epoch"]) != (f.last, f.placed[0]) or not {"message_id", "content"} <= e.keys():
                raise ValueError(f.last)
            f.texts.append(text[at:json.JSONDecoder().raw_decode(text, at)[1]])
            at += len(f.texts[-1]) + 1
    return f


def new_id():
    """A UUID of version 7."""
    bits = 7 << 76 | random.getrandbits(12) << 64 | 2 << 62 | random.getrandbits(62)
    return str(uuid.UUID(int=time.time_ns() // 1_000_000 << 80 | bits))


def line(fields, texts=None):
    """The fields as one line, then entries, if the message has some, then the time."""
    text = json.dumps(fields | {"v": VERSION}, separators=(",", ":"), ensure_ascii=False)[:-1]
    text += "" if texts is None else f',"entries":[{",".join(texts)}]'
    return f'{text},"at_ms":{time.time_ns() // 1_000_000}}}'.encode()
