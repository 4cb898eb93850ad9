import {
  type IntervalHistogram,
  monitorEventLoopDelay,
  PerformanceObserver,
} from 'node:perf_hooks'
import type { Clock, Timer } from '../../clock.ts'
import { counter, gauge } from './family.ts'
import type { Section } from './section.ts'
import { sum } from './sum.ts'

/** Of the processes of a host together; of the loop's lag the worst. */
export interface ProcessFigures {
  /** Seconds since the start of the process. */
  readonly cpuSeconds: { readonly user: number; readonly system: number }
  readonly residentBytes: number
  readonly heapBytes: number
  /** Seconds by which the event loop is behind, in the last ten or twenty. */
  readonly loopLag: { readonly mean: number; readonly p99: number; readonly max: number }
  /** Since the first look at it. */
  readonly gc: { readonly runs: number; readonly seconds: number }
  /** Seconds; of the oldest process. */
  readonly uptime: number
}

/** Nanoseconds to the second. */
const nano = 1e9
/** How often the lag is taken, ms. The histogram has the whole interval, not just the lag. */
const resolution = 20
/** Of a window of the lag, ms. */
const window = 10_000

/** What this process costs. It observes from the first look on: whom nobody asks pays nothing. */
export class ProcessMeter {
  readonly #clock: Clock
  #delay: IntervalHistogram | undefined
  #observer: PerformanceObserver | undefined
  #timer: Timer | undefined
  #before = { mean: 0, p99: 0, max: 0 }
  #gcRuns = 0
  #gcSeconds = 0
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  read(): ProcessFigures {
    this.#observe()
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed } = process.memoryUsage()
    return {
      cpuSeconds: { user: user / 1e6, system: system / 1e6 },
      residentBytes: rss,
      heapBytes: heapUsed,
      loopLag: worst([this.#before, lagOf(this.#delay)]),
      gc: { runs: this.#gcRuns, seconds: this.#gcSeconds },
      uptime: process.uptime(),
    }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#delay?.disable()
    this.#observer?.disconnect()
  }

  #observe(): void {
    if (this.#delay !== undefined || this.#closed) return
    this.#delay = monitorEventLoopDelay({ resolution })
    this.#delay.enable()
    this.#observer = new PerformanceObserver(list => {
      for (const { duration } of list.getEntries()) {
        this.#gcRuns += 1
        this.#gcSeconds += duration / 1_000
      }
    })
    this.#observer.observe({ entryTypes: ['gc'] })
    this.#turn()
  }

  #turn(): void {
    this.#timer = this.#clock.after(window, () => {
      this.#before = lagOf(this.#delay)
      this.#delay?.reset()
      if (!this.#closed) this.#turn()
    })
  }
}

export function processSection(meter: ProcessMeter): Section<ProcessFigures> {
  return {
    name: 'process',
    read: () => meter.read(),
    merge: all => ({
      ...sum(all),
      loopLag: worst(all.map(({ loopLag }) => loopLag)),
      uptime: Math.max(0, ...all.map(({ uptime }) => uptime)),
    }),
    wide: ({ cpuSeconds, residentBytes }) => ({
      process: { cpuSeconds: cpuSeconds.user + cpuSeconds.system, residentBytes },
    }),
    families: ({ cpuSeconds, residentBytes, heapBytes, loopLag, gc, uptime }) => [
      counter('handfast_process_cpu_seconds_total', 'CPU time since start, by mode', [
        { labels: { mode: 'user' }, value: cpuSeconds.user },
        { labels: { mode: 'system' }, value: cpuSeconds.system },
      ]),
      gauge('handfast_process_resident_memory_bytes', 'Resident memory', [
        { value: residentBytes },
      ]),
      gauge('handfast_process_heap_bytes', 'JavaScript heap in use', [
        { value: heapBytes },
      ]),
      gauge(
        'handfast_event_loop_lag_seconds',
        'How late the event loop is, of the worst process, in the last seconds',
        [
          { labels: { of: 'mean' }, value: loopLag.mean },
          { labels: { of: 'p99' }, value: loopLag.p99 },
          { labels: { of: 'max' }, value: loopLag.max },
        ],
      ),
      counter('handfast_gc_runs_total', 'Garbage collections since the first look', [
        { value: gc.runs },
      ]),
      counter('handfast_gc_seconds_total', 'Time in garbage collection since then', [
        { value: gc.seconds },
      ]),
      gauge('handfast_uptime_seconds', 'Since the oldest process was started', [
        { value: uptime },
      ]),
    ],
  }
}

function lagOf(delay: IntervalHistogram | undefined): ProcessFigures['loopLag'] {
  if (delay === undefined || delay.count === 0) return { mean: 0, p99: 0, max: 0 }
  const seconds = (time: number) => Math.max(0, time / nano - resolution / 1_000)
  return {
    mean: seconds(delay.mean),
    p99: seconds(delay.percentile(99)),
    max: seconds(delay.max),
  }
}

function worst(lags: readonly ProcessFigures['loopLag'][]): ProcessFigures['loopLag'] {
  const most = (name: 'mean' | 'p99' | 'max') =>
    Math.max(0, ...lags.map(lag => lag[name]))
  return { mean: most('mean'), p99: most('p99'), max: most('max') }
}
