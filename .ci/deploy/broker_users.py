"""What the brokers with the settings of nats/*.conf let whom do: broker_users.py NATS_SERVER NATS_DIRECTORY ACCOUNTS_OF_FOUR

The last one is what `deploy/compose-secondaries 4 --accounts` prints.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import nats
from nats.errors import Error, NoRespondersError, TimeoutError

# Whatever nats-server could take for something else than a text, and then the name of the user: nobody has another one's.
PASSWORD = "1 #\u20ac$x-"
# What the variables are called after, where that is not the user.
VARIABLES = {"system": "SYS"}


def password(user):
    """The password of that user."""
    return PASSWORD + user


def free_port():
    """A port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def quiet(_):
    """What a client is refused is asserted, not printed."""


async def connected(url, user=None, **options):
    """A connection of that user; without one, of whoever has none."""
    who = {"user": user, "password": password(user)} if user else {}
    return await nats.connect(url, **({"error_cb": quiet, "allow_reconnect": False, "connect_timeout": 2} | who | options))


async def refused(url, **who):
    """Asserts that the broker does not let those in."""
    try:
        await connected(url, **who)
    except Error:
        return
    raise AssertionError(f"let in: {who}")


async def may_say(observer, url, user, subjects, count):
    """Which of these subjects that user may publish to: those that the observer hears, so many at least if it can."""
    heard = await observer.subscribe("replog.>")
    await observer.flush()
    client = await connected(url, user)
    for subject in subjects:
        await client.publish(subject, b"{}")
    await client.flush()
    until = time.monotonic() + 5
    while heard.pending_msgs < count and time.monotonic() < until:
        await asyncio.sleep(0.02)
    # What comes beyond has come when both have been answered.
    await client.flush()
    await observer.flush()
    said = [(await heard.next_msg(timeout=5)).subject for _ in range(heard.pending_msgs)]
    await heard.unsubscribe()
    await client.close()
    return said


async def check_nodes(url, observer, names, is_public):
    """Each node speaks for itself and for nobody else, and whoever looks on says nothing."""
    acks = [f"replog.default.ack.{name}.1" for name in names]
    for name, own in zip(names, acks):
        said = await may_say(observer, url, name, [*acks, f"replog.default.append.{name}", "replog.default.announce"], 1)
        assert said == [own], f"{name} says {said}"
    appends = [f"replog.default.append.{name}" for name in names]
    said = await may_say(observer, url, "master", [*appends, *acks, "replog.scale.append.a", "$SYS.x"], len(appends))
    assert said == appends, f"the master says {said}"
    said = await may_say(observer, url, "scale-secondary", ["replog.scale.ack.a.1", "replog.default.ack.a.1"], 1)
    assert said == ["replog.scale.ack.a.1"], f"a secondary of scale says {said}"
    for who in ["observer"] if is_public else [None, "observer"]:
        said = await may_say(observer, url, who, acks + appends, 0)
        assert said == [], f"who looks on says {said}"


async def check_system(url):
    """The system user sees who is there, and can do no harm."""
    master = await connected(url, "master", name="replog-master")
    system = await connected(url, "system")
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
    await master.publish("replog.default.announce", b"again")
    try:
        raise AssertionError(f"the system user hears {await heard.next_msg(timeout=0.5)}")
    except (TimeoutError, Error):
        pass
    for client in (master, system):
        await client.close()


async def check(url, secondaries, is_public):
    """All of that, with a broker that lets people look on without a password, or does not."""
    observer = await connected(url, "observer" if is_public else None)
    await check_nodes(url, observer, secondaries, is_public)
    await check_system(url)
    for wrong in ({"password": ""}, {"password": "master"}, {"password": password("secondary1")}):
        await refused(url, user="master", **wrong)
    await refused(url, user="nobody")
    if is_public:
        await refused(url)
    await observer.close()


@contextlib.contextmanager
def broker(nats_server, source, file, accounts):
    """A broker with those settings on free ports."""
    with tempfile.TemporaryDirectory() as directory:
        there = pathlib.Path(directory)
        for path in pathlib.Path(source).glob("*.conf"):
            shutil.copy(path, there)
        if accounts:
            shutil.copy(accounts, there / "accounts.conf")
        port = free_port()
        text = (there / "common.conf").read_text(encoding="utf-8")
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{free_port()}")
        (there / "common.conf").write_text(text, encoding="utf-8")
        users = re.findall(r'^ +user: "(.*)"', (there / "accounts.conf").read_text(encoding="utf-8"), re.MULTILINE)
        variable = lambda user: f"NATS_{VARIABLES.get(user, user.upper().replace('-', '_'))}_PASSWORD"
        environment = os.environ | {variable(user): f'"{password(user)}"' for user in users}
        process = subprocess.Popen([nats_server, "-c", there / file, "-l", there / "log"], env=environment)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None, f"nats-server -c {file} does not start"
                    time.sleep(0.05)
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def main():
    """Starts a broker for each, and ends it."""
    nats_server, source, of_four = sys.argv[1:]
    two, four = (["secondary1", "secondary2"], [f"secondary{i}" for i in range(1, 5)])
    for file, accounts, secondaries in (
        ("nats-server.conf", None, two),
        ("nats-public.conf", None, two),
        ("nats-server.conf", of_four, four),
    ):
        with broker(nats_server, source, file, accounts) as url:
            asyncio.run(check(url, secondaries, file == "nats-public.conf"))
        print(f"{file}: the master, {', '.join(secondaries)} speak for themselves only, others not at all")


if __name__ == "__main__":
    main()
