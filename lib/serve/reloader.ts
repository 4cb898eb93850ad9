import type { Log } from '../log.ts'
import { needsRestart, reloadable, type ServeSettings } from './settings.ts'

export interface ReloaderOptions {
  readonly settings: ServeSettings
  load(): Promise<ServeSettings>
  /** Brings new settings into service; a throw leaves the old ones there. */
  apply(settings: ServeSettings): void
  readonly log: Log
}

/**
 * Reads the settings again when asked, one reading at a time. New ones that are wrong are
 * refused with a line in the log: whatever the file says, what is served stays whole.
 */
export class Reloader {
  readonly #options: ReloaderOptions
  #settings: ServeSettings
  #running: Promise<void> | undefined
  #again = false

  constructor(options: ReloaderOptions) {
    this.#options = options
    this.#settings = options.settings
  }

  /** The settings in service. */
  get settings(): ServeSettings {
    return this.#settings
  }

  /** Resolves when nothing is left to read; never rejects. */
  request(): Promise<void> {
    this.#again = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #run(): Promise<void> {
    const { load, apply, log } = this.#options
    while (this.#again) {
      this.#again = false
      try {
        const fresh = await load()
        apply(fresh)
        if (needsRestart(this.#settings, fresh)) {
          log.warn({}, 'ports, the farm and the like change at the next start')
        }
        for (const warning of fresh.warnings) log.warn({}, warning)
        // What stands until the next start is kept, so that each reload says so again.
        this.#settings = { ...this.#settings, ...reloadable(fresh) }
        log.info({ sites: fresh.sites.length }, 'reloaded config and certificates')
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        log.error({ reason }, 'reload refused: the old config stays')
      }
    }
  }
}
