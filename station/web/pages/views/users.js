// Users, for administrators.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, complaint } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get } from "../api.js";

class UsersView extends StationElement {
  static properties = { users: { state: true }, error: { state: true }, link: { state: true } };

  constructor() {
    super();
    /** @type {any[]} */ this.users = [];
    /** @type {any} */ this.error = null;
    this.link = "";
  }

  connectedCallback() {
    super.connectedCallback();
    this.#act(async () => {});
  }

  /** @param {() => Promise<any>} action */
  async #act(action) {
    try {
      this.error = null;
      await action();
    } catch (error) {
      this.error = error;
    }
    this.users = await get("/users").catch(() => this.users);
  }

  /** @param {Event} event */
  #add(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const data = new FormData(form);
    const values = { name: data.get("name"), full_name: data.get("full_name"), password: data.get("password"), roles: data.getAll("roles") };
    this.#act(async () => { await call("POST", "/users", values); form.reset(); });
  }

  /** @param {any} user @param {any} change */
  #change(user, change) {
    this.#act(() => call("PATCH", `/users/${encoded(user.uid)}`, { version: user.version, ...change }));
  }

  render() {
    return html`
      <div class="bar"><h1>${texts.users.title}</h1></div>
      ${complaint(this.error)}
      ${this.link ? html`<p class="notice good" role="status">${texts.users.link} ${this.link}</p>` : ""}
      <div class="columns">
        <div class="panel"><table>
          <thead><tr><th>${texts.login.name}</th><th>${texts.setup.fullName}</th><th>${texts.users.roles}</th><th></th></tr></thead>
          <tbody>${this.users.map((user) => html`<tr>
            <td>${user.name}</td><td>${user.full_name}</td><td>${this.#roles(user)}</td>
            <td><button @click=${() => this.#act(async () => { this.link = location.origin + (await call("POST", `/users/${encoded(user.uid)}/reset`)).path; })}>${texts.users.reset}</button>
              <button @click=${() => this.#change(user, { disabled: !user.disabled })}>${user.disabled ? texts.users.enable : texts.users.disable}</button></td>
          </tr>`)}</tbody>
        </table></div>
        <form class="form panel" @submit=${(/** @type {Event} */ e) => this.#add(e)}>
          <h2>${texts.users.add}</h2>
          <label><span>${texts.login.name}</span><input name="name" required autocomplete="off"></label>
          <label><span>${texts.setup.fullName}</span><input name="full_name" required autocomplete="off"></label>
          <label><span>${texts.users.first}</span><input name="password" type="password" required autocomplete="new-password"></label>
          <fieldset><legend>${texts.users.roles}</legend>
            ${Object.entries(texts.roles).map(([role, name]) => html`<label><input type="checkbox" name="roles" value=${role}> ${name}</label>`)}
          </fieldset>
          <button class="main-action">${texts.users.submit}</button>
        </form>
      </div>`;
  }

  /** @param {any} user */
  #roles(user) {
    const toggle = (/** @type {string} */ role, /** @type {boolean} */ on) =>
      this.#change(user, { roles: on ? [...user.roles, role] : user.roles.filter((/** @type {string} */ each) => each !== role) });
    return Object.entries(texts.roles).map(([role, name]) => html`<label><input type="checkbox" .checked=${user.roles.includes(role)}
      @change=${(/** @type {any} */ e) => toggle(role, e.target.checked)}> ${name}</label>`);
  }
}
customElements.define("users-view", UsersView);
