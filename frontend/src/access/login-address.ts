/** The way to the login page and back. */

export const LOGIN_PATH = "/login.html";

/** Where to log in, and what to come back to. */
export function loginAddress(from: { pathname: string; search: string; hash: string }): string {
  const next = from.pathname + from.search + from.hash;
  return `${LOGIN_PATH}?${new URLSearchParams({ next })}`;
}

/** What to go on to after the login: a page of this server, whatever the address says. */
export function nextPage(query: string): string {
  const next = new URLSearchParams(query).get("next") ?? "/";
  // Two slashes, or a backslash that browsers read as one, would lead to another server.
  const isHere = /^\/(?![/\\])[^\\]*$/.test(next) && !hasControlCharacter(next);
  return isHere && !next.startsWith(LOGIN_PATH) ? next : "/";
}

function hasControlCharacter(text: string): boolean {
  return [...text].some((character) => character.charCodeAt(0) < 0x20);
}
