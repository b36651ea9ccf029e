/** The moments a sleeping page comes back: the network returns, or the tab is looked at again. */

/** Returns what ends the watch. */
export function onPageReturn(comeBack: () => void): () => void {
  const handleVisibility = (): void => {
    if (document.visibilityState === "visible") comeBack();
  };
  window.addEventListener("online", comeBack);
  document.addEventListener("visibilitychange", handleVisibility);
  return () => {
    window.removeEventListener("online", comeBack);
    document.removeEventListener("visibilitychange", handleVisibility);
  };
}
