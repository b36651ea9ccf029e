/** What the tabs of one browser share: they take turns to renew, and they log out together. */

const NAME = "iaqverse-session";
const LOGOUT = "logout";

/** Only secure pages have locks; without them the server forgives two renewals at the same moment. */
export function oneTabAtATime<Outcome>(task: () => Promise<Outcome>): Promise<Outcome> {
  const locks: LockManager | null | undefined = navigator.locks;
  return locks == null ? task() : locks.request(NAME, task);
}

export function announceLogout(): void {
  if (typeof BroadcastChannel === "undefined") return;
  const channel = new BroadcastChannel(NAME);
  channel.postMessage(LOGOUT);
  channel.close();
}

/** Returns what ends the watch. */
export function onLogoutElsewhere(leave: () => void): () => void {
  if (typeof BroadcastChannel === "undefined") return () => {};
  const channel = new BroadcastChannel(NAME);
  channel.onmessage = ({ data }) => {
    if (data === LOGOUT) leave();
  };
  return () => channel.close();
}
