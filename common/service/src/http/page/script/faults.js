
// Faults on purpose, of the nodes whose faults may be set from here.

const MAX_KNOBS = 32;
const KNOBS = [
  { name: "delay_ms", label: "Delay (ms)", max: 600_000, step: 1 },
  { name: "error_rate", label: "Errors (0–1)", max: 1, step: 0.01 },
  { name: "drop_rate", label: "Losses (0–1)", max: 1, step: 0.01 },
];

class Faults {
  /** By the id of a node: `{ base, state, values, said }`; `base` is where its calls are, `state` asked, open, closed or guarded. */
  nodes = new Map();
  #reachable = new Set();
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  /** Asks which nodes the page may call: what joins later is reached after a reload. */
  async learnReachable() {
    const answer = await call("/", { method: "HEAD" }).catch(() => null);
    const policy = answer?.headers.get("content-security-policy") ?? "";
    const sources = policy.split(";").map((part) => part.trim().split(/\s+/)).find(([name]) => name === "connect-src") ?? [];
    this.#reachable = new Set(sources.slice(1));
    this.#changed();
  }

  /** Everybody is to be asked again. */
  forget() {
    this.nodes.clear();
  }

  /** Asks those who have come since, or have come back: another process may have other settings. */
  look(health, nodes) {
    const own = health.role === "secondary" ? nodes.slice(0, 1) : nodes.slice(1);
    const heard = own.filter((node) => node.isSelf || !isAway(node)).slice(0, MAX_KNOBS);
    const ids = new Set(heard.map((node) => node.id));
    for (const id of this.nodes.keys()) {
      if (!ids.has(id)) this.nodes.delete(id);
    }
    for (const node of heard) {
      const base = this.#baseOf(node);
      const isThere = node.isSelf || looks(node.status) === "ok";
      if (base === null || !isThere || this.nodes.get(node.id)?.base === base) continue;
      const asked = { base, state: "asked", values: {}, said: "" };
      this.nodes.set(node.id, asked);
      this.#ask(asked);
    }
  }

  #baseOf(node) {
    if (node.isSelf) return "";
    const address = addressOf(node.url);
    // An address is what another node has said: only one on the same machine is asked without being told to.
    if (!address || !isSameMachine(address.hostname)) return null;
    const { origin } = address;
    return origin === location.origin || this.#reachable.has(origin) ? origin : null;
  }

  async #ask(knob) {
    const answer = await call(`${knob.base}/faults`).catch(() => null);
    const values = await faultsIn(answer);
    knob.state = values ? "open" : isGuarded(knob, answer) ? "guarded" : "closed";
    if (values) knob.values = values;
    this.#changed();
  }

  async set(knob, values) {
    knob.said = "setting …";
    this.#changed();
    const headers = { "content-type": "application/json" };
    const answer = await call(`${knob.base}/faults`, { method: "PUT", headers, body: JSON.stringify(values) }).catch(() => null);
    knob.values = (await faultsIn(answer)) ?? knob.values;
    if (isGuarded(knob, answer)) knob.state = "guarded";
    knob.said = !answer ? "there was no answer" : answer.ok ? "" : await problemOf(answer, "admin");
    announce(knob.said || `Faults are set: ${describeFaults(knob.values)}`);
    this.#changed();
  }
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

function isSameMachine(host) {
  return host === location.hostname || (LOOPBACK.has(host) && LOOPBACK.has(location.hostname));
}

/**
 * Whether another node wants a token. It gets none from this page: its address is only what somebody has said, and whoever looks
 * has given the token to this node.
 */
const isGuarded = (knob, answer) => knob.base !== "" && answer?.status === 401;

/** The faults that an answer says, if it is one that does. */
async function faultsIn(answer) {
  if (!answer?.ok) return null;
  const values = await answer.json().catch(() => null);
  return KNOBS.every(({ name }) => typeof values?.[name] === "number") ? values : null;
}

function describeFaults({ delay_ms: delay, error_rate: errors, drop_rate: losses }) {
  const some = [
    delay > 0 && `${number(delay)} ms late`,
    errors > 0 && `${Math.round(100 * errors)} % errors`,
    losses > 0 && `${Math.round(100 * losses)} % lost`,
  ].filter(Boolean);
  return some.length === 0 ? "none" : some.join(", ");
}

function showFaults(faults) {
  const withState = (state) => [...faults.nodes].filter(([, knob]) => knob.state === state).map(([id]) => id);
  const [open, guarded] = [withState("open"), withState("guarded")];
  $("faults").hidden = open.length + guarded.length === 0;
  arrange($("guarded"), guarded, guardedNode, (item, id) => {
    const { base } = faults.nodes.get(id);
    const [name, link] = item.children;
    setText(name, `${id} answers only with a token, on its own page: `);
    if (link.textContent === base) return;
    Object.assign(link, { href: base, textContent: base });
  });
  const create = (id) => knobsOf(faults, id);
  arrange($("knobs"), open, create, (form, id) => {
    const { values, said } = faults.nodes.get(id);
    setText(form.querySelector("strong"), `${id}: ${describeFaults(values)}`);
    setClass(form.querySelector("strong"), describeFaults(values) === "none" ? "" : "warn");
    setText(form.querySelector("output"), said);
    const shown = JSON.stringify(values);
    if (form.dataset.shown === shown) return;
    form.dataset.shown = shown;
    for (const { name } of KNOBS) form.elements[name].value = values[name];
  });
}

const guardedNode = () => make("li", {}, make("span"), make("a", { rel: "noreferrer" }));

function knobsOf(faults, id) {
  const inputs = KNOBS.map(({ name, label, max, step }) =>
    make("label", {}, `${label} `, make("input", { type: "number", name, min: 0, max, step, required: true, ariaLabel: `${label} of ${id}` })));
  const none = make("button", { type: "button", className: "second", textContent: "None", ariaLabel: `No faults of ${id}` });
  const set = make("button", { textContent: "Set", ariaLabel: `Set the faults of ${id}` });
  const form = make("form", { autocomplete: "off" }, make("strong"), ...inputs, set, none, make("output"));
  form.dataset.node = id;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = ({ name }) => [name, Number(form.elements[name].value)];
    faults.set(faults.nodes.get(id), Object.fromEntries(KNOBS.map(value)));
  });
  none.addEventListener("click", () => {
    form.dataset.shown = "";
    faults.set(faults.nodes.get(id), Object.fromEntries(KNOBS.map(({ name }) => [name, 0])));
  });
  return form;
}
