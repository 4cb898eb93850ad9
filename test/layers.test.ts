import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, extname, join, relative } from 'node:path'
import t from 'tap'
import { root } from './fixtures/root.ts'

/** An import may only point to the left of where it stands, or stay in its room. */
const rooms = [
  'kernel',
  'options',
  'limit',
  'record',
  'table',
  'wire',
  'farm',
  'cache',
  'repository',
  'resumption',
  'proxy-protocol',
  'http',
  'auth',
  'state',
  'backend',
  'dispatch',
  'takeover',
  'admin',
  'member',
  'proxy',
  'doctor',
  'index',
  'plugins',
  'serve',
  'cli',
]

/** The same within a room. What lies beside its sub-rooms may be below them or above. */
const subRooms: Readonly<Record<string, readonly string[]>> = {
  table: ['segment', 'index', 'shelf'],
  farm: [
    'link',
    'mesh',
    'channel',
    'placement',
    'peer',
    'sending',
    'sync',
    'engine',
    'datagram',
  ],
  resumption: ['hello', 'session', 'revocation', 'ticket', 'native', 'server'],
  auth: ['request', 'method', 'login', 'form'],
  takeover: [
    'native',
    'record-layer',
    'plan',
    'connection',
    'checkpoint',
    'commit',
    'guardian',
    'host',
  ],
  admin: ['section', 'dashboard'],
  backend: ['http1', 'http2', 'health'],
  state: ['feed', 'cache', 'session'],
  dispatch: [
    'around',
    'selection',
    'affinity',
    'queue',
    'retry',
    'hedge',
    'resumed-response',
  ],
  proxy: ['message', 'route', 'client', 'relay', 'request', 'section'],
  serve: ['process', 'cluster'],
  cli: ['schema', 'config', 'demo', 'commands'],
}

interface Import {
  readonly from: string
  readonly specifier: string
  /** `import type`: gone when it runs. */
  readonly typeOnly: boolean
  /** Only when it is needed, so that it need not be there. */
  readonly lazy: boolean
}

const modules = ['lib', 'plugins'].flatMap(filesUnder).sort()
const imports = modules.flatMap(importsOf)

t.test('imports point left', async t => {
  for (const { from, specifier } of imports.filter(({ specifier }) =>
    isOurs(specifier),
  )) {
    const target = relative(root, join(root, dirname(from), specifier))
    const [here, there] = [roomOf(from), roomOf(target)]
    t.ok(rooms.includes(here), `${from} is in a room that this test knows`)
    t.ok(
      rooms.indexOf(there) <= rooms.indexOf(here),
      `${from} (${here}) may not import ${target} (${there})`,
    )
    t.match(specifier, /\.ts$/, `${from} names the file that it imports`)
  }
  t.ok(imports.length > 100, 'the reader of imports reads')
})

t.test('a room is there, and so are its sub-rooms', async t => {
  const there = new Set(modules.map(roomOf))
  for (const room of rooms) t.ok(there.has(room), room)
  for (const room of there) {
    const found = modules.filter(path => roomOf(path) === room).map(subRoomOf)
    const named = new Set(found.filter(name => name !== undefined))
    t.strictSame([...named].sort(), [...(subRooms[room] ?? [])].sort(), room)
  }
})

t.test('imports point left within a room, too', async t => {
  for (const { from, specifier } of imports.filter(({ specifier }) =>
    isOurs(specifier),
  )) {
    const target = relative(root, join(root, dirname(from), specifier))
    const order = roomOf(from) === roomOf(target) ? subRooms[roomOf(from)] : undefined
    const [here, there] = [subRoomOf(from), subRoomOf(target)]
    if (order === undefined || here === undefined || there === undefined) continue
    t.ok(
      order.indexOf(there) <= order.indexOf(here),
      `${from} (${here}) may not import ${target} (${there})`,
    )
  }
})

t.test('no files import each other in a circle', async t => {
  const above = new Map<string, string[]>()
  for (const { from, specifier } of imports.filter(({ specifier }) =>
    isOurs(specifier),
  )) {
    const target = relative(root, join(root, dirname(from), specifier))
    above.set(from, [...(above.get(from) ?? []), target])
  }
  const done = new Set<string>()
  const visit = (path: string, way: readonly string[]): void => {
    const seen = way.indexOf(path)
    if (seen >= 0) t.fail([...way.slice(seen), path].join(' -> '))
    if (seen >= 0 || done.has(path)) return
    for (const target of above.get(path) ?? []) visit(target, [...way, path])
    done.add(path)
  }
  for (const path of modules) visit(path, [])
  t.equal(done.size, modules.length)
})

t.test('the kernel imports nothing of ours but itself', async t => {
  for (const { from, specifier } of imports.filter(
    ({ from }) => roomOf(from) === 'kernel',
  )) {
    if (isOurs(specifier)) t.match(specifier, /^\.\/[a-z-]+\.ts$/, from)
  }
})

