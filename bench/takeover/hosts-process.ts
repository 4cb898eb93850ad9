import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { ClientHost, makeSwitch, run } from '../../test/fixtures/takeover/namespaces.ts'
import { partOf } from '../../test/fixtures/takeover/object.ts'
import { Backend, ProxyHost, port } from '../../test/fixtures/takeover/proxy-host.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { commitCosts } from './commit-cost.ts'
import { type HostDeath, type HostsWord, heartbeatTimeout } from './hosts.ts'
import { Requests } from './requests.ts'

/** Entry of the hosts, in a network of its own: a switch, two proxies, clients, a backend. */
const isQuick = process.argv[2] === 'quick'
const many = Number(process.argv[3])
const mbit = 400
/** A machine that stands still for so long has its host fenced before it dies. */
const tries = 5
/** Of heartbeats, ms, where so many handshakes keep two processors busy for a while. */
const patience = 2_000

process.once('disconnect', () => process.exit(1))
makeSwitch()
const backend = new Backend()
await backend.listen()
for (let round = 0; round < (isQuick ? 3 : 10); round++) {
  say({ step: `a host dies, ${round + 1}` })
  say({ death: await death(1, 200_000_000, heartbeatTimeout), clients: 1 })
}
for (let round = 0; round < (isQuick ? 1 : 5); round++) {
  say({ step: `a host of ${many} connections dies, ${round + 1}` })
  say({ death: await death(many, 5_000_000, patience), clients: many })
}
const rounds = isQuick ? 5 : 15
say({
  cost: {
    what: 'CPU with checkpoints to CPU without, objects of 200 MB',
    limit: 1.05,
    ratios: await cost(200_000_000, 1, 1, rounds),
  },
})
say({
  cost: {
    what: 'CPU with checkpoints to CPU without, objects of 1 KB',
    limit: 1.03,
    ratios: await cost(1_000, 50, 4_000, rounds),
  },
})
for (const commit of await commitCosts(rounds, step => say({ step }))) say({ commit })
process.exit(0)

async function death(
  clients: number,
  length: number,
  timeout: number,
): Promise<HostDeath> {
  for (let tried = 0; tried < tries; tried++) {
    const one = await die(clients, length, [`timeout: ${timeout}ms`])
    if (one !== undefined) return one
    say({ step: 'a host was fenced before it died: once more' })
  }
  throw new Error('this machine stands still too often')
}

async function die(
  clients: number,
  length: number,
  options: readonly string[],
): Promise<HostDeath | undefined> {
  const secret = randomBytes(32).toString('base64url')
  const backup = new ProxyHost(1, secret, options)
  // It dies: that it takes over nothing before is all that its fence is for.
  const active = new ProxyHost(2, secret, [...options, "fence: ['false']"])
  const client = new ClientHost()
  try {
    await client.plug()
    client.limit(mbit)
    await backup.start([active])
    await active.start([backup])
    const downloads = Array.from({ length: clients }, () =>
      download(client, active.address, length),
    )
    const isFenced = () => backup.log.includes('is being fenced')
    await Promise.race([
      active.protects(clients).catch(error => {
        if (!isFenced()) throw error
      }),
      Promise.all(downloads.map(({ outcome }) => outcome)),
    ])
    if (isFenced()) return undefined
    await delay(500)
    const cut = Date.now()
    run(`ip link set ${active.cable.port} down`)
    active.kill()
    const outcomes = await Promise.all(downloads.map(({ outcome }) => outcome))
    const log = backup.log
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line))
    const silent = log.find(({ msg }) => msg.includes('is being fenced'))
    const done = log.find(({ msg }) => msg.includes('its connections go on'))
    if (done === undefined || new Date(silent.time).getTime() < cut) return undefined
    const { takeover } = await backup.status()
    return {
      detection: new Date(silent.time).getTime() - cut,
      fencing: done.fencing,
      wait: done.wait,
      stall: Math.max(...downloads.map(({ stall }) => stall())),
      outcomes,
      counted: takeover.connections,
    }
  } finally {
    await Promise.all([active.stop(), backup.stop(), client.stop()])
  }
}

/** One curl, no retries. */
function download(
  client: ClientHost,
  address: string,
  length: number,
): { readonly outcome: Promise<string>; stall(): number } {
  const args = ['-sSk', '--http1.1', '--max-time', '60']
  const curl = client.spawn('curl', [...args, `https://${address}:${port}/${length}`])
  let [at, isRight, words, last, stall] = [0, true, '', 0, 0]
  curl.stdout?.on('data', (chunk: Buffer) => {
    const now = performance.now()
    if (last > 0) stall = Math.max(stall, now - last)
    last = now
    isRight &&= chunk.equals(partOf(at, chunk.length))
    at += chunk.length
  })
  curl.stderr?.on('data', chunk => {
    words += chunk
  })
  const outcome = once(curl, 'close').then(([code]) => {
    if (!isRight) return 'other bytes'
    if (code === 0 && at === length) return 'right'
    return `curl ended with ${code}: ${words.trim()}`
  })
  return { outcome, stall: () => stall }
}

/**
 * The same work by two proxies, in turn: one that tells another host of its connections, and one
 * that makes no checkpoints. Ratios of their CPU.
 */
async function cost(
  length: number,
  connections: number,
  requests: number,
  rounds: number,
): Promise<number[]> {
  const newSecret = () => randomBytes(32).toString('base64url')
  const [secret, another] = [newSecret(), newSecret()]
  const other = new ProxyHost(1, secret)
  const telling = new ProxyHost(2, secret)
  const unwritten = pathToFileURL(new URL('./unwritten.js', import.meta.url).pathname)
  process.env['NODE_OPTIONS'] = `--import ${unwritten}`
  const mute = new ProxyHost(3, another)
  const muteOther = new ProxyHost(4, another)
  delete process.env['NODE_OPTIONS']
  try {
    await other.start([telling])
    await telling.start([other])
    await muteOther.start([mute])
    await mute.start([muteOther])
    const cpuOf = async (proxy: ProxyHost) => {
      const clients = await Requests.open(proxy.address, port, connections)
      // Nothing of their handshakes.
      await delay(200)
      const before = treeCpu(proxy.pid) ?? 0
      await clients.ask(length, requests)
      const used = (treeCpu(proxy.pid) ?? 0) - before
      clients.close()
      return used
    }
    const ratios: number[] = []
    for (let round = -1; round < rounds; round++) {
      say({ step: `checkpoints of objects of ${length} bytes, ${round + 1}` })
      const first = round % 2 === 0
      const one = await cpuOf(first ? telling : mute)
      const two = await cpuOf(first ? mute : telling)
      // The first round warms up, and counts for nothing.
      if (round >= 0) ratios.push(first ? one / two : two / one)
    }
    return ratios
  } finally {
    await Promise.all([other, telling, mute, muteOther].map(each => each.stop()))
  }
}

function say(word: HostsWord): void {
  process.send?.(word)
}
