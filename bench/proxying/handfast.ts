import { openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serverName } from '../certificates/identity.ts'
import { freePorts } from '../harness/child.ts'
import { treeMemory } from '../harness/process-memory.ts'
import { Foreground } from '../systems/foreground.ts'
import { keyFiles } from '../systems/tls-files.ts'
import { GcTime } from './gc-time.ts'
import type { ProxySystem, RunningProxySystem, StartProxy } from './proxies.ts'

/** What stands in its config beside what has to; lines of YAML. */
export interface HandfastConfig {
  /** Of the only site. */
  readonly site?: readonly string[]
  /** Beside the sites. */
  readonly top?: readonly string[]
  /** A backend at a URL, as the config names it. */
  readonly backend?: (url: string) => string
}

/** The drop-in proxy, as it comes but for `config`. */
export function handfast(
  name: string,
  about: string,
  config: HandfastConfig = {},
): ProxySystem {
  return {
    name,
    about,
    kinds: ['h1', 'h2', 'new'],
    missing: () => undefined,
    start: options => startHandfast(options, config),
  }
}

async function startHandfast(
  { identities, backend, others = [], folder }: StartProxy,
  { site = [], top = [], backend: named = url => url }: HandfastConfig,
): Promise<RunningProxySystem> {
  const { keyFile, certFile } = await keyFiles(identities, folder)
  const [port] = (await freePorts(1)) as [number]
  const file = join(folder, 'handfast.yaml')
  const backends = [backend, ...others].map(at => named(`http://127.0.0.1:${at}`))
  await writeFile(
    file,
    `listen: 127.0.0.1:${port}
workers: 1
${top.map(line => `${line}\n`).join('')}sites:
  - names: [${serverName}]
    cert: ${certFile}
    key: ${keyFile}
    backends: [${backends.join(', ')}]
${site.map(line => `    ${line}\n`).join('')}`,
  )
  const main = fileURLToPath(
    new URL(`../../lib/cli/main${extname(import.meta.url)}`, import.meta.url),
  )
  const logFile = join(folder, 'access.log')
  const log = openSync(logFile, 'w')
  const gc = new GcTime(logFile)
  const proxy = await Foreground.start(
    process.execPath,
    [...process.execArgv, '--trace-gc', main, 'proxy', '--config', file],
    port,
    { stdout: log },
  )
  return {
    portFor: () => port,
    cpu: () => proxy.cpu(),
    gc: () => gc.total(),
    memory: () => treeMemory(proxy.pid),
    close: () => proxy.close(),
  }
}
