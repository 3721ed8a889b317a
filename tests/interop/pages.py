"""The HTTP of a secondary: GET of /messages, /messages/<seq>, /list, /health, /livez and /readyz; a request a connection."""
import asyncio
import contextlib
import json
import sys
import time


def health(node):
    lag = max(node.tail - node.log.verified, 0)
    is_caught_up = node.seen is not None and node.log_id and lag == 0 and node.log.verified == node.log.last
    return {
        "status": "diverged" if node.foreign else "ok" if is_caught_up else "catching_up", "role": "secondary", "id": node.name,
        "log_id": node.log_id, "epoch": node.epoch[0], "instance": node.epoch[1] or None, "storage_id": node.storage,
        "last_seq": node.log.last, "lag": lag, "held_back": len(node.log.held), "duplicates": node.log.duplicates,
        "broker": "connected" if node.nats and node.nats.is_connected else "disconnected", "put_aside": len(node.log.aside),
        "master_last_seen_ms": node.seen and int((time.monotonic() - node.seen) * 1000),
    }


def answer(node, method, path):
    """Status, type and body."""
    kind, problem = "application/json", "application/problem+json"
    if method != "GET":
        return 405, problem, json.dumps({"title": "Method Not Allowed", "status": 405, "detail": "only GET is taken here"})
    if path == "/messages":
        tail = {"log_id": node.log_id, "epoch": node.epoch[0], "last_seq": node.log.last}
        tail |= {"diverged_from": node.foreign} if node.foreign else {}
        tail = json.dumps(tail, separators=(",", ":"))
        return 200, kind, f'{{"messages":[{",".join(text for _, text in node.log.entries)}],{tail[1:]}'
    if path == "/list":
        lines = [f"({i}, {json.loads(text)['content']!r})" for i, (_, text) in enumerate(node.log.entries)]
        return 200, "text/plain; charset=utf-8", "\n".join(lines)
    if path.startswith("/messages/") and path[10:].isdecimal() and 0 < int(path[10:]) <= node.log.last:
        return 200, kind, node.log.entries[int(path[10:]) - 1][1]
    if path == "/health":
        return 200, kind, json.dumps(health(node))
    if path == "/livez" or path == "/readyz" and health(node)["status"] == "ok":
        return 200, kind, '{"status":"ok"}'
    status, title = (503, "Service Unavailable") if path == "/readyz" else (404, "Not Found")
    return status, problem, json.dumps({"title": title, "status": status, "detail": health(node)["status"]})


async def complain(error):
    print(error, file=sys.stderr, flush=True)


async def serve(node, host, port):
    async def exchange(reader, writer):
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError,
                                 asyncio.TimeoutError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            method, path, _ = head.decode("latin-1").split("\r\n")[0].split(" ")
            status, kind, body = answer(node, method, path)
            body = (body + "\n").encode() if body else b""
            writer.write(f"HTTP/1.1 {status} .\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n".encode())
            writer.write(f"replog-diverged-from: {node.foreign}\r\n".encode() if node.foreign else b"")
            writer.write(b"connection: close\r\n\r\n" + body)
            await asyncio.wait_for(writer.drain(), 10)
        writer.close()
    return await asyncio.start_server(exchange, host, port)
