/** What a request or a live connection proves the reader's identity with. */

export interface Credentials {
  /** Undefined where nobody has to log in, or before somebody has. */
  readonly token: string | undefined;
  /** False where nobody has to log in: a refusal is then final. */
  readonly renewable: boolean;
  /** A token other than the one that was refused, or undefined when there is none to be had now. */
  tokenAfter(refused: string | undefined): Promise<string | undefined>;
}
