// The page of a run, which follows it while it goes on.
// @ts-check
import { html, repeat } from "../vendor/lit.js";
import { StationElement, clock, complaint, moment, shown, statusTag, words } from "../parts.js";
import { texts } from "../texts.js";
import { RunState } from "../run_state.js";
import { call, encoded, get, may, refreshSession } from "../api.js";
import "./slide_map.js";

const TILES_MS = 10000;
const OVERVIEW_MS = 5000;

class RunView extends StationElement {
  static properties = { name: { attribute: false }, run: { state: true }, error: { state: true }, said: { state: true }, lost: { state: true }, chosen: { state: true } };

  constructor() {
    super();
    this.name = "";
    /** @type {RunState | null} */ this.run = null;
    /** @type {any} */ this.error = null;
    this.said = "";
    this.lost = false;
    /** @type {string | null} */ this.chosen = null;
    /** @type {EventSource | null} */ this.source = null;
    this.tilesAt = 0;
    this.overviewAt = 0;
  }

  connectedCallback() {
    super.connectedCallback();
    this.keys = (/** @type {KeyboardEvent} */ event) => this.#onKey(event);
    document.addEventListener("keydown", this.keys);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.source?.close();
    if (this.keys) document.removeEventListener("keydown", this.keys);
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (changed.has("name")) this.#begin();
  }

  async #begin() {
    this.source?.close();
    try {
      this.run = new RunState(await get(`/runs/${encoded(this.name)}`));
      this.error = null;
    } catch (error) {
      this.run = null;
      this.error = error;
      return;
    }
    if (!this.isConnected) return;
    const source = new EventSource(`/api/runs/${encoded(this.name)}/events?after=${this.run.position}`);
    source.addEventListener("changes", (event) => this.#take(JSON.parse(event.data)));
    source.addEventListener("status", (event) => { if (this.run) this.run.status = JSON.parse(event.data); this.requestUpdate(); });
    source.addEventListener("reload", () => this.#begin());
    // The browser asks again by itself, with the position of the last event.
    source.onopen = () => { this.lost = false; };
    source.onerror = () => {
      this.lost = true;
      if (source.readyState === EventSource.CLOSED) refreshSession().catch(() => {});
    };
    this.source = source;
  }

  /** @param {any} changes */
  #take(changes) {
    this.run?.merge(changes);
    this.requestUpdate();
    const map = /** @type {any} */ (this.querySelector("slide-map"));
    map?.requestUpdate();
    const now = Date.now();
    if (changes.fields && this.run?.overview && (now - this.tilesAt > TILES_MS || changes.scanned)) {
      this.tilesAt = now;
      map?.refreshTiles();
    }
    // The overview is begun after the plan: a page that was there before asks once more.
    if (changes.fields && this.run?.plan.keeps_overview && !this.run.overview && now - this.overviewAt > OVERVIEW_MS) {
      this.overviewAt = now;
      get(`/runs/${encoded(this.name)}`).then((snapshot) => { if (this.run && snapshot.overview) this.#begin(); }).catch(() => {});
    }
  }

  /** @param {string} command @param {string} [question] */
  async #command(command, question) {
    if (question && !confirm(question)) return;
    try {
      this.error = null;
      const path = `/runs/${encoded(this.name)}/${command === "go-on" ? "resume" : "command"}`;
      this.said = (await call("POST", path, command === "go-on" ? undefined : { command })).message;
    } catch (error) {
      this.error = error;
    }
  }

  get isPaused() {
    return String(this.run?.plain.state ?? this.run?.status.state).endsWith("_paused");
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (/** @type {Element} */ (event.target).closest?.("input, textarea, select") || event.ctrlKey || event.metaKey || !this.run) return;
    if (event.key === "p" && this.run.status.running && may("control_runs")) this.#command(this.isPaused ? "resume" : "pause");
    if (event.key === "j" || event.key === "k") {
      const cells = this.run.cells().filter((cell) => cell.uid), at = cells.findIndex((cell) => cell.uid === this.chosen);
      const next = cells[Math.min(Math.max(at + (event.key === "j" ? 1 : -1), 0), cells.length - 1)];
      if (next) this.#choose(next.uid);
    }
  }

  /** @param {string} uid */
  #choose(uid) {
    this.chosen = uid;
    this.updateComplete.then(() => document.getElementById(`cell-${uid}`)?.scrollIntoView({ block: "nearest" }));
  }

