// What the pages use of Lit, for the type checker.
export class LitElement extends HTMLElement {
  static properties: Record<string, object>;
  readonly updateComplete: Promise<boolean>;
  requestUpdate(): void;
  connectedCallback(): void;
  disconnectedCallback(): void;
  createRenderRoot(): HTMLElement | ShadowRoot;
  render(): unknown;
  willUpdate(changed: Map<string, unknown>): void;
  firstUpdated(changed: Map<string, unknown>): void;
  updated(changed: Map<string, unknown>): void;
}
export function html(strings: TemplateStringsArray, ...values: unknown[]): unknown;
export function live(value: unknown): unknown;
export function repeat(items: any[], key: (item: any) => unknown, template: (item: any) => unknown): unknown;
export const nothing: symbol;
