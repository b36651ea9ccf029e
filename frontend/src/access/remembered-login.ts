/** Whether this browser's reader was logged in last: no secret, only what to ask the server first. */

const STORAGE_KEY = "iaq-logged-in";

export function remembersLogin(): boolean {
  try {
    return localStorage.getItem(STORAGE_KEY) !== null;
  } catch {
    return false;
  }
}

export function rememberLogin(isLoggedIn: boolean): void {
  try {
    if (isLoggedIn) localStorage.setItem(STORAGE_KEY, "yes");
    else localStorage.removeItem(STORAGE_KEY);
  } catch {
    // Storage may be forbidden; the server is then asked once more at each start.
  }
}
