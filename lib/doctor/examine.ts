import type { Clock } from '../clock.ts'
import { HandfastError } from '../errors.ts'
import { probeChain } from './chain.ts'
import { Client } from './client.ts'
import type { AddressResult, Examination } from './examination.ts'
import { type KindName, kinds } from './kind.ts'
import { Mint, probeKind } from './matrix.ts'
import { probeOtherName } from './other-name.ts'
import type { Target } from './target.ts'
import { keyEvidence } from './ticket-keys.ts'

export interface ExamineOptions {
  readonly targets: readonly Target[]
  /** Name to ask for; empty for none. */
  readonly serverName: string
  /** A name under which sessions of `serverName` must not resume. */
  readonly otherName?: string | undefined
  /** Default: all. */
  readonly only?: readonly KindName[] | undefined
  /** PEM. */
  readonly ca?: string | undefined
  /** PEM, for servers that ask clients for a certificate. */
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined
  /** Milliseconds for one connection. Default 5000. */
  readonly timeout?: number | undefined
  /** Connections in the chain of single-use tickets. Default 20. */
  readonly chainLength?: number | undefined
  readonly clock: Clock
  /** Default Math.random; it chooses addresses. */
  readonly random?: (() => number) | undefined
}

export const mostTargets = 8
export const longestChain = 200

/**
 * Visits the addresses as a client, one connection at a time, and notes what resumes where.
 * Never rejects for what they do.
 */
export async function examine(options: ExamineOptions): Promise<Examination> {
  const { targets, serverName, otherName, clock, ca, certificate } = options
  const { only, timeout = 5_000, chainLength = 20, random = Math.random } = options
  if (targets.length < 1 || targets.length > mostTargets) {
    throw new HandfastError('ERR_HANDFAST_CONFIG', `give 1 to ${mostTargets} addresses`)
  }
  const limit = mostHandshakes(targets.length, chainLength)
  const client = new Client({ clock, timeout, ca, certificate, limit })
  const addresses = await Promise.all(
    targets.map(target => lookAt(target, serverName, client, timeout)),
  )
  const alive = targets.filter((_, i) => addresses[i]?.failure === undefined)
  const mint = new Mint(client, serverName)
  const chosen = kinds.filter(({ name }) => only?.includes(name) ?? true)
  const results = []
  for (const kind of chosen) {
    results.push(await probeKind(kind, alive, serverName, client, mint))
  }
  const chained = chosen.find(({ singleUse }) => singleUse)
  const made = results.some(({ kind, makers }) => kind === chained?.name && makers.length)
  const chain =
    chained === undefined || !made || chainLength < 1
      ? undefined
      : await probeChain(chained, alive, serverName, chainLength, client, mint, random)
  const cells =
    otherName === undefined
      ? undefined
      : await probeOtherName(chosen, alive, otherName, client, mint)
  return {
    version: 1,
    at: new Date(clock.now()).toISOString(),
    serverName,
    addresses,
    kinds: results,
    chain,
    otherName:
      otherName === undefined || cells === undefined
        ? undefined
        : { name: otherName, cells },
    ticketKeys: keyEvidence(mint.seen),
    handshakes: client.handshakes,
  }
}

async function lookAt(
  target: Target,
  serverName: string,
  client: Client,
  timeout: number,
): Promise<AddressResult> {
  const patience = Math.min(timeout, 2_000)
  const outcome = await client.visit(target, { serverName, stay: true, patience })
  const { label: address } = target
  if (outcome.ok) {
    const { protocol, http, untrusted } = outcome
    return { address, failure: undefined, code: '', protocol, http, untrusted }
  }
  const { failure, code } = outcome
  return { address, failure, code, protocol: '', http: undefined, untrusted: undefined }
}

/** Each cell of three matrices makes a session and offers it; the rest is small. */
function mostHandshakes(targets: number, chain: number): number {
  const matrices = kinds.length * targets * targets * 2
  const otherNames = kinds.length * targets * 2 * 2
  return targets + matrices + otherNames + chain + 1
}
