import { resumeRules } from '../../dispatch/resumed-response/options.ts'
import type { HandlingConfig } from './config-file.ts'
import { numbersOf } from './numbers.ts'
import { mapping, type Schema } from './option.ts'

/** What becomes of a response that its backend breaks off. */
export const resumeResponses: Schema<HandlingConfig['resumeResponses']> = mapping(
  'a response that its backend breaks off goes on at another',
  numbersOf(resumeRules, {
    most: 'times for one response; 0: never, it breaks off for the client too',
    timeout: 'from where it broke off until it goes on',
  }),
).optional()
