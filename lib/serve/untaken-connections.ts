import type { Worker } from 'node:cluster'
import type { EventEmitter } from 'node:events'

/**
 * What node:cluster has sent to a worker that has not said yet whether it takes it. When that
 * worker dies Node hears no answer and keeps the socket open, so its client would wait for ever
 * (Node 20 to 24, lib/internal/cluster/round_robin_handle.js). Answers what closes them. The
 * messages of the two are not documented; where they look otherwise nothing is done.
 */
export function untakenBy({ process: child }: Pick<Worker, 'process'>): () => void {
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
  return () => {
    for (const handle of untaken.values()) handle.close()
    untaken.clear()
  }
}

function canBeClosed(handle: unknown): handle is { close(): void } {
  return typeof (handle as { close?: unknown } | undefined)?.close === 'function'
}

/** Of a worker that has exited: calls back when nothing that it has said is on its way any more. */
export function whenSilent(worker: Worker, silent: () => void): void {
  if (!worker.isConnected()) {
    silent()
    return
  }
  const end = () => {
    clearTimeout(timer)
    worker.off('disconnect', end)
    silent()
  }
  // Node does not tell of it where a message broke off in its middle.
  const timer = setTimeout(end, longestSilence)
  worker.once('disconnect', end)
}

/** Milliseconds. */
const longestSilence = 1_000
