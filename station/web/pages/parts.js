// What several views use: formats, statuses, and the base of all elements.
// @ts-check
import { LitElement, html, nothing } from "./vendor/lit.js";

/** Elements without a shadow: one style sheet, and names that labels reach. */
export class StationElement extends LitElement {
  createRenderRoot() {
    return this;
  }
}

/** @param {number | null | undefined} seconds */
export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "—";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** @param {number} bytes */
export function size(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {string | null | undefined} text ISO 8601; shown in the time of this place */
export function moment(text) {
  if (!text) return "—";
  const at = new Date(text);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** @param {any} value */
export function shown(value) {
  return value === null || value === undefined || value === "" ? "—" : String(value);
}

/** @param {string | null} text */
export function words(text) {
  return shown(text).replaceAll("_", " ");
}

/** @param {{status: string | null, running: boolean, cut_off?: boolean}} run */
export function statusTag(run) {
  const text = run.cut_off ? "cut off" : words(run.status);
  const kind = run.cut_off || ["failed", "aborted", "parked", "unreadable"].includes(run.status ?? "") ? "bad"
    : run.running ? "" : run.status === "completed" ? "good" : "warn";
  return html`<span class="tag ${kind}">${text}</span>`;
}

/** @param {any} error */
export function complaint(error) {
  return error ? html`<p class="notice bad" role="alert">${error.message ?? error}</p>` : nothing;
}

/** @param {string} path */
export function go(path) {
  history.pushState(null, "", path);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