t.test('a third-party package is imported in one file', async t => {
  const importers = new Map<string, Set<string>>()
  for (const { from, specifier, typeOnly } of imports) {
    if (isOurs(specifier) || specifier.startsWith('node:') || typeOnly) continue
    t.notOk(builtinModules.includes(specifier), `${from}: ${specifier} without node:`)
    const name = packageOf(specifier)
    importers.set(name, (importers.get(name) ?? new Set()).add(from))
  }
  for (const [name, files] of importers) {
    t.equal(files.size, 1, `${name} is imported in ${[...files].join(', ')}`)
  }
  t.ok(importers.has('pino'), 'the reader of imports reads')
})

t.test(
  'what a server attaches loads nothing that only proxies and commands need',
  async t => {
    const loaded = new Set(['lib/index.ts'])
    const packages = new Set<string>()
    for (const path of loaded) {
      for (const { from, specifier, typeOnly, lazy } of imports) {
        if (from !== path || typeOnly || lazy) continue
        if (isOurs(specifier))
          loaded.add(relative(root, join(root, dirname(from), specifier)))
        else if (!specifier.startsWith('node:')) packages.add(packageOf(specifier))
      }
    }
    t.strictSame([...packages].sort(), ['jose', 'pino'])
    t.ok(loaded.has('lib/resumption/resumption.ts'), 'the reader of imports reads')
  },
)

t.test('every package that is imported is a dependency, and no other is', async t => {
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  const described = JSON.parse(text)
  const { dependencies, devDependencies, optionalDependencies } = described
  const { peerDependencies, peerDependenciesMeta } = described
  const used = new Set(
    imports
      .filter(({ specifier, typeOnly }) => !typeOnly && !isOurs(specifier))
      .filter(({ specifier }) => !specifier.startsWith('node:'))
      .map(({ specifier }) => packageOf(specifier)),
  )
  for (const name of Object.keys(dependencies)) t.ok(used.has(name), name)
  for (const name of used) {
    const there = { ...dependencies, ...optionalDependencies, ...peerDependencies }
    t.ok(name in there, `${name} is described`)
  }
  for (const { from, specifier, typeOnly, lazy } of imports) {
    if (isOurs(specifier) || !(packageOf(specifier) in peerDependencies)) continue
    if (typeOnly || lazy) continue
    t.equal(roomOf(from), 'plugins', `${from} needs ${specifier}, which may not be there`)
  }
  for (const name of Object.keys(peerDependencies)) {
    t.equal(peerDependenciesMeta[name]?.optional, true, `nobody has to have ${name}`)
    t.ok(devDependencies[name], `a test has ${name}`)
  }
})

t.test('every module loads, so that dead code shows in the coverage', async t => {
  const extension = extname(import.meta.url)
  for (const path of modules) {
    const module = new URL(`../${path.replace(/\.ts$/, extension)}`, import.meta.url)
    const loaded: object = await import(module.href)
    t.notOk('default' in loaded, `${path} has no default export`)
  }
})

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))
}

/** Static and lazy imports and re-exports, comments left out. */
function importsOf(from: string): Import[] {
  const text = readFileSync(join(root, from), 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*\/\/.*$/gm, '')
  const named = /^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm
  const lazy = /\bimport\(\s*'([^']+)'\s*\)/g
  return [
    ...[...text.matchAll(named)].map(([, type, specifier = '']) => ({
      from,
      specifier,
      typeOnly: type !== undefined,
      lazy: false,
    })),
    ...[...text.matchAll(lazy)].map(([, specifier = '']) => ({
      from,
      specifier,
      typeOnly: false,
      lazy: true,
    })),
  ]
}

function isOurs(specifier: string): boolean {
  return specifier.startsWith('.')
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function subRoomOf(path: string): string | undefined {
  const [top, , third, fourth] = path.split('/')
  return top === 'lib' && fourth !== undefined ? third : undefined
}

function roomOf(path: string): string {
  const [top, second = '', third] = path.split('/')
  if (top === 'plugins') return 'plugins'
  if (third !== undefined) return second
  return second === 'index.ts' ? 'index' : 'kernel'
}

t.test('CONTRIBUTING tells the rooms in their order, and files that exist', async t => {
  const text = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')
  const lines = text.replace(/\n {4}</g, ' <').split('\n')
  t.ok(lines.includes(`    ${rooms.join(' < ')} < bench, tools, test`), rooms.join(' < '))
  for (const [room, inside] of Object.entries(subRooms)) {
    t.ok(lines.includes(`    ${room}: ${inside.join(' < ')}`), `${room}: ${inside}`)
  }
  const [, trips = ''] = /## The four trips(.*?)## Style/s.exec(text) ?? []
  const named = [
    ...trips.matchAll(/^ {4}([a-z0-9-]+(?:\/[a-z0-9-]+)*)(?:, [\w-]+)*(?= {2}|$)/gm),
  ]
  t.ok(named.length > 15)
  for (const [, path = ''] of named) {
    const places = ['', 'resumption/', 'proxy/', 'farm/'].map(
      place => `lib/${place}${path}.ts`,
    )
    t.ok(
      places.some(place => modules.includes(place)),
      path,
    )
  }
})
