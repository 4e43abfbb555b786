// The slide map of a run: its overview where there is one, and over it fields, finds and focus points.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement } from "../parts.js";
import { texts } from "../texts.js";

const TILE_PX = 512;
const MOST_PX_PER_UM = 1;

/** @typedef {{x_min_um: number, y_min_um: number, um_per_px: number, width_px: number, height_px: number}} Overview */

class SlideMap extends StationElement {
  static properties = { run: { attribute: false }, chosen: { attribute: false } };

  constructor() {
    super();
    /** @type {any} */ this.run = null;
    /** @type {string | null} */ this.chosen = null;
    /** @type {any} */ this.viewer = null;
    this.version = 0;
  }

  firstUpdated() {
    const OpenSeadragon = /** @type {any} */ (window).OpenSeadragon;
    this.viewer = OpenSeadragon({
      element: this.querySelector(".viewer"), drawer: "canvas", showNavigationControl: false, animationTime: 0.2,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, minZoomImageRatio: 0.5, maxZoomPixelRatio: 8,
      tileSources: this.#source(),
    });
    for (const event of ["update-viewport", "open", "resize", "animation"]) this.viewer.addHandler(event, () => this.#draw());
    this.viewer.addHandler("canvas-click", (/** @type {any} */ event) => event.quick && this.#choose(event.position));
    this.redraw = () => this.#draw();
    document.addEventListener("theme", this.redraw);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    if (this.redraw) document.removeEventListener("theme", this.redraw);
    this.viewer?.destroy();
  }

  updated() {
    this.#draw();
  }

  /** Ask for the tiles anew: the scan has filled them further. */
  refreshTiles() {
    if (!this.run?.overview || !this.viewer) return;
    this.version += 1;
    const before = this.viewer.world.getItemAt(0);
    this.viewer.addTiledImage({ tileSource: this.#source(), success: () => { if (before) this.viewer.world.removeItem(before); } });
  }

  /** Area of the map in slide um, from the overview, the protocol, or the fields. */
  #bounds() {
    const { overview, plan, fields } = this.run;
    if (overview) {
      return [overview.x_min_um, overview.y_min_um, overview.width_px * overview.um_per_px, overview.height_px * overview.um_per_px];
    }
    const [width, height] = plan.field_um ?? [900, 700];
    if (plan.area_um) {
      const [x0, y0, x1, y1] = plan.area_um;
      return [x0 - width / 2, y0 - height / 2, x1 - x0 + width, y1 - y0 + height];
    }
    const places = [...fields.values()];
    if (!places.length) return [0, 0, 76000, 26000];
    const xs = places.map((field) => field.x_um), ys = places.map((field) => field.y_um);
    const x = Math.min(...xs) - width, y = Math.min(...ys) - height;
    return [x, y, Math.max(...xs) + width - x, Math.max(...ys) + height - y];
  }

  #source() {
    const overview = /** @type {Overview | null} */ (this.run.overview);
    const [, , width_um, height_um] = this.#bounds();
    const width = overview?.width_px ?? Math.ceil(width_um * MOST_PX_PER_UM), height = overview?.height_px ?? Math.ceil(height_um * MOST_PX_PER_UM);
    const name = encodeURIComponent(this.run.name), version = this.version;
    return {
      width, height, tileSize: TILE_PX, tileOverlap: 0, minLevel: 0, maxLevel: Math.ceil(Math.log2(Math.max(width, height))),
      tileExists: () => overview !== null && overview !== undefined,
      getTileUrl: (/** @type {number} */ level, /** @type {number} */ x, /** @type {number} */ y) => `/api/runs/${name}/overview/${level}/${x}/${y}?v=${version}`,
    };
  }

  /** @returns {{x: (um: number) => number, y: (um: number) => number, scale: number} | null} from slide um to px of the canvas */
  #frame() {
    if (!this.viewer?.viewport || !this.viewer.world.getItemCount()) return null;
    const [x0, y0, width_um] = this.#bounds();
    const Point = /** @type {any} */ (window).OpenSeadragon.Point;
    const origin = this.viewer.viewport.pixelFromPoint(new Point(0, 0), true), right = this.viewer.viewport.pixelFromPoint(new Point(1, 0), true);
    const scale = (right.x - origin.x) / width_um;
    return { x: (um) => origin.x + (um - x0) * scale, y: (um) => origin.y + (um - y0) * scale, scale };
  }

  #draw() {
    const canvas = /** @type {HTMLCanvasElement | null} */ (this.querySelector("canvas.marks")), frame = this.#frame();
    if (!canvas || !frame) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    pen.scale(ratio, ratio);
    const colour = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    this.#drawFields(pen, frame, colour);
    this.#drawCells(pen, frame, colour);
  }

