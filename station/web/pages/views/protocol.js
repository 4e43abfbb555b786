// One protocol: a form and its YAML, both ways; what the command line says; a dry run; its versions.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, clock, complaint, go, moment, size } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get, may } from "../api.js";
import "../schema_form.js";

const TYPING_MS = 350;

class ProtocolView extends StationElement {
  static properties = { name: { attribute: false }, stored: { state: true }, text: { state: true }, schema: { state: true }, check: { state: true }, rigs: { state: true },
    rig: { state: true }, error: { state: true }, conflict: { state: true }, said: { state: true }, difference: { state: true } };

  constructor() {
    super();
    this.name = "";
    this.text = "";
    this.rig = "simulated";
    this.said = "";
    this.difference = "";
    /** @type {any} */ this.stored = null;
    /** @type {any} */ this.schema = null;
    /** @type {any} */ this.check = null;
    /** @type {any[]} */ this.rigs = [];
    /** @type {any} */ this.error = null;
    /** @type {any} */ this.conflict = null;
    this.asked = 0;
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (changed.has("name")) this.#read();
  }

  async #read() {
    try {
      [this.stored, this.schema, this.rigs] = await Promise.all([get(`/protocols/${encoded(this.name)}`), get("/protocols/schema"), get("/rigs")]);
      this.text = this.stored.text;
      this.error = null;
      await this.#check();
    } catch (error) {
      this.error = error;
    }
  }

  async #check() {
    const number = ++this.asked;
    try {
      const check = await call("POST", "/protocols/check", { name: this.name, text: this.text, rig: this.rig });
      if (number === this.asked) this.check = check;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }

  /** @param {string} text */
  #typed(text) {
    this.text = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#check(), TYPING_MS);
  }

  /** @param {{key: (string | number)[], value: any}} change */
  async #changed(change) {
    const number = ++this.asked;
    try {
      const answer = await call("POST", "/protocols/edit", { name: this.name, text: this.text, rig: this.rig, ...change });
      if (number !== this.asked) return;
      this.text = answer.text;
      this.check = answer;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }

  /** @param {Event} event */
  async #save(event) {
    event.preventDefault();
    const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const name = String(data.get("name"));
    const version = name === this.name ? this.stored.version : 0;
    try {
      this.error = this.conflict = null;
      const stored = await call("PUT", `/protocols/${encoded(name)}`, { text: this.text, version, remark: data.get("remark") });
      this.said = `${texts.protocols.kept} ${stored.version}: ${name}`;
      if (name === this.name) this.stored = stored;
      else go(`/protocols/${encoded(name)}`);
    } catch (error) {
      if (/** @type {any} */ (error).kind === "changed-meanwhile") this.conflict = error;
      else this.error = error;
    }
  }

  /** @param {number} number */
  async #compare(number) {
    const answer = await get(`/protocols/${encoded(this.name)}/difference?before=${number - 1}&after=${number}`).catch(() => ({ difference: "" }));
    this.difference = answer.difference;
  }

  render() {
    if (!this.stored) return html`${complaint(this.error)}<p class="quiet">${texts.loading}</p>`;
    const { stored } = this, label = texts.protocols;
    return html`
      <div class="bar"><h1>${stored.name}</h1><span class="tag">${stored.packaged ? label.packaged : `version ${stored.version}`}</span>
        <span class="rest"><label>${label.rig} <select aria-label=${label.rig} @change=${(/** @type {any} */ e) => { this.rig = e.target.value; this.#check(); }}>
          <option value="">${label.noRig}</option>${this.rigs.filter((rig) => !rig.error).map((rig) => html`<option ?selected=${rig.name === this.rig}>${rig.name}</option>`)}</select></label></span></div>
      ${complaint(this.error)}
      ${this.said ? html`<p class="notice good" role="status">${this.said}</p>` : ""}
      ${this.conflict ? this.#theirs(this.conflict) : ""}
      <div class="halves">
        <section class="panel"><h2>${label.form}</h2>
          <schema-form .schema=${this.schema} .values=${this.check?.values} @value=${(/** @type {CustomEvent} */ e) => this.#changed(e.detail)}></schema-form>
          ${this.check && !this.check.values ? html`<p class="quiet">${texts.nothing}</p>` : ""}</section>
        <div class="stack beside">
          <section class="panel"><h2>${label.yaml}</h2>
            <textarea rows="20" spellcheck="false" aria-label=${label.yaml} .value=${this.text} @input=${(/** @type {any} */ e) => this.#typed(e.target.value)}></textarea>
            <div aria-live="polite">${this.#findings()}</div></section>
          <section class="panel"><h2>${label.dryRun}</h2>${this.#estimate()}</section>
          ${may("edit_protocols") ? this.#form() : ""}
          ${stored.versions.length ? html`<section class="panel"><h2>${label.versions}</h2>${this.#versions()}</section>` : ""}
        </div>
      </div>`;
  }

  /** @param {any} problem what another wrote meanwhile */
  #theirs(problem) {
    return html`<div class="notice bad" role="alert">${problem.message}
      <p><b>${texts.protocols.yours}</b></p>${this.#diff(problem.body.difference)}
      <button @click=${() => { this.stored = { ...this.stored, version: problem.body.present_version }; this.conflict = null; }}>${texts.protocols.takePresent}</button></div>`;
  }

  #findings() {
    const { check } = this;
    if (!check) return "";
    if (check.error) return html`<p class="notice bad">${check.error}</p>`;
    if (!check.findings.length) return html`<p class="notice good">${texts.protocols.fine}</p>`;
    return check.findings.map((/** @type {any} */ each) => html`<p class="notice ${each.level === "refused" ? "bad" : "warn"}">${each.line ? `line ${each.line}: ` : ""}${each.text}</p>`);
  }

  #estimate() {
    const result = this.check?.estimate, label = texts.protocols.estimate;
    if (!result) return html`<p class="quiet">${texts.nothing}</p>`;
    return html`<dl class="facts"><dt>${label.fields}</dt><dd>${result.fields}</dd><dt>${label.time}</dt><dd>${clock(result.seconds)}</dd>
        <dt>${label.disk}</dt><dd>${size(result.stored_bytes)}; ${size(result.needed_bytes)} ${label.needed}</dd><dt>${label.oil}</dt><dd>${result.oil_drops}</dd></dl>
      <table><tbody>${result.phases.map((/** @type {any} */ phase) => html`<tr><td>${phase.name}</td><td class="number">${phase.count} ${phase.unit}</td><td class="number">${clock(phase.seconds)}</td></tr>`)}</tbody></table>`;
  }

  #form() {
    const { stored } = this, label = texts.protocols;
    return html`<form class="form panel" @submit=${(/** @type {Event} */ e) => this.#save(e)}>
      <h2>${label.save}</h2><div class="grid-form">
      <label><span>${label.saveAs}</span><input name="name" required pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]{0,79}" .value=${stored.packaged ? `${stored.name}-ours` : stored.name}></label>
      <label><span>${label.remark}</span><input name="remark" maxlength="120"></label></div>
      <div><button class="main-action" ?disabled=${Boolean(!this.check || this.check.error)}>${label.save}</button></div></form>`;
  }

  #versions() {
    return html`<table><tbody>${[...this.stored.versions].reverse().map((/** @type {any} */ each) => html`<tr><td>${each.number}</td><td>${moment(each.at)}</td><td>${each.author}</td><td>${each.remark}</td>
      <td><button @click=${() => this.#compare(each.number)}>${texts.protocols.difference}</button></td></tr>`)}</tbody></table>${this.#diff(this.difference)}`;
  }

  /** @param {string} text */
  #diff(text) {
    return html`<pre>${(text ?? "").split("\n").map((line) => html`<span class=${line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : ""}>${line}\n</span>`)}</pre>`;
  }
}
customElements.define("protocol-view", ProtocolView);
