import t from 'tap'
import { main } from '../../lib/cli/main.ts'
import { generateSecret } from '../../lib/farm/secret.ts'
import { fakeIo } from '../fixtures/cli/io.ts'
import { freePort } from '../fixtures/free-port.ts'
import { CliProcess } from '../fixtures/process/cli-process.ts'
import { localhostPair } from '../fixtures/tls/localhost-files.ts'

for (const workers of [1, 2]) {
  t.test(`${workers} workers reload and drain when they are asked to`, async t => {
    const { key, cert } = await localhostPair()
    const admin = await freePort()
    const secret = generateSecret()
    const cwd = t.testdir({
      'a.crt': cert,
      'a.key': key,
      secret,
      other: generateSecret(),
      'handfast.yaml':
        `listen: 127.0.0.1:0\nworkers: ${workers}\nadmin: { listen: ${admin} }\n` +
        'farm: { secretFile: secret }\nlimits: { shutdownDelay: 3s }\n' +
        'sites: [{cert: a.crt, key: a.key, backends: ["http://127.0.0.1:9"]}]\n',
    })
    const proxy = new CliProcess(t, ['proxy', '--config', 'handfast.yaml'], { cwd })
    await proxy.port()
    const ask = async (...args: string[]) => {
      const io = fakeIo(cwd)
      const code = await main([...args, '--admin', String(admin)], io)
      return { code, out: io.stdout.text, err: io.stderr.text }
    }
    const own = ['--secret-file', 'secret']
    t.match(await ask('reload', ...own), { code: 0, out: /^asked/ })
    await proxy.until(() => proxy.log.some(({ msg }) => /^reloaded/.test(`${msg}`)))

    const refused = await ask('drain', '--secret-file', 'other')
    t.match(refused, { code: 1, err: /refused: a bearer token/ })
    t.notOk(proxy.log.some(({ msg }) => msg === 'draining'))

    // Twice, and a signal on top: it is no less orderly for that.
    t.match(await ask('drain', ...own), { code: 0, out: /^asked/ })
    await ask('drain', ...own)
    proxy.signal('SIGTERM')
    t.equal(await proxy.exit, 0)
    t.match(await ask('reload', ...own), { code: 3, err: /can't reach/ })
  })
}
