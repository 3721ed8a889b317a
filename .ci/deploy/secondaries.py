"""Whether an override of deploy/compose-secondaries makes that many secondaries: secondaries.py COUNT COMPOSE OVERRIDE

A fourth argument is deploy/compose.public.yml: then the override is one that was made for it, with --public.
"""

import pathlib
import sys

import yaml

# What stands for ports that take the place of others.
yaml.SafeLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def main():
    """Fails where it does not."""
    count = int(sys.argv[1])
    base, override, *public = (yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[2:])
    address = "${REPLOG_BIND:-0.0.0.0}" if public else "127.0.0.1"
    needed = lambda name, else_: r"${%s:?" % name if public else "${%s:-%s}" % (name, else_)
    assert "services" in override, "the override says nothing"
    services, names = base["services"], [f"secondary{i}" for i in range(1, count + 1)]
    # As compose merges the two files, as far as it matters here.
    for name, service in [pair for file in (*public, override) for pair in file["services"].items()]:
        former = services.get(name, {})
        services[name] = former | service
        services[name]["environment"] = former.get("environment", {}) | service.get("environment", {})
    started = [name for name, s in services.items() if s["image"] == "replog-secondary" and "profiles" not in s]
    assert started == names, started

    nodes = ["master", *names]
    assert services["master"]["environment"]["REPLOG_SECONDARIES"].split(",") == names
    urls = [f"http://localhost:{8000 + i}" for i in range(count + 1)]
    for i, (name, url) in enumerate(zip(nodes, urls)):
        service, port = services[name], 8000 + i
        environment = service["environment"]
        assert service["ports"] == [f"{address}:{port}:{port}"], service["ports"]
        assert service["volumes"] == [f"{name}-data:/data", "./deploy/secrets:/etc/replog:ro"], service["volumes"]
        assert f"{name}-data" in base["volumes"] | override.get("volumes", {})
        # Who it is, and that the brokers are told the same password.
        variable = f"NATS_{name.upper()}_PASSWORD"
        own = needed(variable, name)
        assert environment["NATS_USER"] == name, environment
        assert environment["NATS_PASSWORD"].startswith(own if i > 2 else own[: len(variable) + 2]), environment["NATS_PASSWORD"]
        for broker in ("nats", "nats2", "nats3"):
            told = services[broker]["environment"][variable]
            assert told.startswith(f'"{own}' if i > 2 or broker == "nats" else f'"${{{variable}'), told
            assert told.endswith('}"'), told
        assert environment["REPLOG_INSECURE"] == ("false" if public else "true")
        assert environment["REPLOG_TOKEN_ADMIN"].startswith(needed("REPLOG_TOKEN_ADMIN", "")), environment["REPLOG_TOKEN_ADMIN"]
        assert environment["REPLOG_HTTP_ADDR"] == f"0.0.0.0:{port}"
        assert environment["REPLOG_ADVERTISE_URL"] == "${%s_URL:-%s}" % (name.upper(), url)
        assert environment.get("REPLOG_NODE_ID", "master") == service["hostname"] == name
        allowed = environment["REPLOG_ALLOW_ORIGIN"].removeprefix("${REPLOG_ALLOW_ORIGIN:-").removesuffix("}")
        others = [u.replace("localhost", host) for u in urls for host in ("localhost", "127.0.0.1")]
        assert allowed == ("" if public else ",".join(others)), allowed
        # Everything else is as of the first one.
        if name != "master":
            same = lambda s: {k: v for k, v in s.items() if k not in ("build", "hostname", "environment", "volumes", "ports")}
            assert same(service) == same(services["secondary1"]), service
            assert set(environment) == set(services["secondary1"]["environment"])
    accounts = [v for v in services["nats"]["volumes"] if v != "./nats:/etc/replog:ro"]
    assert [v["source"] for v in accounts] == (["./deploy/accounts.conf"] if count > 2 else []), accounts
    print(f"compose-secondaries {count}{' --public' if public else ''}: {', '.join(nodes if count < 6 else [*nodes[:3], '…', nodes[-1]])}")


if __name__ == "__main__":
    main()
