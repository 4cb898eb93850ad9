import type { SecureContext } from 'node:tls'

/**
 * Node's hook for the keys of session tickets, there since version 12 and covered by its own
 * tests, but not documented. It is told the context and nothing of the connection. What it throws
 * ends the process, and Node wants keys with every answer.
 */
export interface TicketHook {
  enableTicketKeyCallback(): void
  onticketkeycallback?: (name: Buffer, iv: Buffer, sealing: boolean) => TicketAnswer
}

/** [result, HMAC key, AES key], and to seal [.., name, IV]. */
export type TicketAnswer = readonly [
  result: number,
  hmac: Buffer,
  aes: Buffer,
  name?: Buffer,
  iv?: Buffer,
]

/** As SSL_CTX_set_tlsext_ticket_key_evp_cb has them. */
export const ticketResult = { unknown: 0, sealed: 1, openAndRenew: 2 } as const

/** The hook of a context; undefined where this Node has none. */
export function ticketHookOf({ context }: SecureContext): TicketHook | undefined {
  const hook = context as Partial<TicketHook>
  if (typeof hook.enableTicketKeyCallback !== 'function') return undefined
  return hook as TicketHook
}
