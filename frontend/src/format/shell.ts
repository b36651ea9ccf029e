/** Commands to paste into a shell: whatever a name contains stays one word of the command. */

/** Characters that no shell makes anything of. */
const PLAIN = /^[A-Za-z0-9:/._-]+$/;

export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** A POST of JSON with curl, one option a line; each header is a shell word already. */
export function curlCommand(url: string, body: unknown, headers: readonly string[] = []): string {
  return [
    `curl ${PLAIN.test(url) ? url : shellQuoted(url)}`,
    ...["'Content-Type: application/json'", ...headers].map((header) => `-H ${header}`),
    `-d ${shellQuoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}
