import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { loadSettings } from '../../lib/cli/config/load-settings.ts'
import { readProxyFlags } from '../../lib/cli/proxy-flags.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { root } from '../fixtures/docs/blocks.ts'
import { exampleText } from '../fixtures/docs/examples.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { typeErrors } from '../fixtures/docs/type-check.ts'

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly data?: Readonly<Record<string, string>>
  // biome-ignore lint/suspicious/noExplicitAny: it is checked against the types of Kubernetes
  readonly spec?: any
}

const manifests: Manifest[] = parseAllDocuments(
  exampleText('kubernetes/handfast.yaml'),
).map(document => document.toJS({ mapAsMap: false }) as Manifest)
const [pod] = manifests
  .filter(({ kind }) => kind === 'Deployment')
  .map(({ spec }) => spec.template.spec)
const [container] = pod.containers

t.test('the manifests have the fields that Kubernetes has, and no others', async t => {
  const folders: Record<string, string> = {
    'networking.k8s.io': 'networking',
    v1: 'core',
  }
  const lines = manifests.map((manifest, index) => {
    const [group = '', version] = manifest.apiVersion.split('/')
    const folder = `${folders[group] ?? group}/${version ?? 'v1'}`
    const type = `import('kubernetes-types/${folder}').${manifest.kind}`
    return `export const m${index}: ${type} = ${JSON.stringify(manifest)}`
  })
  t.ok(lines.length > 5)
  const file = join(root, 'kubernetes.ts')
  t.same(typeErrors(new Map([[file, lines.join('\n')]]), 'bundler'), [])
})

t.test('the manifests fit together', async t => {
  const ports = container.ports.map(({ name }: { name: string }) => name)
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    t.ok(ports.includes(container[probe].httpGet.port), probe)
    t.match(container[probe].httpGet.path, /^\/(healthz|readyz)$/)
  }
  const mounts = container.volumeMounts.map(({ name }: { name: string }) => name)
  const volumes = pod.volumes.map(({ name }: { name: string }) => name)
  t.same(mounts.sort(), volumes.sort())
  t.equal(pod.securityContext.runAsNonRoot, true)
  t.equal(container.securityContext.readOnlyRootFilesystem, true)
  const { limits } = config()
  const seconds =
    Number.parseInt(limits.shutdownDelay, 10) + Number.parseInt(limits.drainTimeout, 10)
  t.ok(pod.terminationGracePeriodSeconds >= seconds + 5, 'time enough to end')
  for (const member of config().farm.members) {
    const service = manifests.find(
      ({ kind, spec }) => kind === 'Service' && spec.clusterIP === 'None',
    )
    t.match(JSON.stringify(service), `"name":"${member}"`)
  }
})

t.test('the configs of the examples are taken by the proxy', async t => {
  const texts = {
    kubernetes: JSON.stringify(config()),
    ...Object.fromEntries(
      ['compose', 'systemd', 'nginx', 'haproxy'].map(name => [
        name,
        exampleText(`${name}/handfast.yaml`),
      ]),
    ),
  }
  for (const [name, text] of Object.entries(texts)) {
    const sandbox = await Sandbox.make(t)
    const local = sandbox.localized(text)
    for (const [, path = ''] of local.matchAll(
      /(\/[\w./-]+(?:crt|key|secret|farm))\b/g,
    )) {
      sandbox.provide(path)
    }
    const file = sandbox.write('handfast.yaml', local)
    const { warnings } = await loadSettings(
      readProxyFlags(['--config', file]),
      fakeIo(sandbox.folder),
    )
    // The certificate here is that of localhost.
    t.same(
      warnings.filter(text => !text.includes('is not for')),
      [],
      name,
    )
  }
})

t.test('the compose file has the fields that Compose has, and fits together', async t => {
  const compose = parse(exampleText('compose/compose.yaml'))
  const known = [
    ...['image', 'build', 'command', 'deploy', 'ports', 'user', 'read_only', 'cap_drop'],
    ...['security_opt', 'shm_size', 'stop_grace_period', 'restart', 'volumes', 'secrets'],
    ...['depends_on', 'init'],
  ]
  t.same(Object.keys(compose).sort(), ['secrets', 'services'])
  for (const [name, service] of Object.entries<Record<string, unknown>>(
    compose.services,
  )) {
    for (const key of Object.keys(service)) t.ok(known.includes(key), `${name}: ${key}`)
    for (const other of (service['depends_on'] ?? []) as string[])
      t.ok(compose.services[other])
    for (const secret of (service['secrets'] ?? []) as string[])
      t.ok(compose.secrets[secret])
  }
  const { proxy } = compose.services
  t.equal(proxy.read_only, true)
  t.ok(Number.parseInt(proxy.stop_grace_period, 10) >= 35, 'time enough to end')
  t.equal(proxy.ports[0].split(':')[0].split('-').length, 2, 'a port for each replica')
})

t.test(
  'systemd takes the unit',
  { skip: spawnSync('systemd-analyze').error !== undefined && 'no systemd-analyze' },
  async t => {
    const sandbox = await Sandbox.make(t)
    const unit = exampleText('systemd/handfast.service').replaceAll(
      '/usr/bin/handfast',
      join(sandbox.folder, 'bin/handfast'),
    )
    const file = sandbox.write('handfast.service', unit)
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', file], {
      encoding: 'utf8',
    })
    t.equal(status, 0, stderr)
    t.notMatch(stderr, /handfast\.service/, stderr)
    t.match(unit, 'AmbientCapabilities=CAP_NET_BIND_SERVICE')
  },
)

/** The config file that is in the ConfigMap. */
function config() {
  const map = manifests.find(({ kind }) => kind === 'ConfigMap')
  return parse(map?.data?.['handfast.yaml'] ?? '')
}
