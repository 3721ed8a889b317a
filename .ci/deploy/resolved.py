"""Whether what `docker compose config --format json` makes of the files lets in those that it should: resolved.py FILE [public]

With `public`, the files are docker-compose.yml, deploy/compose.public.yml and what `deploy/compose-secondaries 3 --public` prints,
and each secret is its variable's name with `secret-` before it.
"""

import json
import os
import pathlib
import sys

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
VARIABLES = {"sys": "system"}


def user_of(variable):
    """The user whose password the broker has in that variable."""
    name = variable.removeprefix("NATS_").removesuffix("_PASSWORD").lower().replace("_", "-")
    return VARIABLES.get(name, name)


def check_node(name, service, brokers, is_public):
    """What is wrong with who may call a node, and who it is at the broker."""
    environment = service["environment"]
    insecure, token = environment.get("REPLOG_INSECURE"), environment.get("REPLOG_TOKEN_ADMIN")
    if (insecure, token) != (("false", "secret-REPLOG_TOKEN_ADMIN") if is_public else ("true", "")):
        yield f"{name}: REPLOG_INSECURE {insecure}, REPLOG_TOKEN_ADMIN {token!r}"
    if any(broker.get(environment["NATS_USER"]) != environment["NATS_PASSWORD"] for broker in brokers):
        yield f"{name}: the broker knows another password of {environment['NATS_USER']}"
    # Those of the profiles `scale` and `ha` stay on this machine.
    everywhere = is_public and not {"scale", "ha"} & set(service.get("profiles", []))
    for port in service["ports"]:
        if port.get("host_ip") != (EVERYWHERE if everywhere else LOOPBACK):
            yield f"{name}: is published on {port.get('host_ip')}"
    if is_public and "localhost" in environment["REPLOG_ALLOW_ORIGIN"]:
        yield f"{name}: takes the pages of a browser's own machine"


def main():
    """Says all that is wrong."""
    services = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["services"]
    is_public = sys.argv[2:] == ["public"]
    wrong = []
    images = {name: service["image"].partition(":")[0] for name, service in services.items()}
    brokers = []
    for name in [name for name, image in images.items() if image == "nats" and "environment" in services[name]]:
        # What brokers show each other is no user's.
        given = {k: v for k, v in services[name]["environment"].items() if k.endswith("_PASSWORD")}
        route = given.pop("NATS_ROUTE_PASSWORD")
        prefix = "ha-" if name.startswith("ha-") else ""
        if services[name]["environment"]["NATS_ROUTES"].count(f"nats://route:{route[1:-1]}@{prefix}nats") != 3:
            wrong.append(f"{name}: the brokers do not find each other")
        if not all(len(v) > 2 and v[0] == v[-1] == '"' for v in given.values()):
            wrong.append(f"{name}: a password without quotes around it")
        if is_public and any(v != f'"secret-{k}"' for k, v in given.items()):
            wrong.append(f"{name}: a password that nobody chose: {given}")
        brokers.append((prefix, {user_of(k): v[1:-1] for k, v in given.items()}))
    file = services["nats"]["command"][2]
    if file != f"/etc/replog/nats-{'public' if is_public else 'server'}.conf":
        wrong.append(f"nats: is started with {file}")
    # Brokers that keep a log: each with a store of its own, the same for each otherwise.
    keepers = [service for name, service in services.items() if name.startswith("ha-nats")]
    stores = {volume["source"] for service in keepers for volume in service["volumes"] if volume["target"] == "/data"}
    names = {service["command"][-1] for service in keepers}
    files = {service["command"][2] for service in keepers}
    if not len(keepers) == len(stores) == len(names) == 3 or files != {"/etc/replog/nats-jetstream.conf"}:
        wrong.append(f"the brokers of the profile ha: stores {stores}, names {names}, files {files}")
    nodes = [name for name, image in images.items() if image.startswith("replog-")]
    for name, service in services.items():
        if name in nodes:
            # Those of the profile `ha` have brokers of their own.
            prefix = "ha-" if name.startswith("ha-") else ""
            wrong += check_node(name, service, [users for of, users in brokers if of == prefix], is_public)
        elif any(port.get("host_ip") != LOOPBACK for port in service.get("ports", [])):
            wrong.append(f"{name}: is published for others than this machine")
        for volume in service.get("volumes", []):
            # The broker's users are made beside these files, by whoever needs others than the shipped ones.
            if volume["type"] == "bind" and not os.path.exists(volume["source"]) and not volume["source"].endswith("deploy/accounts.conf"):
                wrong.append(f"{name}: there is no {volume['source']}")
            if volume["type"] == "bind" and not volume.get("read_only"):
                wrong.append(f"{name}: may write to {volume['source']}")
        if not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and service.get("security_opt")):
            wrong.append(f"{name}: may write, or rise")
    print("\n".join(wrong) if wrong else f"{'public' if is_public else 'this machine'}: {', '.join(nodes)} let in whom they should")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
