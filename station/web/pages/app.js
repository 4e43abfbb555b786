// The frame: who is logged in, which view the address names, keys that work everywhere.
// @ts-check
import { html, nothing } from "./vendor/lit.js";
import { StationElement, go } from "./parts.js";
import { texts } from "./texts.js";
import { changeSession, may, onSession, refreshSession, session } from "./api.js";
import "./views/account.js";
import "./views/runs.js";
import "./views/run.js";
import "./views/nights.js";
import "./views/night.js";
import "./views/protocols.js";
import "./views/protocol.js";
import "./views/rigs.js";
import "./views/users.js";

/** @type {[string, string, string | null][]} path, name, permission */
const SECTIONS = [
  ["/runs", texts.sections.runs, "view_runs"],
  ["/nights", texts.sections.nights, "view_runs"],
  ["/protocols", texts.sections.protocols, "view_runs"],
  ["/rigs", texts.sections.rigs, "view_runs"],
  ["/users", texts.sections.users, "manage_users"],
];

class StationApp extends StationElement {
  static properties = { ready: { state: true }, path: { state: true } };

  constructor() {
    super();
    this.ready = false;
    this.path = location.pathname;
  }

  connectedCallback() {
    super.connectedCallback();
    this.#showTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    onSession(() => this.requestUpdate());
    window.addEventListener("popstate", () => { this.path = location.pathname; this.requestUpdate(); });
    document.addEventListener("click", (event) => this.#follow(event));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    refreshSession().catch(() => {}).finally(() => { this.ready = true; });
  }

  /** @param {MouseEvent} event links between views load no page anew */
  #follow(event) {
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const href = link.getAttribute("href") ?? "";
    if (!href.startsWith("/") || href.startsWith("/api/") || link.hasAttribute("target")) return;
    event.preventDefault();
    go(href);
    this.updateComplete.then(() => document.getElementById("main")?.focus());
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const typing = /** @type {Element} */ (event.target).closest?.("input, textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Escape")) return;
    if (event.key === "?") return this.#toggleHelp();
    if (event.key === "t") return this.#toggleTheme();
    if (event.key === "/") {
      const filter = /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"));
      if (filter) { event.preventDefault(); filter.focus(); }
      return undefined;
    }
    const section = this.#sections()[Number(event.key) - 1];
    if (section && session.user) go(section[0]);
    return undefined;
  }

  #sections() {
    return SECTIONS.filter(([, , permission]) => permission === null || may(permission));
  }

  #toggleTheme() {
    this.#showTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    this.dispatchEvent(new CustomEvent("theme", { bubbles: true }));
  }

  /** @param {string} theme */
  #showTheme(theme) {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  }

  #toggleHelp() {
    const dialog = /** @type {HTMLDialogElement | null} */ (this.querySelector("dialog.keys"));
    if (dialog?.open) dialog.close();
    else dialog?.showModal();
  }

  render() {
    if (!this.ready) return html`<p class="main">${texts.loading}</p>`;
    if (this.path === "/setup") return html`<setup-view></setup-view>`;
    if (this.path === "/reset") return html`<reset-view></reset-view>`;
    if (!session.user) return html`<login-view></login-view>`;
    return html`
      <a class="skip" href="#main">${texts.skip}</a>
      <div class="frame">
        <header class="head">
          <span class="brand">${texts.brand}</span><span class="quiet">${texts.research}</span>
          <span class="rest">
            <button @click=${() => this.#toggleTheme()}>${texts.theme}</button>
            <button @click=${() => this.#toggleHelp()}>${texts.help} <kbd>?</kbd></button>
            <a href="/account">${session.user.full_name}</a>
            <button @click=${() => changeSession("DELETE", "/session")}>${texts.logOut}</button>
          </span>
        </header>
        <nav class="nav" aria-label="Sections">
          ${this.#sections().map(([path, name], index) => html`
            <a href=${path} aria-current=${this.path.startsWith(path) ? "page" : nothing}>${name}<kbd>${index + 1}</kbd></a>`)}
        </nav>
        <main class="main" id="main" tabindex="-1">${this.#view()}</main>
      </div>
      <dialog class="keys" aria-label=${texts.help}>
        <h2>${texts.help}</h2>
        <table><tbody>${texts.keys.map(([key, what]) => html`<tr><td><kbd>${key}</kbd></td><td>${what}</td></tr>`)}</tbody></table>
        <p><button @click=${() => this.#toggleHelp()}>${texts.close}</button></p>
      </dialog>`;
  }

  #view() {
    if (session.user.must_change_password || this.path === "/account") return html`<account-view></account-view>`;
    const [, section, name] = this.path.split("/").map(decodeURIComponent);
    switch (section) {
      case "nights": return name ? html`<night-view .name=${name}></night-view>` : html`<nights-view></nights-view>`;
      case "protocols": return name ? html`<protocol-view .name=${name}></protocol-view>` : html`<protocols-view></protocols-view>`;
      case "rigs": return name ? html`<rig-view .name=${name}></rig-view>` : html`<rigs-view></rigs-view>`;
      case "users": if (may("manage_users")) return html`<users-view></users-view>`; break;
      case "runs": if (name) return html`<run-view .name=${name}></run-view>`; break;
    }
    return html`<runs-view></runs-view>`;
  }
}
customElements.define("station-app", StationApp);