  /** @param {CanvasRenderingContext2D} pen @param {any} frame @param {(name: string) => string} colour */
  #drawFields(pen, frame, colour) {
    const { plan, fields, overview, surface } = this.run;
    const [width_um, height_um] = (plan.field_um ?? [900, 700]).map((/** @type {number} */ side) => side * (1 - (plan.overlap ?? 0)));
    const width = width_um * frame.scale, height = height_um * frame.scale;
    pen.lineWidth = 1;
    for (const field of fields.values()) {
      const x = frame.x(field.x_um) - width / 2, y = frame.y(field.y_um) - height / 2;
      pen.globalAlpha = overview ? 0.25 : 1;
      if (field.status === "searched" && !overview) { pen.fillStyle = colour("--field"); pen.fillRect(x, y, width, height); }
      pen.globalAlpha = overview && field.status !== "failed" ? 0.5 : 1;
      pen.strokeStyle = colour(field.status === "failed" ? "--bad" : "--field-edge");
      pen.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--quiet");
    for (const point of surface ?? []) {
      const x = frame.x(point.x_um), y = frame.y(point.y_um);
      pen.beginPath();
      pen.moveTo(x - 5, y); pen.lineTo(x + 5, y); pen.moveTo(x, y - 5); pen.lineTo(x, y + 5);
      pen.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {any} frame @param {(name: string) => string} colour */
  #drawCells(pen, frame, colour) {
    pen.font = "11px system-ui, sans-serif";
    for (const cell of this.run.cells()) {
      const x = frame.x(cell.x_um), y = frame.y(cell.y_um), radius = Math.max(cell.radius_um * frame.scale, 5);
      pen.lineWidth = cell.uid && cell.uid === this.chosen ? 4 : 2;
      pen.strokeStyle = cell.capture ? "#1d9a5b" : cell.failed ? colour("--bad") : "#c77700";
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.stroke();
      if (cell.rank) { pen.fillStyle = colour("--text"); pen.fillText(String(cell.rank), x + radius + 2, y - radius + 4); }
    }
  }

  /** @param {{x: number, y: number}} place */
  #choose(place) {
    const frame = this.#frame();
    if (!frame) return;
    const near = this.run.cells().find((/** @type {any} */ cell) => Math.hypot(frame.x(cell.x_um) - place.x, frame.y(cell.y_um) - place.y) <= Math.max(cell.radius_um * frame.scale, 8));
    if (near?.uid) this.dispatchEvent(new CustomEvent("choose", { detail: near.uid }));
  }

  render() {
    const legend = texts.run.legend;
    return html`<div class="map" role="img" aria-label=${texts.run.map}>
        <div class="viewer"></div><canvas class="marks"></canvas>
        <div class="map-tools">
          <button title=${texts.run.in} aria-label=${texts.run.in} @click=${() => this.viewer.viewport.zoomBy(1.5)}>+</button>
          <button title=${texts.run.out} aria-label=${texts.run.out} @click=${() => this.viewer.viewport.zoomBy(1 / 1.5)}>−</button>
          <button @click=${() => this.viewer.viewport.goHome()}>${texts.run.whole}</button>
        </div>
      </div>
      <div class="legend">
        <span><i class="photographed"></i>${legend.photographed}</span><span><i class="searched"></i>${legend.searched}</span>
        <span><i class="failed"></i>${legend.failed}</span><span><i class="round find"></i>${legend.find}</span>
        <span><i class="round captured"></i>${legend.captured}</span><span>+ ${texts.run.surface}</span>
      </div>`;
  }
}
customElements.define("slide-map", SlideMap);
