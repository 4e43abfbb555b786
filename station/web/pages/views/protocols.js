// All protocols, with who changed each last.
// @ts-check
import { html } from "../vendor/lit.js";
import { StationElement, complaint, moment, shown } from "../parts.js";
import { texts } from "../texts.js";
import { encoded, get } from "../api.js";

class ProtocolsView extends StationElement {
  static properties = { protocols: { state: true }, error: { state: true } };

  constructor() {
    super();
    /** @type {any[]} */ this.protocols = [];
    /** @type {any} */ this.error = null;
  }

  connectedCallback() {
    super.connectedCallback();
    get("/protocols").then((protocols) => { this.protocols = protocols; }).catch((error) => { this.error = error; });
  }

  render() {
    return html`<div class="bar"><h1>${texts.protocols.title}</h1></div>${complaint(this.error)}
      <div class="panel"><table><thead><tr>${texts.protocols.columns.map((name) => html`<th>${name}</th>`)}</tr></thead>
        <tbody>${this.protocols.map((each) => html`<tr><td><a href=${`/protocols/${encoded(each.name)}`}>${each.name}</a></td>
          <td>${each.error ? html`<span class="bad">${each.error}</span>` : each.description}</td><td>${shown(each.banding)}</td><td>${shown(each.tissue)}</td>
          <td>${each.packaged ? texts.protocols.packaged : each.version}</td><td>${shown(each.author)}</td><td>${moment(each.at)}</td></tr>`)}</tbody></table></div>`;
  }
}
customElements.define("protocols-view", ProtocolsView);
