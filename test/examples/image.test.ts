import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { root } from '../fixtures/docs/blocks.ts'
import { type Step, stagesOf, words } from '../fixtures/docs/dockerfile.ts'
import { Sandbox } from '../fixtures/docs/sandbox.ts'
import { isBuilt } from '../fixtures/process/cli-process.ts'

const stages = stagesOf(readFileSync(join(root, 'Dockerfile'), 'utf8'))
const image = stages.at(-1) ?? []

t.test('the image is not root and says whether it is well', async t => {
  t.match(value(image, 'USER'), /^node$/)
  t.equal(value(image, 'STOPSIGNAL'), 'SIGTERM')
  t.match(value(image, 'HEALTHCHECK'), '/healthz')
})

const skip = isBuilt ? false : 'the package is not built (npm run build)'

t.test(
  'the steps of the Dockerfile make a proxy that runs where nothing can be written',
  { skip },
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'handfast-image-'))
    t.teardown(() => {
      execFileSync('chmod', ['-R', 'u+w', folder])
      rmSync(folder, { recursive: true, force: true })
    })
    for (const stage of stages) take(stage, folder)
    const app = join(folder, value(image, 'WORKDIR'))
    // Without a container, a file system that is read-only: no bit to write by, and not root.
    execFileSync('chmod', ['-R', 'a-w,a+rX', app])
    chmodSync(folder, 0o755)

    const sandbox = await Sandbox.make(t)
    execFileSync('chmod', ['-R', 'a+rX', sandbox.folder])
    const user =
      process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : []
    const [node = '', main = ''] = words(value(image, 'ENTRYPOINT'))
    const args = [
      // What tap adds to each Node could not write where this one may not.
      ...['-u', 'NODE_OPTIONS'],
      ...user,
      node,
      main.replace(/^\/app/, app),
      ...['proxy', '--listen', `127.0.0.1:${sandbox.port(8443)}`],
      ...['--admin', String(sandbox.port(9443)), '--workers', '1'],
      ...['--cert', sandbox.provide('certs/localhost.crt')],
      ...['--key', sandbox.provide('certs/localhost.key')],
      ...['--backend', `http://127.0.0.1:${sandbox.port(3000)}`],
    ]
    chmodSync(join(sandbox.folder, 'certs/localhost.key'), 0o644)
    const proxy = sandbox.start(t, 'env', args)
    await proxy.says(/^handfast proxy: https:/m)
    const [check = '', ...more] = words(value(image, 'HEALTHCHECK'))
    const asked = more.map(word => word.replace(':9443', `:${sandbox.port(9443)}`))
    t.equal(spawnSync(check, asked).status, 0, 'it says that it is well')
    proxy.signal('SIGTERM')
    t.equal(await proxy.ended(), 0, proxy.output)
    t.not(spawnSync(check, asked).status, 0, 'and then that it is not')
  },
)

/** Does what a stage says in a folder that stands for the root of its file system. */
function take(stage: readonly Step[], folder: string): void {
  let at = folder
  for (const { word, rest } of stage) {
    if (word === 'WORKDIR') {
      at = join(folder, rest)
      mkdirSync(at, { recursive: true })
    } else if (word === 'COPY') {
      const paths = rest.split(' ').filter(path => !path.startsWith('--from='))
      const from = rest.includes('--from=') ? folder : root
      const to = paths.pop() ?? ''
      for (const path of paths) {
        const target = to.endsWith('/') ? join(at, to, path) : join(at, to)
        cpSync(join(from, path), target, { recursive: true })
      }
    } else if (word === 'RUN') run(rest, at)
  }
}

/**
 * What the steps make that ask the registry, or take long, is here already: the packages, and the
 * build. All else is run as it stands.
 */
function run(command: string, cwd: string): void {
  if (command.startsWith('npm ci')) {
    if (!command.includes('--omit=dev')) return
    const listed = execFileSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], {
      cwd: root,
      encoding: 'utf8',
    })
    for (const path of listed.trim().split('\n').slice(1)) {
      const target = join(cwd, relative(root, path))
      mkdirSync(dirname(target), { recursive: true })
      if (!existsSync(target)) symlinkSync(path, target)
    }
  } else if (command === 'npx tsc -p .') {
    for (const room of ['lib', 'plugins']) {
      const built = join('dist', room)
      cpSync(join(root, built), join(cwd, built), { recursive: true })
    }
  } else {
    execFileSync('sh', ['-ec', command], { cwd, stdio: 'pipe' })
  }
}

function value(stage: readonly Step[], word: string): string {
  return stage.find(step => step.word === word)?.rest ?? ''
}
