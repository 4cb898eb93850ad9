import type { Worker } from 'node:cluster'
import type { EventEmitter } from 'node:events'

/**
 * Closes what node:cluster has sent to a worker that died before it said that it has it. Node
 * hears no answer then and keeps the socket open, so its client would wait for ever (so in Node 20
 * to 24, lib/internal/cluster/round_robin_handle.js). The messages of the two are not documented;
 * where they look otherwise nothing is done.
 */
export function closeUntaken({ process: child }: Pick<Worker, 'process'>): void {
  const untaken = new Map<number, { close(): void }>()
  const send = child.send.bind(child) as (...args: unknown[]) => boolean
  const watched = (message: unknown, handle?: unknown, ...more: unknown[]) => {
    const { cmd, act, seq } = message as Record<string, unknown>
    const isConnection = cmd === 'NODE_CLUSTER' && act === 'newconn'
    if (isConnection && typeof seq === 'number' && canBeClosed(handle)) {
      untaken.set(seq, handle)
    }
    return send(message, handle, ...more)
  }
  Object.assign(child, { send: watched })
  const events: EventEmitter = child
  // What the worker did not want goes to another one.
  events.on('internalMessage', ({ ack }: { ack?: number }) => {
    if (ack !== undefined) untaken.delete(ack)
  })
  // Not at its exit: an answer may be on its way still.
  events.once('disconnect', () => {
    for (const handle of untaken.values()) handle.close()
    untaken.clear()
  })
}

function canBeClosed(handle: unknown): handle is { close(): void } {
  return typeof (handle as { close?: unknown } | undefined)?.close === 'function'
}
