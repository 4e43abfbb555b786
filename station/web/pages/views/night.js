// The page of a night: its tray slot by slot, and why slides were parked.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, clock, complaint, shown, words } from "../parts.js";
import { texts } from "../texts.js";
import { call, encoded, get, may } from "../api.js";

const REFRESH_MS = 2000;

class NightView extends StationElement {
  static properties = { name: { attribute: false }, night: { state: true }, error: { state: true }, said: { state: true } };

  constructor() {
    super();
    this.name = "";
    /** @type {any} */ this.night = null;
    /** @type {any} */ this.error = null;
    this.said = "";
    this.tries = 0;
  }

  connectedCallback() {
    super.connectedCallback();
    this.timer = setInterval(() => this.#read(), REFRESH_MS);
    this.keys = (/** @type {KeyboardEvent} */ event) => {
      if (/** @type {Element} */ (event.target).closest?.("input, textarea, select") || event.key !== "p" || !this.night?.running || !may("control_runs")) return;
      this.#command(this.isPaused ? "resume" : "pause");
    };
    document.addEventListener("keydown", this.keys);
    this.updateComplete.then(() => this.#read());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.timer);
    if (this.keys) document.removeEventListener("keydown", this.keys);
  }

  async #read() {
    try {
      this.night = await get(`/nights/${encoded(this.name)}`);
      this.error = null;
    } catch (error) {
      // Its process makes the folder within a few seconds.
      this.tries += 1;
      if (this.night || this.tries > 10) this.error = error;
    }
  }

  get isPaused() {
    return String(this.night?.current?.state ?? "").endsWith("_paused");
  }

  /** @param {string} command @param {string} [question] */
  async #command(command, question) {
    if (question && !confirm(question)) return;
    try {
      this.error = null;
      const path = `/nights/${encoded(this.name)}/${command === "go-on" ? "resume" : "command"}`;
      this.said = (await call("POST", path, command === "go-on" ? undefined : { command })).message;
    } catch (error) {
      this.error = error;
    }
    this.#read();
  }

  render() {
    const { night } = this;
    if (!night) return html`${complaint(this.error)}${this.error ? "" : html`<p class="quiet">${texts.night.starting}</p>`}`;
    return html`
      <div class="bar"><h1>${night.name}</h1>
        <span class="tag ${night.running ? "" : night.ended ? "warn" : "good"}">${night.running ? "running" : night.starting ? "starting" : night.ended ? "ended early" : night.finished_at ? "finished" : "cut off"}</span>
        <span class="quiet">${shown(night.rig)}${night.slides_left !== null ? `, ${night.slides_left} to come` : ""}${night.remaining_s ? `, at most ${clock(night.remaining_s)} to go` : ""}</span>
        <span class="rest">${this.#commands(night)}</span></div>
      ${complaint(this.error)}
      ${this.said ? html`<p class="notice good" role="status">${this.said}</p>` : ""}
      ${night.ended ? html`<p class="notice warn">${night.ended}</p>` : ""}
      ${night.current ? html`<p class="notice" role="status">${texts.night.current}: <a href=${`/runs/${encoded(night.current_run)}`}>${night.current.slide}</a>, ${words(night.current.state)},
        ${night.current.fields_done} fields, ${night.current.captured} cells photographed</p>` : ""}
      <div class="stack">
        ${night.slots ? html`<section class="panel"><h2>${texts.night.tray}</h2>${this.#tray(night)}</section>` : ""}
        <section class="panel"><h2>${texts.night.slides}</h2>${this.#slides(night)}</section>
        ${night.printed ? html`<details class="panel"><summary>${texts.night.printed}</summary><pre>${night.printed}</pre></details>` : ""}
      </div>`;
  }

  /** @param {any} night */
  #commands(night) {
    if (!may("control_runs")) return "";
    const label = texts.run.commands, asks = texts.night.confirm;
    if (!night.running) {
      return night.starting || (night.finished_at && !night.ended) ? "" : html`<button class="main-action" @click=${() => this.#command("go-on")}>${texts.night.goOn}</button>`;
    }
    return html`
      ${this.isPaused ? html`<button class="main-action" @click=${() => this.#command("resume")}>${label.resume} <kbd>p</kbd></button>`
        : html`<button @click=${() => this.#command("pause")}>${label.pause} <kbd>p</kbd></button>`}
      <button @click=${() => this.#command("stop", asks.stop)}>${label.stop}</button>
      <button class="danger" @click=${() => this.#command("abort", asks.abort)}>${label.abort}</button>`;
  }

  /** @param {any} night */
  #tray(night) {
    const slides = new Map(night.slides.filter((/** @type {any} */ slide) => slide.slot).map((/** @type {any} */ slide) => [slide.slot, slide]));
    return html`<div class="tray">${Array.from({ length: night.slots }, (_, index) => String(index + 1)).map((slot) => {
      const slide = slides.get(slot), label = slide?.barcode ?? night.labels[slot];
      const isCurrent = night.current && label && night.current.slide === label;
      const state = isCurrent ? "running" : slide ? slide.status : label ? "waiting" : "empty";
      const text = isCurrent ? words(night.current.state) : slide ? words(slide.status) : label ? "" : texts.night.empty;
      return html`<div class="slot ${state}" title=${slide?.reason ?? ""}><span class="number">${slot}</span>
        ${label ? html`<b>${slide?.run || isCurrent ? html`<a href=${`/runs/${encoded(isCurrent ? night.current_run : slide.run)}`}>${label}</a>` : label}</b>` : ""}${text}</div>`;
    })}</div>`;
  }

  /** @param {any} night */
  #slides(night) {
    const known = new Set(night.slides.map((/** @type {any} */ slide) => slide.barcode));
    const waiting = night.wanted.filter((/** @type {any} */ row) => !known.has(row.barcode)).map((/** @type {any} */ row) => ({ ...row, status: night.running ? "to come" : "not decided" }));
    const rows = [...night.slides, ...waiting];
    return html`<table><thead><tr>${texts.night.columns.map((name) => html`<th>${name}</th>`)}</tr></thead>
      <tbody>${rows.map((slide) => html`<tr>
        <td>${shown(slide.slot)}</td><td>${shown(slide.barcode)}</td><td>${shown(slide.accession)}</td>
        <td class=${["parked", "missing"].includes(slide.status) ? "bad" : slide.status === "finished" ? "good" : ""}>${words(slide.status)}</td>
        <td class="number">${shown(slide.cells)}${slide.poor ? " (few)" : ""}</td><td>${slide.reason ?? ""}</td>
        <td>${slide.run ? html`<a href=${`/runs/${encoded(slide.run)}`}>${texts.night.toRun}</a>` : ""}</td></tr>`)}</tbody></table>`;
  }
}
customElements.define("night-view", NightView);
