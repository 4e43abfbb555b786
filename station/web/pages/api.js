// The API as the pages use it: one place for the forgery token, problems, and what a lost session means.
// @ts-check

/** A problem of the API (RFC 9457). */
export class Problem extends Error {
  /** @param {any} body @param {number} status */
  constructor(body, status) {
    super(body.detail ?? `HTTP ${status}`);
    this.status = status;
    this.kind = String(body.type ?? "").split(":").pop() ?? "";
    this.body = body;
  }
}

/** @type {{user: any, csrf_token: string | null, needs_setup: boolean}} */
export let session = { user: null, csrf_token: null, needs_setup: false };
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {() => void} listener called whenever the session changes */
export function onSession(listener) {
  listeners.add(listener);
}

/** @param {any} value */
function take(value) {
  session = value;
  for (const listener of listeners) listener();
}

/**
 * Ask the API.
 * @param {string} method
 * @param {string} path below /api
 * @param {any} [body]
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && session.csrf_token) headers["X-CSRF-Token"] = session.csrf_token;
  let response;
  try {
    response = await fetch(`/api${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem({ type: "unreachable", detail: "The server doesn't answer. Runs go on without it." }, 0);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const problem = new Problem(answer, response.status);
  if (response.status === 401 && session.user) await refreshSession();
  throw problem;
}

export const get = (/** @type {string} */ path) => call("GET", path);

/** Read who is logged in. */
export async function refreshSession() {
  take(await call("GET", "/session"));
}

/** @param {"POST" | "DELETE"} method @param {string} path @param {any} [body] */
export async function changeSession(method, path, body) {
  take(await call(method, path, body));
}

/** @param {string} permission */
export function may(permission) {
  return session.user?.permissions.includes(permission) ?? false;
}

/** @param {string} name */
export function encoded(name) {
  return encodeURIComponent(name);
}
