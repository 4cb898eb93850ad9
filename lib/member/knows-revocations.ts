import type { Member, Transport } from '../farm/transport.ts'

/**
 * Whether all that was revoked is known here, as far as anybody can know. A member that has met
 * nobody has no ticket keys but its own, younger than itself: there is nothing to lack. From
 * then on it must have been up to date once, be it when this is called; a process of a host with
 * that host's hub, too.
 */
export function knowsRevocations(
  transport: Pick<Transport, 'members' | 'isCurrent'>,
  hasHub: boolean,
): () => boolean {
  const meets = (...states: readonly Member['state'][]) =>
    transport.members().some(({ self, state }) => !self && states.includes(state))
  let knows = meets('ready') && transport.isCurrent()
  let hasMet = hasHub
  return () => {
    if (knows) return true
    // One that is gone again may have left keys here, and not all that it knew was revoked.
    hasMet ||= meets('joining', 'ready', 'suspect', 'gone')
    if (!hasMet) return true
    knows = transport.isCurrent()
    return knows
  }
}
