// A form made from a JSON Schema: a field a value, with unit, help and bounds.
// @ts-check
import { html, live } from "./vendor/lit.js";
import { StationElement } from "./parts.js";
import { texts } from "./texts.js";

/** Units as names of keys carry them. */
const UNITS = { um: "µm", ms: "ms", minutes: "min", s: "s", px: "px", percent: "%", bytes: "bytes" };

/** Parts that nearly everybody changes; the others open by a click. */
const OPEN = new Set(["scan", "stop", "capture"]);

/** @param {string} key */
function unitOf(key) {
  const last = key.split("_").pop() ?? "";
  return last in UNITS ? UNITS[/** @type {keyof typeof UNITS} */ (last)] : "";
}

/**
 * A schema with its references followed; of a value that may be null, the other one.
 * @param {any} schema @param {any} root
 * @returns {any}
 */
export function resolved(schema, root) {
  let one = schema;
  if (one.$ref) one = { ...root.$defs[one.$ref.split("/").pop()], ...one, $ref: undefined };
  const choices = (one.anyOf ?? []).filter((/** @type {any} */ each) => each.type !== "null");
  if (choices.length === 1) one = { ...resolved(choices[0], root), ...one, anyOf: undefined, optional: choices.length < one.anyOf.length };
  return one;
}

class SchemaForm extends StationElement {
  static properties = { schema: { attribute: false }, values: { attribute: false }, disabled: { type: Boolean } };

  constructor() {
    super();
    /** @type {any} */ this.schema = null;
    /** @type {any} */ this.values = null;
    this.disabled = false;
  }

  /** @param {(string | number)[]} key @param {any} value */
  #change(key, value) {
    this.dispatchEvent(new CustomEvent("value", { detail: { key, value } }));
  }

  render() {
    if (!this.schema || !this.values) return "";
    return html`<div class="stack">${this.#parts(this.schema, this.values, [])}</div>`;
  }

  /** @param {any} schema @param {any} values @param {string[]} path @returns {unknown} */
  #parts(schema, values, path) {
    const entries = Object.entries(schema.properties ?? {}).map(([key, each]) => /** @type {[string, any]} */ ([key, resolved(each, this.schema)]));
    const simple = entries.filter(([, each]) => !each.properties), groups = entries.filter(([, each]) => each.properties);
    return html`
      <div class="grid-form">${simple.map(([key, each]) => this.#field(key, each, values?.[key], [...path, key]))}</div>
      ${groups.map(([key, each]) => html`
        <details class="group" ?open=${path.length === 0 && OPEN.has(key)}><summary><b>${key}</b> <span class="help">${each.description ?? ""}</span></summary>
          ${this.#parts(each, values?.[key] ?? {}, [...path, key])}</details>`)}`;
  }

  /** @param {string} key @param {any} schema @param {any} value @param {string[]} path */
  #field(key, schema, value, path) {
    const id = `field-${path.join("-")}`, unit = unitOf(key);
    const bounds = [["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"]].filter(([name]) => schema[name] !== undefined).map(([name, sign]) => `${sign} ${schema[name]}`).join(", ");
    return html`<div><label for=${id}><span>${key}${unit ? html` <span class="quiet">(${unit})</span>` : ""}</span></label>
      ${this.#input(id, schema, value, path)}
      <p class="help" id=${`${id}-help`}>${schema.description ?? ""}${bounds ? ` [${bounds}]` : ""}</p></div>`;
  }

  /** @param {string} id @param {any} schema @param {any} value @param {string[]} path */
  #input(id, schema, value, path) {
    const help = `${id}-help`, options = schema.const !== undefined ? [schema.const] : schema.enum;
    if (options) {
      return html`<select id=${id} aria-describedby=${help} ?disabled=${this.disabled} @change=${(/** @type {any} */ e) => this.#change(path, e.target.value === "" ? null : options[e.target.selectedIndex - (schema.optional ? 1 : 0)])}>
        ${schema.optional ? html`<option value="">${texts.protocols.default}</option>` : ""}
        ${options.map((/** @type {any} */ option) => html`<option .selected=${option === value}>${option}</option>`)}</select>`;
    }
    if (schema.type === "boolean") {
      return html`<input id=${id} aria-describedby=${help} type="checkbox" ?disabled=${this.disabled} .checked=${live(Boolean(value))} @change=${(/** @type {any} */ e) => this.#change(path, e.target.checked)}>`;
    }
    if (schema.type === "integer" || schema.type === "number") {
      return html`<input id=${id} aria-describedby=${help} type="number" step=${schema.type === "integer" ? "1" : "any"} min=${schema.minimum ?? ""} max=${schema.maximum ?? ""} ?disabled=${this.disabled}
        placeholder=${schema.optional ? texts.protocols.default : ""} .value=${live(value ?? "")} @change=${(/** @type {any} */ e) => this.#change(path, e.target.value === "" ? null : Number(e.target.value))}>`;
    }
    if (schema.type === "string") {
      return html`<input id=${id} aria-describedby=${help} ?disabled=${this.disabled} .value=${live(value ?? "")} @change=${(/** @type {any} */ e) => this.#change(path, e.target.value)}>`;
    }
    // Areas, lists and the like: shown here, written in the YAML beside it; plain numbers of an area are fields, too.
    if (value && typeof value === "object" && !Array.isArray(value) && Object.values(value).some((each) => typeof each === "number")) {
      return html`<div class="grid-form">${Object.entries(value).filter(([, each]) => typeof each === "number").map(([key, each]) => html`
        <label><span class="quiet">${key}</span><input type="number" step="any" ?disabled=${this.disabled} .value=${live(String(each))} @change=${(/** @type {any} */ e) => this.#change([...path, key], Number(e.target.value))}></label>`)}</div>`;
    }
    return html`<pre id=${id}>${JSON.stringify(value ?? null)}</pre>`;
  }
}
customElements.define("schema-form", SchemaForm);
