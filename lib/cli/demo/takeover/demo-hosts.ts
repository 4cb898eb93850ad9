import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateSecret } from '../../../farm/secret.ts'
import type { ClientWish, ClientWord } from './demo-client.ts'
import type { HostWish, HostWord } from './host-scene.ts'
import { Cable, makeSwitch, switchAddress } from './networks.ts'
import { sha256Of, startObjectBackend } from './object.ts'
import { DemoProxy, handfast } from './proxy.ts'

/** The networks of `handfast demo --takeover`: a switch, two hosts with a proxy each, a client. */
const port = 8443
/** Of the download, when the host goes. */
const deathAt = 0.4
const farmPort = 7443
const adminPort = 9464

class ProxyHost {
  readonly cable: Cable
  readonly virtual: string
  readonly #folder = mkdtempSync(join(tmpdir(), 'handfast-demo-'))
  #proxy: DemoProxy | undefined

  constructor(number: number) {
    this.cable = new Cable(number)
    this.virtual = `10.77.0.${100 + number}`
  }

  /** `other`: the host that it takes over, and that takes it over. */
  async start(
    wish: HostWish,
    backend: number,
    other: Cable,
    secret: string,
  ): Promise<void> {
    const config = join(this.#folder, 'proxy.yaml')
    writeFileSync(
      config,
      `listen: ${port}
workers: 1
admin: { listen: '${this.cable.address}:${adminPort}' }
farm:
  listen: ${this.cable.address}:${farmPort}
  joinTimeout: 300ms
  members: ['${other.address}:${farmPort}']
takeover:
  address: ${this.virtual}
  interface: ${this.cable.name}
  timeout: ${wish.timeout}ms
  fence: ['sh', '-c', '${other.pulling}']
sites:
  - cert: ${JSON.stringify(wish.certFile)}
    key: ${JSON.stringify(wish.keyFile)}
    backends: ['http://${switchAddress}:${backend}']
`,
    )
    // It waits for its network, which has to be there first.
    const wait = [
      'unshare',
      '-n',
      'sh',
      '-c',
      'until ip route | grep -q .; do sleep 0.05; done; exec "$@"',
      'sh',
    ]
    this.#proxy = new DemoProxy(wait, ['--config', config], { cwd: this.#folder, secret })
    await this.cable.plug(this.#proxy.process.pid ?? 0)
    await this.#proxy.until('the virtual address is here')
  }

  /** Nothing of it is heard any more, once another one could go on with its download. */
  async die(): Promise<void> {
    await this.#proxy?.protects(`${this.cable.address}:${adminPort}`)
    this.cable.pull()
    await this.#proxy?.kill()
    const text =
      'pulled the plug of host 2 and killed its proxy: host 1 inherits its address'
    say({ kind: 'say', text })
  }

  async stop(): Promise<void> {
    await this.#proxy?.kill()
    rmSync(this.#folder, { recursive: true })
  }
}

async function show(wish: HostWish): Promise<boolean> {
  makeSwitch()
  const backend = await startObjectBackend(switchAddress, wish.bytes)
  const [one, other] = [new ProxyHost(1), new ProxyHost(2)]
  const client = spawn(
    'unshare',
    ['-n', process.execPath, ...handfast, 'demo-part', 'client'],
    {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    },
  )
  try {
    await new Cable(3).plug(client.pid ?? 0)
    const secret = generateSecret()
    await Promise.all([
      one.start(wish, backend.port, other.cable, secret),
      other.start(wish, backend.port, one.cable, secret),
    ])
    say({
      kind: 'say',
      text: `one download over https://${other.virtual}:${port}, the address of host 2`,
    })
    const end = new Promise<ClientWord>(resolve => {
      client.on('message', (word: ClientWord) => {
        if (word.kind === 'progress') say(word)
        else if (word.kind !== 'held') resolve(word)
        else {
          const failed = (error: unknown) =>
            resolve({ kind: 'failed', reason: `${error}` })
          void other.die().then(() => client.send('go on'), failed)
        }
      })
      client.once('exit', () =>
        resolve({ kind: 'failed', reason: 'the client has ended' }),
      )
    })
    const holdAt = deathAt * wish.bytes
    const asked: ClientWish = { ...wish, host: other.virtual, port, holdAt }
    client.send(asked)
    const word = await end
    if (word.kind === 'failed') say(word)
    return word.kind === 'came' && word.sha256 === sha256Of(wish.bytes)
  } finally {
    if (client.connected) client.disconnect()
    await Promise.all([one.stop(), other.stop(), backend.close()])
  }
}

function say(word: HostWord): void {
  if (process.connected) process.send?.(word)
}

/** The program; it ends with whoever started it. */
export async function runHosts(): Promise<void> {
  process.once('disconnect', () => process.exit())
  const wished = once(process, 'message')
  say({ kind: 'ready' })
  const [wish] = await wished
  const bye = once(process, 'message')
  try {
    say({ kind: 'end', isRight: await show(wish as HostWish) })
  } catch (error) {
    say({ kind: 'failed', reason: String(error) })
    say({ kind: 'end', isRight: false })
  }
  await bye
  if (process.connected) process.disconnect()
}
