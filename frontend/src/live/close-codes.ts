/** WebSocket close codes that change what the client does next (RFC 6455 §7.4 and the IANA registry). */

export const CLOSE_NORMAL = 1000;
/** The server is shutting down. */
export const CLOSE_GOING_AWAY = 1001;
/** Never sent: stands for a connection that broke without a goodbye. */
export const CLOSE_ABNORMAL = 1006;
/** Credentials or policy: trying again would meet the same answer, unless with another token. */
export const CLOSE_POLICY = 1008;
/** The server is full or this client too slow. */
export const CLOSE_OVERLOADED = 1013;
/** Never sent: the encryption could not be agreed on. */
const CLOSE_NO_ENCRYPTION = 1015;

/** A goodbye proves that the peer speaks WebSocket, whatever it says. */
export function isGoodbye(code: number): boolean {
  return code !== CLOSE_ABNORMAL && code !== CLOSE_NO_ENCRYPTION;
}
