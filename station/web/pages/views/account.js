// Log-in, the first administrator, one's own password.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, complaint, go } from "../parts.js";
import { texts } from "../texts.js";
import { changeSession, session } from "../api.js";

/** @param {string} name @param {string} label @param {string} [type] @param {string} [complete] */
const field = (name, label, type = "text", complete = "off") => html`
  <label><span>${label}</span><input name=${name} type=${type} autocomplete=${complete} required></label>`;

class SessionForm extends StationElement {
  static properties = { error: { state: true }, done: { state: true } };

  constructor() {
    super();
    /** @type {any} */ this.error = null;
    this.done = "";
  }

  /** @param {Event} event @param {(values: Record<string, string>) => Promise<void>} send */
  async submit(event, send) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    try {
      this.error = null;
      await send(/** @type {Record<string, string>} */ (Object.fromEntries(new FormData(form))));
      form.reset();
    } catch (error) {
      this.error = error;
    }
  }
}

class LoginView extends SessionForm {
  render() {
    return html`<form class="form narrow panel" @submit=${(/** @type {Event} */ e) => this.submit(e, (v) => changeSession("POST", "/session", v))}>
      <h1>${texts.brand}: ${texts.login.title}</h1>
      ${session.needs_setup ? html`<p class="notice warn">${texts.setup.needed}</p>` : ""}
      ${complaint(this.error)}
      ${field("name", texts.login.name, "text", "username")}
      ${field("password", texts.login.password, "password", "current-password")}
      <button class="main-action">${texts.login.submit}</button>
      <p class="quiet">${texts.research}</p>
    </form>`;
  }
}
customElements.define("login-view", LoginView);

class SetupView extends SessionForm {
  render() {
    const token = location.hash.slice(1);
    const send = async (/** @type {any} */ values) => { await changeSession("POST", "/setup", { token, ...values }); go("/users"); };
    return html`<form class="form narrow panel" @submit=${(/** @type {Event} */ e) => this.submit(e, send)}>
      <h1>${texts.setup.title}</h1><p class="help">${texts.setup.help}</p>
      ${complaint(this.error)}
      ${field("name", texts.login.name, "text", "username")}
      ${field("full_name", texts.setup.fullName, "text", "name")}
      ${field("password", texts.login.password, "password", "new-password")}
      <button class="main-action">${texts.setup.submit}</button>
    </form>`;
  }
}
customElements.define("setup-view", SetupView);

class ResetView extends SessionForm {
  render() {
    const token = location.hash.slice(1);
    const send = async (/** @type {any} */ values) => { await changeSession("POST", "/session/reset", { token, ...values }); go("/runs"); };
    return html`<form class="form narrow panel" @submit=${(/** @type {Event} */ e) => this.submit(e, send)}>
      <h1>${texts.reset.title}</h1>
      ${complaint(this.error)}
      ${field("password", texts.account.new, "password", "new-password")}
      <button class="main-action">${texts.reset.submit}</button>
    </form>`;
  }
}
customElements.define("reset-view", ResetView);

class AccountView extends SessionForm {
  render() {
    const send = async (/** @type {any} */ values) => { 
      const isFirst = session.user.must_change_password;
      await changeSession("POST", "/session/password", values);
      this.done = texts.account.changed;
      if (isFirst) go("/runs");
    };
    return html`<form class="form narrow panel" @submit=${(/** @type {Event} */ e) => this.submit(e, send)}>
      <h1>${session.user.full_name}</h1>
      <p class="quiet">${session.user.name}: ${session.user.roles.join(", ")}</p>
      ${session.user.must_change_password ? html`<p class="notice warn">${texts.account.first}</p>` : ""}
      ${complaint(this.error)}
      ${this.done ? html`<p class="notice good" role="status">${this.done}</p>` : ""}
      ${field("old", texts.account.old, "password", "current-password")}
      ${field("new", texts.account.new, "password", "new-password")}
      <button class="main-action">${texts.account.submit}</button>
    </form>`;
  }
}
customElements.define("account-view", AccountView);
