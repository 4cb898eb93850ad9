import { machineLine } from '../harness/machine.ts'
import { spread } from '../harness/statistics.ts'
import { plotStyle } from './plot-style.ts'
import { plotsOf } from './plots.ts'
import type { BenchmarkResult, Comparison, Goal, Measurement, Report } from './report.ts'
import { element, escapeText, shortNumber } from './svg.ts'

/**
 * The whole report in one file that asks nothing of any network: no script, no font, no image.
 * The policy in its head says so to the browser, too.
 */
export function htmlReport(report: Report): string {
  const head = [
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`,
    '<title>handfast benchmark</title>',
    `<style>${style}</style>`,
  ].join('\n')
  const body = [
    element('h1', {}, 'handfast benchmark'),
    summary(report),
    ...report.benchmarks.map(section),
  ].join('\n')
  return `<!doctype html>\n<html lang="en">\n<head>\n${head}\n</head>\n<body>\n${body}\n</body>\n</html>\n`
}

function summary({
  startedAt,
  seconds,
  quick,
  seed,
  machine,
  calibration,
}: Report): string {
  const lines = [
    `${startedAt.slice(0, 16).replace('T', ' ')} UTC, ${seconds} s, seed ${seed}` +
      (quick ? ', quick run' : ''),
    machineLine(machine),
  ]
  const quiet = calibration.noisy
    ? element(
        'p',
        { class: 'warning' },
        'The machine was not quiet: a fixed piece of work varied by ' +
          `${percent(calibration.spread)} and lost ${percent(calibration.lost)} of its time ` +
          'to others. Ratios hold better than figures.',
      )
    : element('p', {}, 'The machine was quiet enough.')
  const legend = ['full', 'resume-same', 'resume-cross', 'chain'].map(
    (name, colour) =>
      `<span class="key"><svg viewBox="0 0 12 12"><rect width="12" height="12" class="fill${colour}"/></svg> ${name}</span>`,
  )
  return [
    ...lines.map(line => element('p', {}, escapeText(line))),
    quiet,
    element('p', {}, ...legend),
    element(
      'p',
      { class: 'small' },
      'full: no session offered. resume-same: offered to the proxy that gave it. ' +
        'resume-cross: to another proxy of the farm. chain: each ticket used once, random ' +
        'proxies. Bars are medians over interleaved rounds; whiskers span the middle half.',
    ),
  ].join('\n')
}

function section(result: BenchmarkResult): string {
  const { name, goals, comparisons, measurements, failures, skipped, notes } = result
  const remarks = [
    ...failures.map(line => ['failed', line] as const),
    ...skipped.map(line => ['skipped', line] as const),
    ...notes.map(line => ['note', line] as const),
  ]
  return element(
    'section',
    {},
    element('h2', {}, escapeText(name)),
    goals.length === 0 ? '' : goalTable(goals),
    ...plotsOf(result),
    details('All figures', measurementTable(measurements)),
    comparisons.length === 0 ? '' : details('Ratios', comparisonTable(comparisons)),
    remarks.length === 0
      ? ''
      : element(
          'ul',
          {},
          ...remarks.map(([kind, line]) =>
            element('li', { class: kind }, escapeText(`${kind}: ${line}`)),
          ),
        ),
  )
}

function goalTable(goals: readonly Goal[]): string {
  return table(
    ['goal', 'value', 'limit', ''],
    goals.map(({ text, value, limit, met }) => [
      text,
      value.toFixed(2),
      String(limit),
      met === undefined ? 'too noisy to tell' : met ? 'met' : 'missed',
    ]),
  )
}

function measurementTable(measurements: readonly Measurement[]): string {
  const parameters = [
    ...new Set(measurements.flatMap(row => Object.keys(row.parameters))),
  ]
  const measures = [...new Set(measurements.flatMap(row => Object.keys(row.measures)))]
  const unitOf = (name: string): string =>
    measurements.find(row => row.measures[name])?.measures[name]?.unit ?? ''
  return table(
    [
      'scenario',
      'system',
      ...parameters,
      ...measures.map(name => `${name} ${unitOf(name)}`),
    ],
    measurements.map(row => [
      row.scenario,
      row.system,
      ...parameters.map(name => String(row.parameters[name] ?? '')),
      ...measures.map(name => {
        const measure = row.measures[name]
        if (measure === undefined) return '–'
        const varied = spread(measure)
        const wide = varied > 0.005 ? ` ±${percent(varied)}` : ''
        return `${shortNumber(measure.median)}${wide}`
      }),
    ]),
  )
}

function comparisonTable(comparisons: readonly Comparison[]): string {
  return table(
    ['measure', 'of', 'to', 'ratio', 'interval', 'verdict'],
    comparisons.map(({ measure, of, to, ratio, low, high, verdict }) => [
      measure,
      of,
      to,
      ratio.toFixed(3),
      `${low.toFixed(3)} – ${high.toFixed(3)}`,
      verdict === 'noisy' ? 'too noisy to tell' : verdict,
    ]),
  )
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (kind: string, row: readonly string[]): string =>
    element('tr', {}, ...row.map(text => element(kind, {}, escapeText(text))))
  return element(
    'div',
    { class: 'scroll' },
    element('table', {}, cells('th', columns), ...rows.map(row => cells('td', row))),
  )
}

function details(title: string, content: string): string {
  return element('details', {}, element('summary', {}, title), content)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

const style = `
${plotStyle}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem;
  border-top: 1px solid var(--rule); padding-top: 1.2rem; }
p { margin: .3rem 0; } .small { color: var(--dim); font-size: .87rem; }
.warning { border-left: 4px solid var(--c3); padding-left: .7rem; } .failed { font-weight: 600; }
.key { margin-right: 1.2rem; white-space: nowrap; } .key svg { width: .8em; height: .8em; }
figure { margin: 1.4rem 0; } figcaption { font-weight: 600; margin-bottom: .4rem; }
figure svg { width: 100%; height: auto; display: block; overflow: visible; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; margin: .6rem 0; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--rule);
  white-space: nowrap; } th { color: var(--dim); font-weight: 600; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--dim); }
ul { padding-left: 1.2rem; font-size: .87rem; }
`
