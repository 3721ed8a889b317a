"""What a description of calls cannot say, for schemathesis; see .ci/fuzz-api."""

import json

import schemathesis

# A cluster that is alive needs a few milliseconds for anything: who waits longer waits for what does not come.
WAIT_MS = 200
# Fields that are whole numbers: 1.0 is refused.
WHOLE = ("w", "timeout_ms", "expected_seq", "seq", "delay_ms")


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """The description shows lines as the array of their objects."""
    objects = value if isinstance(value, list) else [value]
    return "".join(json.dumps(each) + "\n" for each in objects).encode()


@schemathesis.deserializer("application/x-ndjson")
def objects(context, response):
    return [json.loads(line) for line in response.text.splitlines()]


@schemathesis.hook
def before_call(context, case, kwargs):
    bound_waits(case)
    if case.meta is not None and case.meta.generation.mode.is_positive:
        settle(case)


def bound_waits(case):
    """Nobody waits for long."""
    query = case.query
    if isinstance(query.get("wait"), str) and query["wait"][:1].isdigit():
        query["wait"] = f"{WAIT_MS}ms"
    if case.method != "POST" or case.path not in ("/messages", "/append"):
        return
    body = case.body if isinstance(case.body, dict) else {}
    for place in (query, body):
        if is_long(place.get("timeout_ms")):
            place["timeout_ms"] = WAIT_MS
    if "timeout_ms" not in query and body.get("timeout_ms") is None:
        query["timeout_ms"] = WAIT_MS


def is_long(ms):
    return isinstance(ms, (int, float)) and not isinstance(ms, bool) and ms > WAIT_MS


def settle(case):
    """Two things that are right each by itself, and not together; and a number that JSON Schema takes for a whole one."""
    query = case.query
    if case.path == "/messages" and "limit" in query:
        # Nearly every history that is made up is another one than the log's, and nothing else is tried then.
        query.pop("log_id", None)
    if case.path == "/messages/{seq}" and "w" not in query:
        query.pop("wait", None)
    for each in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(each, dict):
            each.update({name: int(n) for name, n in each.items() if name in WHOLE and isinstance(n, float)})
    if isinstance(case.body, dict):
        for name in ("w", "timeout_ms", "expected_seq"):
            if case.body.get(name) is not None:
                query.pop(name, None)
        if case.body.get("message_id") is not None:
            case.headers.pop("Idempotency-Key", None)
    elif isinstance(case.body, list) and case.media_type == "application/json":
        case.headers.pop("Idempotency-Key", None)
