import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HandfastError } from '../lib/errors.ts'
import type { Benchmark, BenchmarkContext, BenchmarkOutcome } from './benchmark.ts'
import { benchmarks } from './benchmarks.ts'
import { allScenarios, scenarioName } from './handshake/scenario.ts'
import { Calibration } from './harness/calibration.ts'
import { describeMachine, machineLine } from './harness/machine.ts'
import { Progress } from './harness/progress.ts'
import { formatTable } from './harness/text-table.ts'
import { type BenchOptions, parseOptions } from './options.ts'
import { htmlReport } from './report/html.ts'
import { svgFile } from './report/plot-style.ts'
import { plotsOf } from './report/plots.ts'
import { type Report, reportVersion } from './report/report.ts'
import { scenarioBenchmark } from './resumption.ts'

const usage = `Usage: npm run bench -- NAME... [options]

NAME is a scenario, such as resume-cross-1.3-p256-stateful, a benchmark, or all.
Scenarios that are named together share their rounds.

`

const optionHelp = `
Options
  --quick          fewer rounds and fewer systems
  --json FILE      write the figures
  --html FILE      write a report with plots, in one file
  --svg FOLDER     write each plot as a file there
  --rtt LIST       add these round-trip times in ms, such as 0,20,80
  --members N      proxies in a farm (default 3)
  --seed N         repeat a run's order and choices
  --show-config    print what the other servers are configured with
`

/** Answers the exit code: 1 when something that must resume did not, 2 for bad arguments. */
export async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions
  let chosen: Benchmark[]
  try {
    options = parseOptions(args)
    if (options.help || options.names.length === 0) {
      process.stdout.write(await helpText())
      return 0
    }
    chosen = await choose(options.names)
  } catch (error) {
    if (!(error instanceof HandfastError)) throw error
    process.stderr.write(`bench: ${error.message}\n`)
    return 2
  }
  return await runAll(chosen, options)
}

async function helpText(): Promise<string> {
  const loaded = await Promise.all(Object.values(benchmarks).map(load => load()))
  const width = Math.max(...loaded.map(({ name }) => name.length))
  const lines = loaded.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`)
  return `${usage}${lines.join('\n')}\n${optionHelp}`
}

async function choose(names: readonly string[]): Promise<Benchmark[]> {
  if (names.includes('all')) {
    return await Promise.all(Object.values(benchmarks).map(load => load()))
  }
  const wanted = names.filter(name => !Object.hasOwn(benchmarks, name))
  const named = allScenarios().filter(one => wanted.includes(scenarioName(one)))
  for (const name of wanted) {
    if (named.some(one => scenarioName(one) === name)) continue
    throw new HandfastError(
      'ERR_HANDFAST_CONFIG',
      `there is no benchmark ${name}; there are ${Object.keys(benchmarks).join(', ')}, all`,
    )
  }
  const chosen = Object.entries(benchmarks).filter(([name]) => names.includes(name))
  const loaded = await Promise.all(chosen.map(([, load]) => load()))
  // Scenarios share their rounds, so that they can be compared.
  return named.length === 0 ? loaded : [...loaded, scenarioBenchmark('scenarios', named)]
}

async function runAll(
  chosen: readonly Benchmark[],
  options: BenchOptions,
): Promise<number> {
  const machine = describeMachine()
  const began = Date.now()
  const progress = new Progress(process.stderr)
  const calibration = new Calibration()
  const print = (line: string): void => {
    progress.clear()
    process.stdout.write(`${line}\n`)
  }
  const folder = await mkdtemp(join(tmpdir(), 'handfast-bench-'))
  // Through 'exit', where every child is ended, and the programs of others with them.
  const stop = (code: number) => () => process.exit(code)
  const tidy = (): void => rmSync(folder, { recursive: true, force: true })
  const [onInterrupt, onTerminate] = [stop(130), stop(143)]
  process.once('SIGINT', onInterrupt).once('SIGTERM', onTerminate).once('exit', tidy)
  const context: BenchmarkContext = { ...options, folder, progress, calibration, print }
  const outcomes: BenchmarkOutcome[] = []
  print(machineLine(machine))
  print(`seed ${options.seed}\n`)
  try {
    for (const benchmark of chosen) {
      const outcome = await benchmark.run(context)
      outcomes.push(outcome)
      progress.clear()
      printOutcome(outcome, print)
    }
  } finally {
    progress.clear()
    tidy()
    process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate).off('exit', tidy)
  }
  const report: Report = {
    schema: 'handfast-bench',
    version: reportVersion,
    startedAt: new Date(began).toISOString(),
    seconds: Math.round((Date.now() - began) / 1000),
    quick: options.quick,
    seed: options.seed,
    machine,
    calibration: calibration.verdict,
    benchmarks: outcomes.map(({ result }) => result),
  }
  if (report.calibration.noisy) {
    const { spread, lost } = report.calibration
    print(
      `The machine was not quiet: a fixed piece of work varied by ${percent(spread)} and ` +
        `lost ${percent(lost)} of its time to others. Ratios hold better than figures.`,
    )
  }
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(report, null, 1)}\n`)
  }
  if (options.html !== undefined) await writeFile(options.html, htmlReport(report))
  if (options.svg !== undefined) await writePlots(options.svg, report)
  print(`${report.seconds} s`)
  return outcomes.some(({ result }) => result.failures.length > 0) ? 1 : 0
}

/** `FOLDER/scale-1.svg` and so on. */
async function writePlots(folder: string, { benchmarks }: Report): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const result of benchmarks) {
    for (const [at, plot] of plotsOf(result).entries())
      await writeFile(join(folder, `${result.name}-${at + 1}.svg`), svgFile(plot))
  }
}

function printOutcome(
  { result, tables }: BenchmarkOutcome,
  print: (line: string) => void,
): void {
  for (const table of tables) print(formatTable(table))
  for (const { text, limit, value, met } of result.goals) {
    const word = met === undefined ? 'too noisy to tell' : met ? 'met' : 'missed'
    print(`goal: ${text}: ${value.toFixed(3)}, limit ${limit}: ${word}`)
  }
  for (const line of result.skipped) print(`skipped: ${line}`)
  for (const line of result.notes) print(`note: ${line}`)
  for (const line of result.failures) print(`FAILED: ${line}`)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
