// Rigs: what they are, their checks and calibrations, and where the live picture is.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, complaint, moment, shown } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get, may } from "../api.js";

class RigsView extends StationElement {
  static properties = { rigs: { state: true }, error: { state: true } };

  constructor() {
    super();
    /** @type {any[]} */ this.rigs = [];
    /** @type {any} */ this.error = null;
  }

  connectedCallback() {
    super.connectedCallback();
    get("/rigs").then((rigs) => { this.rigs = rigs; }).catch((error) => { this.error = error; });
  }

  render() {
    return html`<div class="bar"><h1>${texts.rigs.title}</h1></div>${complaint(this.error)}
      <div class="panel"><table><thead><tr>${texts.rigs.columns.map((name) => html`<th>${name}</th>`)}</tr></thead>
        <tbody>${this.rigs.map((rig) => html`<tr><td><a href=${`/rigs/${encoded(rig.name)}`}>${rig.name}</a></td>
          ${rig.error ? html`<td colspan="4" class="warn">${rig.error}</td>` : html`
            <td>${rig.simulated ? texts.rigs.simulated : texts.rigs.real}</td><td>${rig.slots}</td><td>${rig.objectives.join(", ")}</td><td>${rig.used_by ?? html`<span class="quiet">${texts.rigs.free}</span>`}</td>`}
        </tr>`)}</tbody></table></div>`;
  }
}
customElements.define("rigs-view", RigsView);

const REFRESH_MS = 3000;

class RigView extends StationElement {
  static properties = { name: { attribute: false }, rig: { state: true }, error: { state: true }, said: { state: true } };

  constructor() {
    super();
    this.name = "";
    /** @type {any} */ this.rig = null;
    /** @type {any} */ this.error = null;
    this.said = "";
  }

  connectedCallback() {
    super.connectedCallback();
    this.updateComplete.then(() => this.#read());
    this.timer = setInterval(() => this.#read(), REFRESH_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  async #read() {
    try {
      this.rig = await get(`/rigs/${encoded(this.name)}`);
    } catch (error) {
      this.error = error;
    }
  }

  async #check() {
    try {
      this.error = null;
      await call("POST", `/rigs/${encoded(this.name)}/check`);
      this.said = texts.rigs.checking;
    } catch (error) {
      this.error = error;
    }
    this.#read();
  }

  render() {
    const { rig } = this;
    if (!rig) return html`${complaint(this.error)}<p class="quiet">${texts.loading}</p>`;
    return html`
      <div class="bar"><h1>${rig.name}</h1><span class="tag">${rig.simulated ? texts.rigs.simulated : texts.rigs.real}</span>
        <span class="quiet">${rig.used_by ? `in use by ${rig.used_by}` : texts.rigs.free}</span>
        <span class="rest">${may("operate_rigs") ? html`<button ?disabled=${Boolean(rig.used_by || rig.error)} @click=${() => this.#check()}>${texts.rigs.check}</button>` : ""}</span></div>
      ${complaint(this.error)}${complaint(rig.error)}
      ${this.said ? html`<p class="notice good" role="status">${this.said}</p>` : ""}
      <div class="halves">
        <section class="panel"><h2>${texts.rigs.facts}</h2><dl class="facts">${rig.facts.map((/** @type {any} */ fact) => html`<dt>${fact.name}</dt><dd>${fact.value}</dd>`)}</dl></section>
        <div class="stack">
          <section class="panel"><h2>${texts.rigs.results}</h2>
            ${rig.results.length ? html`<table><tbody>${rig.results.map((/** @type {any} */ each) => html`<tr><td>${moment(each.at)}</td><td>${shown(each.result)}</td>
              <td><a target="_blank" href=${`/api/rigs/${encoded(rig.name)}/results/${encoded(each.result)}/${encoded(each.file)}`}>${texts.rigs.page}</a></td></tr>`)}</tbody></table>`
              : html`<p class="quiet">${texts.rigs.noResults}</p>`}</section>
          <section class="panel"><h2>${texts.rigs.live}</h2><p class="help">${texts.rigs.liveHelp}</p><pre>karyoscan rig look ${rig.name}</pre></section>
        </div>
      </div>`;
  }
}
customElements.define("rig-view", RigView);
