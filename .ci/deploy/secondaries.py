"""Whether an override of deploy/compose-secondaries makes that many secondaries: secondaries.py COUNT COMPOSE OVERRIDE"""

import pathlib
import sys

import yaml


def main():
    """Fails where it does not."""
    count = int(sys.argv[1])
    base, override = (yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[2:4])
    assert "services" in override, "the override says nothing"
    services, names = base["services"], [f"secondary{i}" for i in range(1, count + 1)]
    # As compose merges the two files, as far as it matters here.
    for name, service in override["services"].items():
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
        assert service["ports"] == ["${REPLOG_BIND:-127.0.0.1}:%d:%d" % (port, port)], service["ports"]
        assert service["volumes"] == [f"{name}-data:/data"] and f"{name}-data" in base["volumes"] | override.get("volumes", {})
        assert environment["REPLOG_HTTP_ADDR"] == f"0.0.0.0:{port}"
        assert environment["REPLOG_ADVERTISE_URL"] == "${%s_URL:-%s}" % (name.upper(), url)
        assert environment.get("REPLOG_NODE_ID", "master") == service["hostname"] == name
        allowed = environment["REPLOG_ALLOW_ORIGIN"].removeprefix("${REPLOG_ALLOW_ORIGIN:-").removesuffix("}")
        others = [u.replace("localhost", host) for u in urls for host in ("localhost", "127.0.0.1")]
        assert allowed.split(",") == others, allowed
        # Everything else is as of the first one.
        if name != "master":
            same = lambda s: {k: v for k, v in s.items() if k not in ("build", "hostname", "environment", "volumes", "ports")}
            assert same(service) == same(services["secondary1"]), service
            assert set(environment) == set(services["secondary1"]["environment"])
    print(f"compose-secondaries {count}: {', '.join(nodes if count < 6 else [*nodes[:3], '…', nodes[-1]])}")


if __name__ == "__main__":
    main()
