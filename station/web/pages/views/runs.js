// All runs of the laboratory, and a form for one slide.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, complaint, go, moment, shown, statusTag } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get, may } from "../api.js";

const REFRESH_MS = 4000;

class RunsView extends StationElement {
  static properties = { runs: { state: true }, error: { state: true }, filter: { state: true }, choices: { state: true }, refused: { state: true } };

  constructor() {
    super();
    /** @type {any[] | null} */ this.runs = null;
    /** @type {any} */ this.error = null;
    /** @type {any} */ this.refused = null;
    this.filter = "";
    /** @type {{rigs: any[], protocols: any[]} | null} */ this.choices = null;
  }

  connectedCallback() {
    super.connectedCallback();
    this.#read();
    this.timer = setInterval(() => this.#read(), REFRESH_MS);
    if (may("control_runs")) {
      Promise.all([get("/rigs"), get("/protocols")]).then(([rigs, protocols]) => { this.choices = { rigs, protocols }; }).catch(() => {});
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  async #read() {
    try {
      this.runs = await get("/runs");
      this.error = null;
    } catch (error) {
      this.error = error;
    }
  }

  /** @param {Event} event */
  async #start(event) {
    event.preventDefault();
    const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const number = (/** @type {string} */ key) => (data.get(key) ? Number(data.get(key)) : null);
    const values = { name: data.get("name"), rig: data.get("rig"), protocol: data.get("protocol"), slide: data.get("slide"),
      accession: data.get("accession"), cells: number("cells"), seed: number("seed") };
    try {
      this.refused = null;
      await call("POST", "/runs", values);
      await this.#wait(String(values.name));
    } catch (error) {
      this.refused = error;
    }
  }

  /** @param {string} name the run's own process makes its folder within a few seconds */
  async #wait(name) {
    for (let tries = 0; tries < 40; tries++) {
      await this.#read();
      if (this.runs?.some((run) => run.name === name)) return go(`/runs/${encoded(name)}`);
      await new Promise((done) => setTimeout(done, 500));
    }
    return undefined;
  }

  render() {
    const wanted = this.filter.toLowerCase();
    const runs = (this.runs ?? []).filter((run) => [run.name, run.slide, run.accession, run.protocol].some((text) => text?.toLowerCase().includes(wanted)) || !wanted);
    return html`
      <div class="bar"><h1>${texts.runs.title}</h1>
        <span class="rest"><label><span class="label" hidden>${texts.runs.filter}</span>
          <input data-filter type="search" placeholder=${`${texts.runs.filter}  /`} aria-label=${texts.runs.filter}
            .value=${this.filter} @input=${(/** @type {any} */ e) => { this.filter = e.target.value; }}></label></span></div>
      ${complaint(this.error)}
      <div class="stack">
        <div class="panel"><table>
          <thead><tr>${texts.runs.columns.map((name, index) => html`<th class=${index > 4 && index < 9 ? "number" : ""}>${name}</th>`)}</tr></thead>
          <tbody>${runs.map((run) => html`<tr>
            <td><a href=${`/runs/${encoded(run.name)}`}>${run.name.replaceAll("~", " / ")}</a></td>
            <td>${shown(run.slide)}</td><td>${shown(run.accession)}</td><td>${shown(run.protocol)}</td><td>${statusTag(run)}</td>
            <td class="number">${shown(run.fields_done)}</td><td class="number">${shown(run.candidates)}</td>
            <td class="number">${shown(run.captured)}</td><td class="number">${shown(run.karyotyped)}</td><td>${moment(run.started_at)}</td>
          </tr>`)}</tbody></table>
          ${this.runs?.length === 0 ? html`<p class="quiet">${texts.nothing}</p>` : ""}
          ${this.runs === null && !this.error ? html`<p class="quiet">${texts.loading}</p>` : ""}
        </div>
        ${this.choices ? this.#form(this.choices) : ""}
      </div>`;
  }

  /** @param {{rigs: any[], protocols: any[]}} choices */
  #form(choices) {
    const label = texts.runs.form;
    return html`<form class="form panel" id="one-slide" @submit=${(/** @type {Event} */ e) => this.#start(e)}>
      <h2>${texts.runs.one}</h2>${complaint(this.refused)}
      <div class="grid-form">
        <label><span>${label.name}</span><input name="name" required pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]{0,79}"></label>
        <label><span>${label.rig}</span><select name="rig">${choices.rigs.filter((rig) => !rig.error).map((rig) => html`<option ?selected=${rig.name === "simulated"}>${rig.name}</option>`)}</select></label>
        <label><span>${label.protocol}</span><select name="protocol">${choices.protocols.filter((each) => !each.error).map((each) => html`<option ?selected=${each.name === "demo"}>${each.name}</option>`)}</select></label>
        <label><span>${label.slide}</span><input name="slide" required></label>
        <label><span>${label.accession}</span><input name="accession"></label>
        <label><span>${label.cells}</span><input name="cells" type="number" min="0" max="200"></label>
        <label><span>${label.seed}</span><input name="seed" type="number" min="0"></label>
      </div>
      <div><button class="main-action">${texts.runs.submit}</button></div>
    </form>`;
  }
}
customElements.define("runs-view", RunsView);
