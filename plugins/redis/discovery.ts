import { type Address, formatAddress, parseAddress } from '../../lib/address.ts'
import type { Clock } from '../../lib/clock.ts'
import { Connection, RedisUnreachable, RefusedByRedis, type Reply } from './client.ts'
import type { RedisSetup } from './options.ts'
import { slots } from './slot.ts'

/** The master that has the slots from `from` to `to`. */
export interface Shard {
  readonly from: number
  readonly to: number
  readonly master: Address
}

export interface Found {
  readonly isCluster: boolean
  readonly shards: readonly Shard[]
}

const mostShards = 4_096

/** What connections are made with. */
export interface Terms {
  readonly setup: RedisSetup
  readonly clock: Clock
  /** Ends all attempts. */
  readonly signal: AbortSignal
}

export function openNode(
  { setup, clock, signal }: Terms,
  address: Address,
  database: number = setup.database,
): Promise<Connection> {
  const { login, tls, connectTimeout, commandTimeout: silence } = setup
  return Connection.open({
    ...{ ...login, address, clock, tls, connectTimeout, silence, database, signal },
  })
}

/**
 * Finds the masters through the addresses that are known, one after the other. Rejects with what
 * the last one said; a refusal (WRONGPASS) before a silence.
 */
export async function discover(terms: Terms, also: readonly Address[]): Promise<Found> {
  const { setup, signal } = terms
  let failure: unknown = new RedisUnreachable(undefined, 'no address is known')
  for (const address of [...also, ...setup.addresses]) {
    if (signal.aborted) break
    try {
      const found =
        setup.kind === 'sentinel'
          ? await throughSentinel(terms, address)
          : await directly(terms, address)
      if (found !== undefined) return found
      failure = new RedisUnreachable(address, 'it is not a master')
    } catch (error) {
      if (!(failure instanceof RefusedByRedis)) failure = error
    }
  }
  throw failure
}

async function directly(terms: Terms, address: Address): Promise<Found | undefined> {
  const connection = await openNode(terms, address, 0)
  try {
    if (connection.mode === 'sentinel') {
      throw new RedisUnreachable(address, 'it is a Sentinel: redis+sentinel://HOST/NAME')
    }
    if (connection.mode !== 'cluster')
      return connection.isMaster ? alone(address) : undefined
    return readSlots(await connection.call(['CLUSTER', 'SLOTS']), address)
  } finally {
    connection.close()
  }
}

async function throughSentinel(
  terms: Terms,
  address: Address,
): Promise<Found | undefined> {
  const { setup, clock, signal } = terms
  const { sentinelLogin, tls, connectTimeout, commandTimeout: silence } = setup
  const sentinel = await Connection.open({
    ...{ ...sentinelLogin, address, clock, tls, connectTimeout, silence, signal },
  })
  let master: Address
  try {
    const asked = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', setup.masterName]
    const said = await sentinel.call(asked)
    if (!Array.isArray(said)) {
      throw new RedisUnreachable(address, 'no master of this name is known there')
    }
    master = addressIn(said[0], said[1], address)
  } finally {
    sentinel.close()
  }
  // It may not have noticed that another one is master by now.
  const connection = await openNode(terms, master)
  connection.close()
  return connection.isMaster ? alone(master) : undefined
}

function alone(master: Address): Found {
  return { isCluster: false, shards: [{ from: 0, to: slots - 1, master }] }
}

/** [[from, to, [host, port, ...], replicas...], ...] */
function readSlots(reply: Reply, asked: Address): Found {
  if (!Array.isArray(reply) || reply.length > mostShards) throw malformed(asked)
  const shards = reply.map(entry => {
    const [from, to, master] = (Array.isArray(entry) ? entry : []) as readonly Reply[]
    if (typeof from !== 'number' || typeof to !== 'number' || !Array.isArray(master)) {
      throw malformed(asked)
    }
    return { from, to, master: addressIn(master[0], master[1], asked) }
  })
  if (shards.length === 0)
    throw new RedisUnreachable(asked, 'the cluster has no slots yet')
  return { isCluster: true, shards }
}

/** A node that knows no address of its own leaves it out: it is the one that was asked. */
function addressIn(
  host: Reply | undefined,
  port: Reply | undefined,
  asked: Address,
): Address {
  const named = host === null || host === undefined ? '' : String(host)
  return readTarget(`${named.includes(':') ? `[${named}]` : named}:${port}`, asked)
}

/** `host:port` of MOVED and ASK; without a host it is the one that was asked. */
export function readTarget(text: string, asked: Address): Address {
  try {
    if (text.startsWith(':') || text.startsWith('?:')) {
      return {
        host: asked.host,
        port: parseAddress(`x${text.slice(text.indexOf(':'))}`).port,
      }
    }
    const bare = /^([0-9a-f:]+):(\d+)$/i.exec(text)
    return parseAddress(bare?.[1]?.includes(':') ? `[${bare[1]}]:${bare[2]}` : text)
  } catch {
    throw malformed(asked)
  }
}

export function isSame(a: Address, b: Address): boolean {
  return formatAddress(a) === formatAddress(b)
}

function malformed(address: Address): RedisUnreachable {
  return new RedisUnreachable(address, 'it names a node in a form that is not known')
}
