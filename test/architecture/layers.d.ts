/** Types of layers.js, which eslint's configuration reads as plain JavaScript. */
export interface Layer {
  readonly folder: string;
  readonly mayImport: readonly string[];
  readonly packages: readonly string[] | 'any';
  readonly builtins: boolean;
  readonly why: string;
}
export declare const layers: readonly Layer[];
export declare const ambientSourcesForbiddenIn: readonly string[];
