import { createServer } from 'node:https'
import fastify from 'fastify'
import httpProxy from 'http-proxy'
import t from 'tap'
import { HandfastError } from '../lib/errors.ts'
import { generateSecret } from '../lib/farm/secret.ts'
import { createFarm } from '../lib/member/create-farm.ts'
import { expressAllow, expressAuth, expressLogout } from '../plugins/express.ts'
import { fastifyAuth } from '../plugins/fastify.ts'
import { attachHttpProxy } from '../plugins/http-proxy.ts'

const secret = generateSecret()

/** The message of what is thrown, as JavaScript may call it: nothing is checked before. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call()
  } catch (error) {
    return error instanceof HandfastError ? error.message : `not ours: ${error}`
  }
  return 'nothing'
}

t.test(
  'createFarm refuses what it does not know, and what is of another form',
  async t => {
    for (const [options, message] of [
      [{ secrt: secret }, 'createFarm: unknown option secrt, did you mean secret?'],
      [
        { sessiontimeout: 1 },
        'createFarm: unknown option sessiontimeout, did you mean session',
      ],
      [{ member: [] }, 'createFarm: unknown option member, did you mean members?'],
      [{ x: 1 }, 'createFarm: unknown option x, expected one of name, secret, members,'],
      [{ listen: { prt: 1 } }, 'unknown option listen.prt, did you mean port?'],
      [{ listen: 7443 }, 'createFarm: listen must be { host, port }, got 7443'],
      [{ listen: [1] }, 'createFarm: listen must be { host, port }, got a list'],
      [{ listen: { port: 1, host: 1 } }, 'createFarm: listen.host must be a text, got 1'],
      [{ members: '10.0.0.1' }, "createFarm: members must be a list of 'host:port', got"],
      [{ members: [1] }, "createFarm: members must be a list of 'host:port', got a list"],
      [{ secret: 7 }, 'createFarm: secret must be a text or a Buffer, got (hidden)'],
      [{ log: console.log }, 'createFarm: log must be a log such as createLog() or pino'],
      [{ name: 5 }, 'createFarm: name must be a text, got 5'],
      ['secret', 'createFarm takes options, got "secret"'],
      [null, 'createFarm takes options, got nothing'],
      [{ [secret]: 1 }, 'createFarm: unknown option hidden, expected'],
      [{ __proto__: null, constructor: 1 }, 'createFarm: unknown option constructor'],
    ] as const) {
      const text = await refusal(() => createFarm(options as never))
      t.match(text, message, JSON.stringify(options))
      t.notMatch(text, secret)
    }
    const farm = await createFarm({ name: undefined, listen: undefined })
    t.equal(await refusal(() => farm.close()), 'nothing', 'undefined is nothing said')
  },
)

t.test('attach and auth do, too', async t => {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const server = createServer()
  for (const [options, message] of [
    [{ resumtion: 'off' }, 'attach: unknown option resumtion, did you mean resumption?'],
    [{ policy: () => 'x' }, 'attach: unknown option policy, did you mean policyOf?'],
    [{ policyOf: 'x' }, 'attach: policyOf must be a function, got "x"'],
    [{ resumption: true }, 'attach: resumption must be a text or a function, got true'],
  ] as const) {
    t.match(await refusal(() => farm.attach(server, options as never)), message)
  }
  farm.attach(server, { resumption: 'off' })

  const verify = () => undefined
  for (const [options, message] of [
    [{ basc: verify }, 'auth: unknown option basc, did you mean basic?'],
    [
      { basic: { verfy: verify } },
      'auth: unknown option basic.verfy, did you mean verify?',
    ],
    [
      { basic: 'users' },
      'auth: basic must be a function or { verify, htpasswd }, got "us',
    ],
    [{ basic: verify, ttL: 5 }, 'auth: unknown option ttL, did you mean ttl?'],
    [{ basic: verify, sign: true }, 'auth: unknown option sign, expected one of realm'],
    [{ basic: verify, required: 'no' }, 'auth: required must be true or false, got "no"'],
    [{ certificate: 'cn' }, 'auth: certificate must be true or { subject }, got "cn"'],
    [
      { certificate: { subjct: 'cn' } },
      'option certificate.subjct, did you mean subject?',
    ],
    [{ forward: { uri: 'http://a' } }, 'option forward.uri, did you mean url?'],
    [
      { bearer: { secret: 7 } },
      'auth: bearer.secret must be a text or a Buffer, got (hid',
    ],
    [
      { basic: verify, attempts: { peruser: 1 } },
      'attempts.peruser, did you mean perUser?',
    ],
    [{ form: { path: 5 } }, 'auth: form.path must be a text, got 5'],
    [{}, 'auth: at least one of basic'],
    [undefined, 'auth takes options, got nothing'],
  ] as const) {
    t.match(await refusal(() => farm.auth(options as never)), message)
  }
})

t.test('a plugin says what it was to be given', async t => {
  const farm = await createFarm()
  t.teardown(() => farm.close())
  const middleware = farm.auth({ basic: () => undefined })
  const takes = (call: string) => `${call} takes the auth of a middleware: farm.auth(opt`
  t.match(await refusal(() => expressAuth(middleware as never)), takes('expressAuth'))
  t.match(await refusal(() => expressLogout(middleware as never)), takes('expressLogout'))
  t.match(
    await refusal(() => expressAllow('ann' as never)),
    'expressAllow takes a function',
  )
  const register = async (options: object) => {
    const app = fastify()
    await app.register(fastifyAuth, options as never)
    await app.ready()
    await app.close()
  }
  t.match(await refusal(() => register({ auth: middleware })), takes('fastifyAuth'))
  t.match(
    await refusal(() => register({ auht: middleware.auth })),
    'fastifyAuth: unknown option auht, did you mean auth?',
  )
  t.equal(
    await refusal(() => register({ auth: middleware.auth, prefix: '/x' })),
    'nothing',
  )
  const proxy = httpProxy.createProxyServer({})
  for (const [args, message] of [
    [[proxy, farm], 'attachHttpProxy: the first argument is no farm'],
    [[farm, createServer], 'attachHttpProxy: the second argument is no proxy'],
  ] as const) {
    t.match(
      await refusal(() => attachHttpProxy(...(args as unknown as [never, never]))),
      message,
    )
  }
})
