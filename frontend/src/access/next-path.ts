/** Where a reader is sent to log in, and from there back to where they wanted to go. */

export const LOGIN_PATH = "/login.html";
const HOME = "/";

/** Browsers read a backslash as a slash and drop control characters, which could hide a second slash. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be refused
const INSIDE = /^\/(?!\/)[^\\\u0000-\u001f\u007f]*$/;

export function loginAddress(next: string): string {
  return next === HOME ? LOGIN_PATH : `${LOGIN_PATH}?next=${encodeURIComponent(next)}`;
}

/** Only a path of this very site: anything else would send the reader who just logged in to a stranger. */
export function nextPath(loginQuery: string): string {
  const wanted = new URLSearchParams(loginQuery).get("next");
  return wanted !== null && INSIDE.test(wanted) && !isLogin(wanted) ? wanted : HOME;
}

function isLogin(path: string): boolean {
  return /^\/login(\.html)?(?![^?#])/.test(path);
}
