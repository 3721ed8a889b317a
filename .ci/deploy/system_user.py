"""What the broker with the settings of nats/nats-server.conf lets whom do: system_user.py NATS_SERVER"""

import asyncio
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import nats
from nats.errors import Error, NoRespondersError, TimeoutError

PASSWORD = "1 #\u20ac$x"


def free_port():
    """A port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def quiet(_):
    """What a client is refused is asserted, not printed."""


async def connected(url, **user):
    """A connection, as soon as the broker is there."""
    for _ in range(100):
        try:
            return await nats.connect(url, error_cb=quiet, allow_reconnect=False, connect_timeout=2, **user)
        except OSError:
            await asyncio.sleep(0.1)
    raise AssertionError("the broker does not listen")


async def check(url):
    """Everybody talks about the log; the system user sees who is there, and can do no harm."""
    anyone = await connected(url, name="replog-master")
    inbox = await anyone.subscribe("replog.>")
    await anyone.publish("replog.default.announce", b"hello")
    assert (await inbox.next_msg(timeout=5)).data == b"hello"

    system = await connected(url, user="system", password=PASSWORD)
    # What `nats server report connections` asks.
    answer = await system.request("$SYS.REQ.SERVER.PING.CONNZ", b'{"subscriptions":true,"auth":true}', timeout=5)
    shown = json.loads(answer.data)
    names = {connection.get("name"): connection["account"] for connection in shown["data"]["connections"]}
    assert names["replog-master"] == "LOG", names
    for harm in ("RELOAD", "KICK", "LDM"):
        try:
            await system.request(f"$SYS.REQ.SERVER.{shown['server']['id']}.{harm}", b'{"cid":1}', timeout=0.5)
        except (TimeoutError, NoRespondersError):
            continue
        raise AssertionError(f"the system user may {harm}")
    heard = await system.subscribe("replog.>")
    await anyone.publish("replog.default.announce", b"again")
    try:
        raise AssertionError(f"the system user hears {await heard.next_msg(timeout=0.5)}")
    except (TimeoutError, Error):
        pass
    for wrong in ({"user": "system", "password": ""}, {"user": "system", "password": "system"}, {"user": "anyone", "password": "x"}):
        try:
            await connected(url, **wrong)
        except Error:
            continue
        raise AssertionError(f"let in: {wrong}")
    print(f"broker: {sorted(name or 'the system user' for name in names)} are shown to the system user")


def main():
    """Starts a broker on free ports for that, and ends it."""
    port, monitor = free_port(), free_port()
    text = pathlib.Path("nats/nats-server.conf").read_text(encoding="utf-8")
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "nats-server.conf")
        path.write_text(text, encoding="utf-8")
        environment = os.environ | {"NATS_SYS_PASSWORD": f'"{PASSWORD}"'}
        command = [sys.argv[1], "-c", path, "-l", path.with_suffix(".log")]
        broker = subprocess.Popen(command, env=environment)
        try:
            asyncio.run(check(f"nats://127.0.0.1:{port}"))
        finally:
            broker.terminate()
            broker.wait()


if __name__ == "__main__":
    main()
