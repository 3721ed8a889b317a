"""Whether what deploys the programs tells them what they understand, and docker-compose.yml all that they understand.

    settings.py MASTER_HELP SECONDARY_HELP       files with what --help of both programs prints
"""

import pathlib
import re
import sys

import yaml

# What compose decides itself: its value need not be a variable of the same name.
OWN = {
    "NATS_URL",
    "NATS_USER",
    "NATS_PASSWORD",
    "REPLOG_INSECURE",
    "REPLOG_HTTP_ADDR",
    "REPLOG_ADVERTISE_URL",
    "REPLOG_SECONDARIES",
    "REPLOG_NODE_ID",
    "REPLOG_DELAY",
    "REPLOG_ERROR_RATE",
    "REPLOG_DROP_RATE",
}
# The log of the profile `scale` is in memory, its members are whoever joins, and their names are those of their containers.
SCALE_OWN = {"REPLOG_CLUSTER", "REPLOG_DATA_DIR", "REPLOG_STORE"}
# That of the profile `ha` is in a stream.
HA_OWN = {"REPLOG_STORE"}
SCALE_LEFT_OUT = {
    "scale-master": {"REPLOG_SECONDARIES", "REPLOG_RECOVERY_REQUIRES"},
    "secondary": {"REPLOG_NODE_ID", "REPLOG_ADVERTISE_URL"},
}
PROGRAMS = {"replog-master", "replog-secondary"}


def settings(path):
    """The variables of a program's settings, and all that its help names: secrets have no flag."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    found = set(re.findall(r"\[env:\s+([A-Z_]+)[=\]]", text))
    assert len(found) > 20, f"{path} does not look like a help: {sorted(found)}"
    named = set(re.findall(r"\b(?:NATS|REPLOG)_[A-Z_]+\b", text))
    tokens = {name for name in named if name.startswith("REPLOG_TOKEN_")}
    assert len(tokens) == 3 and {"NATS_USER", "NATS_PASSWORD", "NATS_NKEY"} <= named, f"{path}: no secrets in {sorted(named)}"
    return found | tokens, named


def of_compose(known):
    """What is wrong with the settings in docker-compose.yml."""
    services = yaml.safe_load(pathlib.Path("docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert PROGRAMS == {service["image"] for service in services.values()} & PROGRAMS
    for name, service in services.items():
        if service["image"] not in PROGRAMS:
            continue
        given, (wanted, named) = service["environment"], known[service["image"]]
        own = OWN | {"scale": SCALE_OWN, "ha": HA_OWN}.get(service.get("profiles", [""])[0], set())
        for setting in sorted(wanted - set(given) - SCALE_LEFT_OUT.get(name, set())):
            yield f"docker-compose.yml: {name} is not told {setting}"
        if given.get("REPLOG_INSECURE") != "true" or not given.get("NATS_USER") or "PASSWORD" not in given.get("NATS_PASSWORD", ""):
            yield f"docker-compose.yml: {name} has no user at the broker, or needs a token"
        for setting, value in given.items():
            if setting not in named | {"RUST_LOG"}:
                yield f"docker-compose.yml: {name} does not know {setting}"
            elif setting not in own and not re.match(r"\$\{" + setting + ":?-", value):
                yield f"docker-compose.yml: {setting} of {name} is not passed through: {value!r}"


def of_kubernetes(known):
    """What is wrong with the settings in the manifests."""
    every = set().union(*[named for _, named in known.values()])
    for line in pathlib.Path("deploy/kubernetes/settings.env").read_text(encoding="utf-8").splitlines():
        name = line.partition("=")[0]
        if line and not line.startswith("#") and name not in every:
            yield f"settings.env: nobody knows {name}"
    for path in pathlib.Path("deploy/kubernetes").glob("*.yaml"):
        for resource in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if resource["kind"] != "StatefulSet":
                continue
            for container in resource["spec"]["template"]["spec"]["containers"]:
                for variable in container["env"] if container["image"] in PROGRAMS else []:
                    if variable["name"] not in known[container["image"]][1]:
                        yield f"{path.name}: {container['name']} does not know {variable['name']}"


def of_systemd(known):
    """What is wrong with the settings in the units."""
    for path in [*pathlib.Path("deploy/systemd").glob("*.service"), pathlib.Path("deploy/systemd/secrets.conf")]:
        # What is for both has to be known to both; what stands there for whoever needs it, too.
        programs = [path.stem.rstrip("@")] if path.suffix == ".service" else known
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"^#?Environment=(.*)", text, re.MULTILINE):
            for name, value in re.findall(r"(\w+)=(\S*)", line):
                if not all(name in known[program][1] for program in programs):
                    yield f"{path.name}: nobody knows {name}"
                loaded = re.findall(r"^#?LoadCredential=([^:]+):", text, re.MULTILINE)
                if value.startswith("%d/") and value.removeprefix("%d/") not in loaded:
                    yield f"{path.name}: {name} is {value}, which nobody loads"


def main():
    """Says all that is wrong."""
    known = dict(zip(("replog-master", "replog-secondary"), map(settings, sys.argv[1:3])))
    wrong = [line for check in (of_compose, of_kubernetes, of_systemd) for line in check(known)]
    print("\n".join(wrong) if wrong else f"settings: {len(set().union(*[s for s, _ in known.values()]))}, none forgotten, none unknown")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