  render() {
    if (!this.run) return html`${complaint(this.error)}${this.error ? "" : html`<p class="quiet">${texts.loading}</p>`}`;
    const { run } = this, status = run.status;
    return html`
      <div class="bar"><h1>${run.name.replaceAll("~", " / ")}</h1>${statusTag(status)}
        <span class="quiet">${status.running ? words(run.plain.state ?? status.state) : ""}</span>
        <span class="rest">${this.#commands(status)}</span></div>
      ${complaint(this.error)}
      ${this.said ? html`<p class="notice good" role="status">${this.said}</p>` : ""}
      ${this.lost ? html`<p class="notice warn" role="status">${texts.run.lost}</p>` : ""}
      ${status.waits_for ? html`<p class="notice warn" role="status">${texts.run.waits} ${status.waits_for}</p>` : ""}
      ${status.error ? html`<p class="notice bad">${texts.run.error}: ${status.error}</p>` : ""}
      <div class="stack">
        <div class="columns">
          <section class="panel" aria-label=${texts.run.map}>
            <slide-map .run=${run} .chosen=${this.chosen} @choose=${(/** @type {CustomEvent} */ e) => this.#choose(e.detail)}></slide-map>
          </section>
          <div class="stack">
            <section class="panel"><h2>${texts.run.progress}</h2>${this.#facts(status)}</section>
            <section class="panel"><h2>${texts.run.last}</h2>${this.#last()}</section>
            <section class="panel"><h2>${texts.run.events}</h2>${this.#events(status.events ?? [])}</section>
          </div>
        </div>
        <section><h2>${texts.run.cells}</h2>${this.#cells()}</section>
      </div>`;
  }

