/** The page's one session, shared by everything on it. */

import { Session } from "./session";

export const session = new Session({
  goTo: (address) => location.assign(address),
  reload: () => location.reload(),
  here: () => location.pathname + location.search + location.hash,
});

// Going back from the login page, a browser may show this page as it was left.
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted && session.hasEnded) location.reload();
});
