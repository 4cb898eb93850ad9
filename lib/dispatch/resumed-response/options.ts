import { fillNumbers, type NumberRules } from '../../options/number-options.ts'

/** Going on with a response that broke off, at another backend. */
export interface ResumeOptions {
  /** Times that one response may be gone on with, count from 0; 0: never. Default 8. */
  readonly most: number
  /**
   * From when a response breaks off until its next byte is on the way, in milliseconds from 1.
   * Default 15 000: a backend that is restarted is back by then.
   */
  readonly timeout: number
}

/** Those that are not given are the usual ones. */
export type ResumeSettings = {
  readonly [name in keyof ResumeOptions]?: number | undefined
}

export const resumeRules: NumberRules<keyof ResumeOptions> = {
  most: { unit: 'count', usual: 8, least: 0, most: 1_000 },
  timeout: { unit: 'ms', usual: 15_000, least: 1, most: 3_600_000 },
}

/** Throws ERR_HANDFAST_CONFIG that names what is wrong. */
export function resolveResume(options: ResumeSettings = {}): ResumeOptions {
  return fillNumbers(resumeRules, options, { prefix: 'resumeResponses.', whole: true })
}