  /** @param {any} status */
  #commands(status) {
    const label = texts.run.commands, asks = texts.run.confirm;
    const report = status.running ? "" : html`<a class="button" target="_blank" href=${`/api/runs/${encoded(this.name)}/report`}>${texts.run.report}</a>`;
    if (!may("control_runs")) return report;
    if (!status.running) {
      const canGoOn = status.cut_off || ["stopped", "failed", "aborted", "completed_with_errors"].includes(status.status);
      return html`${report}${canGoOn ? html`<button class="main-action" @click=${() => this.#command("go-on")}>${label.goOn}</button>` : ""}`;
    }
    return html`
      ${this.isPaused
        ? html`<button class="main-action" @click=${() => this.#command("resume")}>${label.resume} <kbd>p</kbd></button>`
        : html`<button @click=${() => this.#command("pause")}>${label.pause} <kbd>p</kbd></button>`}
      <button @click=${() => this.#command("stop", asks.stop)}>${label.stop}</button>
      <button class="danger" @click=${() => this.#command("abort", asks.abort)}>${label.abort}</button>`;
  }

  /** @param {any} status */
  #facts(status) {
    const { run } = this, label = texts.run.facts;
    if (!run) return "";
    const of = (/** @type {any} */ count, /** @type {any} */ most) => (most ? `${shown(count)} of at most ${most}` : shown(count));
    const rows = [
      [label.slide, shown(run.plan.slide ?? status.slide)], [label.accession, shown(run.accession)], [label.protocol, shown(run.plan.protocol)], [label.rig, shown(run.plan.rig)],
      [label.fields, of(status.fields_done, status.fields_planned)], [label.candidates, shown(status.candidates)],
      [label.captured, of(status.captured, status.captures_wanted)], [label.karyotyped, shown(status.karyotyped)],
      [label.elapsed, clock(status.elapsed_s)], [label.remaining, clock(status.remaining_s)],
    ];
    return html`${status.fields_planned && status.running ? html`<progress aria-label=${label.fields} max=${status.fields_planned} value=${status.fields_done}></progress>` : ""}
      <dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
  }

  #last() {
    const { run } = this, name = encoded(this.name);
    if (!run) return "";
    const { capture, field } = run.last();
    if (capture) {
      return html`<img class="picture" alt=${`${texts.run.last}: ${capture.candidate}`} src=${`/api/runs/${name}/captures/${encoded(capture.file)}?width_px=700`}>
        <p class="help">${capture.candidate}, ${capture.objective}, ${capture.exposure_ms} ms, ${moment(capture.taken_at)}</p>`;
    }
    if (!field) return html`<p class="quiet">${texts.nothing}</p>`;
    const place = run.overview ? html`<img class="picture" alt=${texts.run.last} src=${`/api/runs/${name}/overview/place?x_um=${field.x_um}&y_um=${field.y_um}&v=${field.index}`}>` : "";
    return html`${place}<p class="help">field ${field.index}: ${words(field.status)}, ${field.candidates} finds, focus ${field.z_um?.toFixed(1)} um</p>`;
  }

  /** @param {any[]} events */
  #events(events) {
    if (!events.length) return html`<p class="quiet">${texts.nothing}</p>`;
    return html`<ul class="events">${[...events].reverse().map((event) => html`
      <li><span class="quiet">${moment(event.at).slice(11)}</span> <span class=${event.level === "error" ? "bad" : event.level === "warning" ? "warn" : ""}>${event.message}</span></li>`)}</ul>`;
  }

  #cells() {
    const { run } = this, name = encoded(this.name);
    const cells = run?.cells() ?? [];
    if (!cells.length) return html`<p class="quiet">${texts.run.none}</p>`;
    return html`<div class="cells">${repeat(cells, (cell) => cell.uid ?? cell.key, (cell) => html`
      <article class="cell" id=${`cell-${cell.uid ?? cell.key}`} aria-current=${cell.uid && cell.uid === this.chosen ? "true" : "false"}>
        <div class="pair">
          ${cell.thumbnail && !cell.capture ? html`<img loading="lazy" alt="10x" src=${`/api/runs/${name}/finds/${encoded(cell.thumbnail)}`}>` : ""}
          ${cell.capture ? html`<img loading="lazy" alt="63x" src=${`/api/runs/${name}/captures/${encoded(cell.capture.file)}?width_px=500`}>` : ""}
          ${cell.karyotype?.picture ? html`<img loading="lazy" alt="karyogram" src=${`/api/runs/${name}/karyograms/${encoded(cell.karyotype.picture)}?width_px=700`}>` : ""}
        </div>
        <div class="about"><b>${cell.rank ? `${cell.rank}. ` : ""}${cell.uid ?? `field ${cell.field}`}</b>
          <span class="quiet">score ${shown(cell.score)}${cell.analysable === null || cell.analysable === undefined ? "" : `, analysable ${cell.analysable.toFixed(2)}`}</span>
          <div>${this.#karyotype(cell)}</div></div>
      </article>`)}</div>`;
  }

  /** @param {any} cell */
  #karyotype(cell) {
    if (cell.failed) return html`<span class="bad">${cell.failed}</span>`;
    if (!cell.capture) return "";
    if (!cell.karyotype) return html`<span class="quiet">${texts.run.noKaryotype}</span>`;
    const kind = cell.karyotype.level === "auto" ? "good" : "warn";
    return html`<b>${shown(cell.karyotype.iscn)}</b> ${cell.karyotype.level ? html`<span class="tag ${kind}">${words(cell.karyotype.level)}</span>` : words(cell.karyotype.status)}
      <div class="help">${(cell.karyotype.reasons ?? []).join("; ")}</div>`;
  }
}
customElements.define("run-view", RunView);
