"""Whether whoever looks on at the broker of compose hears the nodes, and is not heard: onlooker.py URL [PASSWORD]

Without a password as somebody without a user; with one as the user `observer`, and then nobody gets in without.
"""

import asyncio
import sys

import nats
from nats.errors import Error


async def main():
    """Fails where it is not so."""
    url, *password = sys.argv[1:]
    errors = []

    async def note(error):
        errors.append(str(error))

    options = {"error_cb": note, "allow_reconnect": False, "connect_timeout": 5}
    if password:
        try:
            await nats.connect(url, **options)
        except Error as refusal:
            print(f"without a user: {refusal}")
        else:
            raise AssertionError("let in without a user")
        options |= {"user": "observer", "password": password[0]}
    client = await nats.connect(url, **options)
    heard = await client.subscribe("replog.default.heartbeat.*")
    print(f"heard: {(await heard.next_msg(timeout=10)).subject}")
    errors.clear()
    announced = await client.subscribe("replog.default.announce")
    await client.publish("replog.default.announce", b"{}")
    # What is refused is said before the answer to the second of these: the first PING may go out ahead of what was published.
    await client.flush()
    await client.flush()
    assert any("permissions violation for publish" in error.lower() for error in errors), f"not refused: {errors}"
    assert announced.pending_msgs == 0, "what was refused was heard"
    print(f"refused: {errors[0]}")
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
