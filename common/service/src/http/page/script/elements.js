
// Elements. Whatever comes from a node or from a client is set as text, never as markup.

const $ = (id) => document.getElementById(id);

/** An element with those properties and children: elements, or texts. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Sets a text where it is another one: a selection in it stays, and nobody is told of what has not changed. */
function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

const arranged = new WeakMap();

/** Makes the children of `parent` those of `keys`, in that order. What was there under a key before stays the same element. */
function arrange(parent, keys, create, update) {
  const before = arranged.get(parent) ?? new Map();
  const wanted = new Set(keys);
  for (const [key, child] of before) {
    if (!wanted.has(key)) child.remove();
  }
  const now = new Map();
  let place = [...before].find(([key]) => wanted.has(key))?.[1] ?? null;
  for (const key of wanted) {
    const child = before.get(key) ?? create(key);
    now.set(key, child);
    if (child === place) place = child.nextElementSibling;
    else parent.insertBefore(child, place);
    update?.(child, key);
  }
  arranged.set(parent, now);
}

/** Tells those who listen: a few times a second at most, and only what has just changed. */
const announce = (() => {
  let pending = [];
  return (text) => {
    pending.push(text);
    if (pending.length > 1) return;
    setTimeout(() => {
      $("said").textContent = pending.slice(-5).join(". ");
      pending = [];
    }, 300);
  };
})();

const clock = (date) => date.toLocaleTimeString("en-GB");
const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
const number = (n) => n.toLocaleString("en-US");

function ago(ms) {
  if (ms === null || ms === undefined) return "never";
  if (ms < 2000) return "now";
  const s = Math.floor(ms / 1000);
  if (s < 120) return `${s} s ago`;
  return s < 7200 ? `${Math.floor(s / 60)} min ago` : `${Math.floor(s / 3600)} h ago`;
}

/** `a`, `a and b`, `a, b and c`. */
function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
