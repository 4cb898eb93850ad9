import t from 'tap'
import { load, sites } from '../fixtures/cli/config-file.ts'

t.test('an error names the place, the value and what was expected', async t => {
  const cases: [string, string][] = [
    ['', 'handfast.yaml: sites: expected a list, got nothing'],
    ['[]', ':1: (top level): expected a mapping, got a list'],
    ['sites: []', ':1: sites: expected at least one entry, got a list'],
    ['sites: [{}]', ':1: sites[0].cert: expected the path of a file, got nothing'],
    [
      `sites:\n  - cert: a.crt\n    key: a.key\n    backends: [http://x, ftp://y]`,
      ':4: sites[0].backends[1]: expected http://HOST[:PORT] or https://HOST[:PORT], got "ftp://y"',
    ],
    [
      `sites: [{cert: a.crt, key: a.key, backends: []}]`,
      ':1: sites[0].backends: expected at least one entry, got a list',
    ],
    [`${sites}listn: 8443`, ':2: listn: unknown key, did you mean listen?'],
    [
      `${sites}limits:\n  idelTimeout: 3`,
      ':3: limits.idelTimeout: unknown key, did you mean idleTimeout?',
    ],
    [
      `${sites}tls: {from: 3}`,
      ':2: tls.from: unknown key, expected one of minVersion, maxV',
    ],
    [`${sites}farm: {nam: x}`, ':2: farm.nam: unknown key, did you mean name?'],
    [
      'sites: [{certificate: x}]',
      ':1: sites[0].certificate: unknown key, did you mean cert?',
    ],
    [
      'sites: [{cert: a.crt, key: a.key, backend: ["http://x"]}]',
      ':1: sites[0].backend: unknown key, did you mean backends?',
    ],
    [
      sites.replace('cert', 'limits: {headersTimeout: 5s}, cert'),
      ':1: sites[0].limits.headersTimeout: unknown key, it stands in limits at the top level, for all sites',
    ],
    [
      sites.replace('cert', 'idleTimeout: 5s, cert'),
      'sites[0].idleTimeout: unknown key, it stands in limits at the top level',
    ],
    [
      sites.replace('cert', 'name: shop.test, cert'),
      'sites[0].name: unknown key, did you mean names?',
    ],
    [
      `${sites}limits: {trustedProxies: [10.0.0.1]}`,
      ':2: limits.trustedProxies: unknown key, it stands at the top level',
    ],
    [`${sites}backends: ["http://x"]`, ':2: backends: unknown key, it stands in sites[]'],
    [
      `${sites}listen: 99999`,
      ':2: listen: expected [HOST:]PORT (a port is at most 65535), got 99999',
    ],
    [`${sites}limits: 5`, ':2: limits: expected a mapping, got 5'],
    [
      `${sites}limits:\n  idleTimeout: 5 minutes`,
      ':3: limits.idleTimeout: expected milliseconds or a time such as 500ms, 30s, 1h, ' +
        'from 1ms, got "5 minutes"',
    ],
    [`${sites}limits: {bodyTimeout: -1}`, 'limits.bodyTimeout: expected milliseconds'],
    [`${sites}limits: {bodyTimeout: 30d}`, 'limits.bodyTimeout: expected milliseconds'],
    [
      `${sites}limits: {maxBodyBytes: 1MB}`,
      'limits.maxBodyBytes: expected bytes or a size',
    ],
    [`${sites}limits: {bodyTimeout: 0}`, '30s, 1h, from 1ms, got 0'],
    [
      `${sites}farm: {lookupBudget: 1h}`,
      ':2: farm.lookupBudget: expected milliseconds or a time such as 500ms, 30s, 1h, ' +
        'from 0 to 10s, got "1h"',
    ],
    [
      `${sites}farm: {mintLimit: -1}`,
      'farm.mintLimit: expected a whole number from 0, got -1',
    ],
    [
      `${sites}trustedProxies: [10.0.0.0/33]`,
      'trustedProxies[0]: expected an IP address',
    ],
    [`${sites}workers: 0`, 'workers: expected a whole number from 1, got 0'],
    [`${sites}logLevel: loud`, 'expected debug, info, warn, error or silent, got "loud"'],
    [`${sites}tls: {minVersion: TLSv1.1}`, 'expected TLSv1.2 or TLSv1.3, got "TLSv1.1"'],
    [
      `${sites}tls: {minVersion: TLSv1.3, maxVersion: TLSv1.2}`,
      'tls.maxVersion: expected a version not below minVersion',
    ],
    [
      `${sites}farm: {members: [a b]}`,
      'farm.members[0]: expected HOST[:PORT], got "a b"',
    ],
    [
      `${sites}farm: {members: ['10.0.0.1:70000']}`,
      'farm.members[0]: expected HOST[:PORT] (a port is at most 65535), got "10.0.0.1:70000"',
    ],
    [
      sites.replace('"http://127.0.0.1:3000"', '{url: "http://a/b"}'),
      'sites[0].backends[0].url: expected http://HOST[:PORT] or https://HOST[:PORT] (a path goes',
    ],
    [`${sites}farm: {members: 7}`, 'farm.members: expected a list, got 7'],
    [
      `${sites}farm: {sessionTimeout: 2h, lineageTimeout: 1h}`,
      'farm.lineageTimeout: expected at least sessionTimeout, got "1h"',
    ],
    [
      `${sites}farm: {advertise: a.test, listen: 0}`,
      'farm.listen: expected a port other than 0',
    ],
    [`${sites}farm: {listen: 7000}`, 'joining a farm needs its secret'],
    [
      `${sites}farm: {secretFile: none}`,
      'farm.secretFile: expected a readable file (ENOENT)',
    ],
    [
      `${sites}farm: {secretFile: short.secret}`,
      'farm.secretFile: expected a file with 32',
    ],
    [sites + sites, ':2: sites stands here twice'],
    ['sites: [', ':1: not valid YAML ('],
    ['a: *b', ':1: a value that begins with * must stand in quotes'],
    [
      sites.replace('a.crt', 'no.crt'),
      'sites[0].cert: expected a readable file (ENOENT)',
    ],
    [sites.replace('a.crt', 'text.pem'), 'sites[0].cert: expected a file in PEM form'],
    [
      sites.replace('a.crt', 'broken.pem'),
      'sites[0].cert: expected a file with a certifi',
    ],
    [
      sites.replace('a.key', 'other.key'),
      'the private key that belongs to the certificate',
    ],
    [sites.replace('a.key', 'locked.key'), 'a private key that is not encrypted'],
    [sites.replace('cert', 'clientCa: broken.pem, cert'), 'sites[0].clientCa: expected'],
    [
      sites.replace('cert', 'clientCertificate: required, cert'),
      'sites[0].clientCa: expected a file, because clientCertificate is required, got nothing',
    ],
    [
      `sites:\n${'  - {cert: a.crt, key: a.key, backends: ["http://x"]}\n'.repeat(2)}`,
      ':3: sites[1].names: expected names, because sites[0] serves all others, got nothing',
    ],
    [
      `sites:\n${'  - {names: [a.test], cert: a.crt, key: a.key, backends: ["http://x"]}\n'.repeat(2)}`,
      ':3: sites[1].names[0]: expected another name than those of sites[0], got "a.test"',
    ],
    [
      sites.replace('cert', 'names: ["a b"], cert'),
      'sites[0].names[0]: expected a host name, or *. and a host name, got "a b"',
    ],
  ]
  for (const [yaml, expected] of cases) {
    const error = await load(t, yaml).then(
      () => undefined,
      (error: Error) => error,
    )
    t.match(error, { code: 'ERR_HANDFAST_CONFIG', message: expected }, yaml)
    t.notMatch(error?.message, '\n', 'one line')
  }
})
