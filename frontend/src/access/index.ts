/** The session of this page, and what happens to the page when it ends. */

import { onPageReturn } from "../live/page-return";
import { wsManager } from "../live/websocket-manager";
import { LOGIN_PATH, loginAddress } from "./login-address";
import { Session } from "./session";

/** A server that refuses a token it has just given is asked again after this, not at once. */
const REFUSED_WAIT_MS = 2_000;
const CHANNEL = "iaqverse-session";

const otherTabs = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(CHANNEL);

function toLogin(): void {
  wsManager.disconnect();
  if (location.pathname !== LOGIN_PATH) location.replace(loginAddress(location));
}

export const session = new Session({
  fetch: (input, init) => fetch(input, init),
  ended: toLogin,
});

otherTabs?.addEventListener("message", () => {
  if (session.isLoggedIn) session.end();
});

/** Also in the other tabs. */
export async function logOut(): Promise<void> {
  otherTabs?.postMessage("logged out");
  await session.logOut();
}

/** Starts the session, and then what may need one. */
export async function withSession(go: () => void): Promise<void> {
  wsManager.credentials = session;
  onPageReturn(() => void session.wake());
  wsManager.on("error", (event) => {
    if (event.failure === "refused") setTimeout(() => void comeBack(), REFUSED_WAIT_MS);
  });
  await session.start();
  go();
}

/** The token has ended, or nobody knew yet that one is needed because the server was away. */
async function comeBack(): Promise<void> {
  if (session.person?.kind === "anyone") return;
  const isIn = session.isLoggedIn ? await session.renew() : await session.start();
  if (isIn !== undefined) wsManager.connect();
}
