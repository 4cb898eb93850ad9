import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { checkReport } from '../../bench/report/check-report.ts'
import { htmlReport } from '../../bench/report/html.ts'
import {
  type Measurement,
  type Report,
  reportVersion,
} from '../../bench/report/report.ts'
import { findProgram } from '../../bench/systems/program.ts'

t.test('a report follows its format', async t => {
  t.same(checkReport(sample()), [])
  t.same(checkReport(JSON.parse(JSON.stringify(sample()))), [], 'through JSON too')
})

t.test('what does not follow the format is named', async t => {
  t.same(checkReport(null), ['report is no object'])
  t.same(checkReport({ ...sample(), version: 99 }), [
    `report.version is not ${reportVersion}`,
  ])
  t.same(checkReport({ ...sample(), host: 'x' }), [
    'report.host is not part of the format',
  ])
  const { seed: _, ...without } = sample()
  t.same(checkReport(without), ['report.seed is missing'])
  const [benchmark] = sample().benchmarks
  t.same(checkReport({ ...sample(), benchmarks: [{ ...benchmark, notes: [1] }] }), [
    'report.benchmarks[0].notes[0] is no string',
  ])
  t.same(
    checkReport({ ...sample(), seconds: Number.NaN }),
    ['report.seconds is no number'],
    'JSON has no NaN: it would be read back as null',
  )
})

t.test('the HTML report asks nothing of any network and runs nothing', async t => {
  const html = htmlReport(sample())
  t.notMatch(html, /<script|<link|<img|<iframe|@import|url\(|javascript:/i)
  t.notMatch(html, /https?:\/\//)
  t.match(html, "default-src 'none'")
  for (const name of ['handshakes', 'resumption', 'latency', 'farm-size', 'table']) {
    t.match(html, `<h2>${name}</h2>`)
  }
  t.notMatch(html, /NaN|undefined|Infinity/)
  t.equal(html.split('<svg').length, html.split('</svg>').length)
})

const chromium = findProgram('chromium', 'chromium-browser', 'google-chrome')

t.test(
  'a browser draws the HTML report without a complaint',
  {
    skip: chromium.missing ?? false,
  },
  async t => {
    const folder = await mkdtemp(join(tmpdir(), 'handfast-report-'))
    t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
    const page = join(folder, 'report.html')
    const picture = join(folder, 'report.png')
    await writeFile(page, htmlReport(sample()))
    const { stderr } = await promisify(execFile)(
      chromium.path as string,
      [
        ...['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update'],
        ...['--disable-sync', `--user-data-dir=${join(folder, 'profile')}`],
        ...[
          '--enable-logging=stderr',
          `--screenshot=${picture}`,
          pathToFileURL(page).href,
        ],
      ],
      { timeout: 60_000 },
    )
    t.notMatch(
      stderr,
      /CONSOLE/,
      'nothing on the console, where a blocked request would show',
    )
    t.equal((await readFile(picture)).toString('latin1', 1, 4), 'PNG')
  },
)

t.test('text from outside is text in the HTML report', async t => {
  const report = sample()
  const hostile = '<img src=x onerror="alert(1)">&'
  const [first] = report.benchmarks
  const html = htmlReport({
    ...report,
    machine: { ...report.machine, cpu: hostile },
    benchmarks: [{ ...(first as (typeof report.benchmarks)[0]), notes: [hostile] }],
  })
  t.notMatch(html, '<img')
  t.match(html, '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;')
})

function sample(): Report {
  const names = ['handshakes', 'resumption', 'latency', 'farm-size', 'table']
  return {
    schema: 'handfast-bench',
    version: reportVersion,
    startedAt: '2026-01-02T03:04:05.678Z',
    seconds: 12,
    quick: true,
    seed: 1,
    machine: {
      cpu: 'a processor',
      cores: 2,
      memoryGiB: 8,
      system: 'Linux',
      node: 'v20',
      openssl: '3',
      loadBefore: 0.1,
    },
    calibration: { spread: 0.2, lost: 0, noisy: true },
    benchmarks: names.map(name => ({
      name,
      measurements: ['full', 'resume-same', 'resume-cross', 'chain'].map(measurement),
      comparisons: [
        {
          measure: 'serverCpu',
          of: 'a',
          to: 'b',
          ratio: 0.5,
          low: 0.4,
          high: 0.6,
          confidence: 0.9,
          verdict: 'less',
        },
      ],
      goals: [
        { text: 'a goal', limit: 1, value: 0.5, met: true },
        { text: 'another', limit: 1, value: 1, met: undefined },
      ].map(goal => JSON.parse(JSON.stringify(goal))),
      skipped: ['x: is not installed'],
      notes: ['a note'],
      failures: ['a failure'],
    })),
  }
}

function measurement(visit: string, index: number): Measurement {
  const value = index + 0.5
  const measure = { median: value, q1: value, q3: value + 0.1, rounds: 5, unit: 'ms' }
  return {
    scenario: `${visit}-1.3-p256-stateful`,
    system: 'handfast',
    parameters: { members: 3, rtt: 0 },
    measures: {
      serverCpu: measure,
      clientCpu: measure,
      bytesReceived: measure,
      p50: measure,
    },
    percentiles: Array.from({ length: 101 }, (_, percent) => percent / 10),
  }
}
