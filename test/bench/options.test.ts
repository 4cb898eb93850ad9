import t from 'tap'
import { benchmarks } from '../../bench/benchmarks.ts'
import { scenarioName } from '../../bench/handshake/scenario.ts'
import { parseOptions } from '../../bench/options.ts'
import { main } from '../../bench/run.ts'
import { systems } from '../../bench/systems/systems.ts'

t.test('names and options are told apart', async t => {
  const options = parseOptions([
    'handshakes',
    '--quick',
    'latency',
    ...['--json', 'a.json', '--rtt', '0,20,80', '--seed', '7', '--members', '5'],
  ])
  t.match(options, {
    names: ['handshakes', 'latency'],
    quick: true,
    json: 'a.json',
    html: undefined,
    rtts: [0, 20, 80],
    seed: 7,
    members: 5,
    showConfig: false,
  })
})

t.test('a bad option is one line and exit code 2', async t => {
  for (const args of [
    ['handshakes', '--rtt', '20,x'],
    ['handshakes', '--members', '0'],
    ['handshakes', '--seed', '-1'],
    ['handshakes', '--nothing'],
    ['no-such-benchmark'],
    ['resume-cross-1.3-p256-everything'],
  ]) {
    const lines = t.capture(process.stderr, 'write', () => true)
    t.equal(await main(args), 2, args.join(' '))
    const [text, ...more] = lines().map(({ args: [written] }) => String(written))
    t.match(text, /^bench: .*\n$/)
    t.same(more, [])
  }
})

t.test('every benchmark loads under its name and says what it is about', async t => {
  for (const [name, load] of Object.entries(benchmarks)) {
    const benchmark = await load()
    t.equal(benchmark.name, name)
    t.match(benchmark.about, /^\S.*[^.]$/)
  }
})

t.test('every mode has a system of ours and one to compare with', async t => {
  // Tickets of TLS 1.2 are for others: ours has session IDs there.
  for (const mode of ['1.2-id', '1.3-stateful', '1.3-stateless'] as const) {
    const able = systems
      .filter(({ modes }) => modes.includes(mode))
      .map(({ name }) => name)
    t.ok(
      able.some(name => name.startsWith('handfast')),
      mode,
    )
    t.ok(
      able.some(name => !name.startsWith('handfast')),
      mode,
    )
    const scenario = { visit: 'full', mode, identity: 'p256' } as const
    t.match(scenarioName(scenario), /^full-1\.[23]-p256-\w+$/)
  }
})
