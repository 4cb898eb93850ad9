import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Identities, serverName } from '../certificates/identity.ts'
import { forkChild, freePorts, stopChild } from '../harness/child.ts'
import { treeCpu } from '../harness/process-cpu.ts'
import { treeMemory } from '../harness/process-memory.ts'
import { Foreground } from '../systems/foreground.ts'
import { haproxyArgs, haproxyFile } from '../systems/haproxy-file.ts'
import { nginxArgs, nginxFile } from '../systems/nginx-file.ts'
import { findProgram, needProgram } from '../systems/program.ts'
import { keyFiles, type TlsFiles } from '../systems/tls-files.ts'
import { handfast } from './handfast.ts'
import type { LoadKind } from './load.ts'

/** Something that ends TLS and passes requests on to one backend, in one process. */
export interface ProxySystem {
  readonly name: string
  readonly about: string
  readonly kinds: readonly LoadKind[]
  /** Why it can't be measured here; undefined when it can. */
  missing(): string | undefined
  start(options: StartProxy): Promise<RunningProxySystem>
}

export interface StartProxy {
  readonly identities: Identities
  /** Port of the backend on 127.0.0.1. */
  readonly backend: number
  /** Of others beside it; only handfast asks them. */
  readonly others?: readonly number[]
  /** A folder of its own. */
  readonly folder: string
}

export interface RunningProxySystem {
  portFor(kind: LoadKind): number
  /** Processor time so far in milliseconds. */
  cpu(): number | undefined
  /** Milliseconds so far in which the garbage collector had the main thread, where it tells. */
  gc?(): number
  /** Resident memory in bytes. */
  memory(): number | undefined
  close(): Promise<void>
}

/** What a process of Node's own peers is told. */
export interface NodeProxy {
  readonly kind: 'bare' | 'undici' | 'http-proxy'
  readonly http2: boolean
  readonly tls: { readonly key: string; readonly cert: string }
  readonly backend: number
}

export const proxySystems: readonly ProxySystem[] = [
  handfast('handfast', 'handfast proxy, one worker, access log to a file'),
  node('bare', 'https or http2 of Node, no proxying', ['h1', 'h2', 'new']),
  node('undici', 'thirty lines on undici: no log, no checks', ['h1', 'h2', 'new']),
  node('http-proxy', 'http-proxy with a keep-alive agent, no log', ['h1', 'new']),
  program('nginx', nginxConfig, nginxArgs),
  program('haproxy', haproxyConfig, haproxyArgs),
]

function node(
  kind: NodeProxy['kind'],
  about: string,
  kinds: readonly LoadKind[],
): ProxySystem {
  return {
    name: kind,
    about,
    kinds,
    missing: () => undefined,
    async start({ identities, backend }) {
      const start = async (http2: boolean) => {
        const child = forkChild(new URL('./node-proxy-process.ts', import.meta.url))
        const message: NodeProxy = { kind, http2, tls: identities.server, backend }
        child.send(message)
        const [{ port }] = (await once(child, 'message')) as [{ port: number }]
        return { child, port }
      }
      const both = [await start(false), await start(true)] as const
      return {
        portFor: load => both[load === 'h2' ? 1 : 0].port,
        cpu() {
          const used = both.map(({ child }) => treeCpu(child.pid as number))
          return used.includes(undefined)
            ? undefined
            : (used as number[]).reduce((sum, one) => sum + one, 0)
        },
        memory: () => treeMemory(both[0].child.pid as number),
        async close() {
          await Promise.all(both.map(({ child }) => stopChild(child)))
        },
      }
    },
  }
}

interface ProgramFiles extends TlsFiles {
  readonly port: number
  readonly backend: number
  readonly folder: string
}

function program(
  name: string,
  config: (files: ProgramFiles) => string,
  args: (file: string, folder: string) => readonly string[],
): ProxySystem {
  return {
    name,
    about: `${name}, one worker, access log to a file`,
    kinds: ['h1', 'h2', 'new'],
    missing: () => findProgram(name).missing,
    async start({ identities, backend, folder }) {
      const files = await keyFiles(identities, folder)
      const [port] = (await freePorts(1)) as [number]
      const file = join(folder, `${name}.conf`)
      await writeFile(file, config({ ...files, port, backend, folder }))
      const running = await Foreground.start(needProgram(name), args(file, folder), port)
      return {
        portFor: () => port,
        cpu: () => running.cpu(),
        memory: () => treeMemory(running.pid),
        close: () => running.close(),
      }
    },
  }
}

function nginxConfig({ port, backend, folder, keyFile, certFile }: ProgramFiles): string {
  const http = `  keepalive_requests 1000000;
  upstream backend {
    server 127.0.0.1:${backend};
    keepalive 64;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port} ssl http2;
    server_name ${serverName};
    ssl_certificate ${certFile};
    ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }
  }
`
  return nginxFile({ folder, accessLog: join(folder, 'access.log'), http })
}

function haproxyConfig({ port, backend, bundleFile }: ProgramFiles): string {
  const rest = `frontend bench
  bind 127.0.0.1:${port} ssl crt ${bundleFile} alpn h2,http/1.1
  option forwardfor
  default_backend bench
backend bench
  http-reuse always
  server one 127.0.0.1:${backend}
`
  return haproxyFile({ rest })
}
