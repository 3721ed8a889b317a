
// The token of whoever looks at the page, where the node wants one: asked for when an answer is 401, kept for this tab alone.

const TOKEN_KEY = "replog-token";
/** As much as fits into the head of a request, beside the rest of it. */
const MAX_TOKEN_BYTES = 4096;
/** What everybody is answered. A token has no business there. */
const OPEN_PATHS = new Set(["/", "/livez", "/readyz"]);

/** The token for one origin: that of the page, for which it was typed in. No call to another origin ever has it. */
class Access {
  /**
   * `open`: no token was asked for. `asked`: there is none, and one is wanted. `wrong`: the one that was given is not taken.
   * `trying`: one was given, and no answer has said how good it is. `taken`: a call with it was answered.
   */
  state = "open";
  #token = "";
  #changed;

  constructor(changed) {
    this.#changed = changed;
    const token = kept.read();
    if (!isToken(token)) return;
    this.#token = token;
    this.state = "trying";
  }

  get isAsking() {
    return this.state === "asked" || this.state === "wrong";
  }

  get hasToken() {
    return this.#token !== "";
  }

  /** The token that a call to there carries; empty for none. */
  tokenFor(target) {
    return target.origin === location.origin && !OPEN_PATHS.has(target.pathname) ? this.#token : "";
  }

  /** Tries another token from now on; what is wrong with a text that can be none, else an empty text. */
  give(text) {
    const token = inHeader(text.trim().slice(0, MAX_TOKEN_BYTES + 1));
    if (!isToken(token)) return "This can be no token: it is empty, too long, or has characters that no header takes.";
    this.#become("trying", token);
    return "";
  }

  /** Nothing of it is left but in what the page shows. */
  forget() {
    kept.write("");
    this.#become("open", "");
  }

  /** What a node has answered to a call that carried that token. */
  heard(target, token, status) {
    const isOwn = target.origin === location.origin;
    // An answer to a token that was replaced meanwhile says nothing of the new one.
    if (!isOwn || OPEN_PATHS.has(target.pathname) || token !== this.#token) return;
    if (status === 401) {
      kept.write("");
      // Without a token now, and so are the other calls that come back with it.
      if (token || !this.isAsking) this.#become(token ? "wrong" : "asked", "");
    } else if (this.state === "trying" && (status < 400 || status === 403)) {
      kept.write(token);
      this.#become("taken", token);
    } else if (this.isAsking && !token && status < 400) {
      // The node wants none any more.
      this.#become("open", "");
    }
  }

  #become(state, token) {
    this.state = state;
    this.#token = token;
    this.#changed(state);
  }
}

/** What is kept for this tab and this origin; nothing at all in a browser that is told to keep nothing. */
const kept = {
  read() {
    try {
      return sessionStorage.getItem(TOKEN_KEY) ?? "";
    } catch {
      return "";
    }
  },
  write(token) {
    try {
      if (token) sessionStorage.setItem(TOKEN_KEY, token);
      else sessionStorage.removeItem(TOKEN_KEY);
    } catch {
      // It is asked for again after a reload.
    }
  },
};

/** A text as a header carries it: UTF-8, in characters of one byte each. */
const inHeader = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** Whether a header can have it. A browser's own words for one that it cannot would repeat it. */
const isToken = (token) => token.length <= MAX_TOKEN_BYTES && /^[\x20-\x7e\x80-\xff]+$/.test(token);

/** Shows the field for a token while one is wanted, and what becomes of the one that was given. */
function showAccess(access, isChanging) {
  const isShown = access.isAsking || isChanging;
  const cameUp = isShown && $("access").hidden;
  $("access").hidden = !isShown;
  $("access-cancel").hidden = access.isAsking;
  $("access-held").hidden = isShown || !access.hasToken;
  // A link carries no token.
  document.querySelector("header nav").hidden = isShown || access.hasToken;
  setText($("access-origin"), location.origin);
  setText($("access-held").firstElementChild, access.state === "trying" ? "The token is being tried." : "A token is kept for this tab.");
  $("access-token").ariaInvalid = access.state === "wrong" ? "true" : null;
  if (cameUp && (document.activeElement === document.body || $("access-held").contains(document.activeElement))) $("access-token").focus();
}

/** What is to be said of the token, in words. */
function describeAccess(access) {
  switch (access.state) {
    case "asked": return "This node answers only with a token.";
    case "wrong": return "The token is not taken: it is wrong, or was withdrawn.";
    case "trying": return "The token is being tried";
    case "taken": return "The token is taken";
    default: return "";
  }
}

/** What the person does about the token. */
function listenForToken(access, showing) {
  const field = $("access-token");
  const say = (text) => setText($("access-said"), text);
  $("access").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value;
    field.value = "";
    const problem = access.give(text);
    say(problem);
    if (problem) {
      announce(problem);
      return field.focus();
    }
    showing(false);
    $("access-other").focus();
  });
  $("access-other").addEventListener("click", () => {
    say("");
    showing(true);
  });
  $("access-cancel").addEventListener("click", () => {
    field.value = "";
    showing(false);
    $("access-other").focus();
  });
  // Whatever was read with it goes as well.
  $("access-forget").addEventListener("click", () => {
    access.forget();
    location.reload();
  });
}
