import type { WideFigures } from '../farm-wide.ts'
import type { Family } from './family.ts'

/**
 * A part of what a member tells of itself: a key of its status, some metrics, a panel of the
 * dashboard. Whoever serves on top of a member adds sections of its own.
 */
export interface Section<Value extends object = object> {
  /** Its key in the status. */
  readonly name: string
  /**
   * Of this process. Plain JSON, without secrets and names of users, and bounded whatever clients
   * do.
   */
  read(): Value
  /** Of a host: what its processes tell, and among it what this one does. */
  merge(all: readonly Value[], own: Value): Value
  /** What of it is in the metrics. */
  families(value: Value): readonly Family[]
  /** The few numbers of it that are summed over the farm. Default: none. */
  wide?(value: Value): WideFigures
}

/** The sections of one process, in the order in which they are told. */
export class Sections {
  readonly #sections: Section[] = []

  /** Throws when there is one of the name. */
  add<Value extends object>(section: Section<Value>): void {
    if (this.#sections.some(({ name }) => name === section.name))
      throw new Error(`there is a section ${section.name} already`)
    this.#sections.push(section as unknown as Section)
  }

  read(): Told {
    return Object.fromEntries(
      this.#sections.map(section => [section.name, section.read()]),
    )
  }

  /** `census`: what the processes of the host have told, this one too. */
  merge(census: readonly Told[], own: Told): Told {
    return Object.fromEntries(
      this.#sections.map(section => {
        const { name } = section
        // One that has only just come lacks some.
        const all = census.map(told => told[name]).filter(value => value !== undefined)
        return [name, section.merge(all, own[name] ?? section.read())]
      }),
    )
  }

  wide(told: Told): WideFigures {
    const all = this.#sections.map(section => {
      const value = told[section.name]
      return value === undefined ? {} : section.wide?.(value)
    })
    return Object.assign({}, ...all)
  }

  families(told: Told): Family[] {
    return this.#sections.flatMap(section => [
      ...section.families(told[section.name] ?? section.read()),
    ])
  }
}

/** Of each section by its name. */
export interface Told {
  readonly [section: string]: object
}
