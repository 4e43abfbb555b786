// All nights, and a new one: worklist, what would happen, start.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, clock, complaint, go, moment, shown, size } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get, may } from "../api.js";

const EXAMPLE = "barcode,accession,protocol,priority\n";

class NightsView extends StationElement {
  static properties = { nights: { state: true }, error: { state: true }, rigs: { state: true }, check: { state: true }, refused: { state: true }, busy: { state: true } };

  constructor() {
    super();
    /** @type {any[] | null} */ this.nights = null;
    /** @type {any[]} */ this.rigs = [];
    /** @type {any} */ this.error = null;
    /** @type {any} */ this.check = null;
    /** @type {any} */ this.refused = null;
    this.busy = false;
  }

  connectedCallback() {
    super.connectedCallback();
    get("/nights").then((nights) => { this.nights = nights; }).catch((error) => { this.error = error; });
    get("/rigs").then((rigs) => { this.rigs = rigs.filter((/** @type {any} */ rig) => rig.reads_labels); }).catch(() => {});
  }

  #values() {
    const data = new FormData(/** @type {HTMLFormElement} */ (this.querySelector("form")));
    return { name: data.get("name"), rig: data.get("rig"), worklist: data.get("worklist"), tray: data.get("tray") };
  }

  /** @param {boolean} start */
  async #send(start) {
    this.refused = null;
    this.busy = true;
    const { name, ...texts_of_night } = this.#values();
    try {
      if (start) {
        await call("POST", "/nights", { name, ...texts_of_night });
        go(`/nights/${encoded(String(name))}`);
      } else {
        this.check = await call("POST", "/nights/check", texts_of_night);
      }
    } catch (error) {
      this.refused = error;
      this.check = null;
    }
    this.busy = false;
  }

  /** @param {any} event @param {string} name */
  async #file(event, name) {
    const file = event.target.files[0];
    const area = /** @type {HTMLTextAreaElement} */ (this.querySelector(`textarea[name=${name}]`));
    if (file) area.value = await file.text();
  }

  render() {
    return html`
      <div class="bar"><h1>${texts.nights.title}</h1></div>${complaint(this.error)}
      <div class="stack">
        <div class="panel"><table>
          <thead><tr>${texts.nights.columns.map((name) => html`<th>${name}</th>`)}</tr></thead>
          <tbody>${(this.nights ?? []).map((night) => html`<tr>
            <td><a href=${`/nights/${encoded(night.name)}`}>${night.name}</a></td>
            <td>${night.running ? html`<span class="tag">running</span>` : night.error ? html`<span class="bad">${night.error}</span>` : night.ended ? html`<span class="warn">${night.ended}</span>` : night.finished_at ? "finished" : "cut off"}</td>
            ${["finished", "parked", "missing", "not_needed"].map((key) => html`<td class="number">${shown(night.counts[key])}</td>`)}
            <td>${moment(night.started_at)}</td></tr>`)}</tbody></table>
          ${this.nights?.length === 0 ? html`<p class="quiet">${texts.nothing}</p>` : ""}</div>
        ${may("control_runs") ? this.#form() : ""}
      </div>`;
  }

  #form() {
    const label = texts.nights;
    return html`<div class="halves">
      <form class="form panel" @submit=${(/** @type {Event} */ e) => { e.preventDefault(); this.#send(true); }}>
        <h2>${label.begin}</h2>
        <div class="grid-form">
          <label><span>${label.name}</span><input name="name" required pattern="[A-Za-z0-9][A-Za-z0-9_.\\-]{0,79}" value=${`night-${new Date().toISOString().slice(0, 10)}`}></label>
          <label><span>${texts.runs.form.rig}</span><select name="rig">${this.rigs.map((rig) => html`<option ?selected=${rig.name === "simulated-feeder"}>${rig.name}</option>`)}</select></label>
        </div>
        <label><span>${label.worklist}</span><textarea name="worklist" rows="9" spellcheck="false">${EXAMPLE}</textarea></label>
        <p class="help">${label.worklistHelp}</p>
        <label><span class="help">${label.file}</span><input type="file" accept=".csv,text/csv" @change=${(/** @type {any} */ e) => this.#file(e, "worklist")}></label>
        <details><summary>${label.tray}</summary><textarea name="tray" rows="5" spellcheck="false" aria-label=${label.tray}></textarea><p class="help">${label.trayHelp}</p></details>
        <div><button type="button" ?disabled=${this.busy || !this.rigs.length} @click=${() => this.#send(false)}>${label.check}</button>
          <button class="main-action" ?disabled=${this.busy || !this.rigs.length}>${label.start}</button></div>
        ${complaint(this.refused)}
      </form>
      <section class="panel" aria-live="polite"><h2>${label.check}</h2>${this.check ? this.#outcome(this.check) : html`<p class="quiet">${texts.nothing}</p>`}</section>
    </div>`;
  }

  /** @param {any} check */
  #outcome(check) {
    const outcomes = /** @type {Record<string, string>} */ (texts.nights.outcomes);
    return html`
      <p class="notice ${check.refused ? "bad" : "good"}">${check.refused ? texts.nights.refused : texts.nights.fits} ${clock(check.seconds)}; ${size(check.needed_bytes)} of ${size(check.free_bytes)} free.</p>
      ${check.refusals.map((/** @type {string} */ text) => html`<p class="notice bad">${text}</p>`)}
      ${check.findings.map((/** @type {any} */ finding) => html`<p class="notice ${finding.level === "refused" ? "bad" : "warn"}">${finding.where}: ${finding.text}</p>`)}
      ${check.warnings.map((/** @type {string} */ text) => html`<p class="notice warn">${text}</p>`)}
      ${Object.entries(check.strangers).map(([slot, label]) => html`<p class="notice warn">slot ${slot}: ${label} isn't on the worklist, or there twice: it would be parked</p>`)}
      <table><thead><tr>${texts.nights.rows.map((name) => html`<th>${name}</th>`)}</tr></thead>
        <tbody>${check.rows.map((/** @type {any} */ row) => html`<tr><td>${row.line}</td><td>${row.barcode}</td><td>${row.accession}</td><td>${row.protocol}</td><td>${row.priority}</td>
          <td class=${row.outcome === "refused" || row.outcome === "not_in_tray" ? "bad" : ""}>${outcomes[row.outcome] ?? row.outcome}</td><td>${clock(row.seconds)}</td></tr>`)}</tbody></table>`;
  }
}
customElements.define("nights-view", NightsView);
