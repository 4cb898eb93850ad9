import { checkRules, statusRule } from '../../backend/health/check-options.ts'
import { ejectRules, panicRule } from '../../backend/health/options.ts'
import { hedgeRules } from '../../dispatch/hedge/options.ts'
import { resumeRules } from '../../dispatch/resumed-response/options.ts'
import { retryRules } from '../../dispatch/retry/options.ts'
import type { HandlingConfig } from './config-file.ts'
import { host, oneOf, text, yesNo } from './kinds.ts'
import { numbersOf } from './numbers.ts'
import { either, mapping, needed, option, type Schema } from './option.ts'

/** What becomes of a response that its backend breaks off. */
export const resumeResponses: Schema<HandlingConfig['resumeResponses']> = mapping(
  'a response that its backend breaks off goes on at another',
  numbersOf(resumeRules, {
    most: 'times for one response; 0: never, it breaks off for the client too',
    timeout: 'from where it broke off until it goes on',
  }),
).optional()

/** When a request is sent once more. */
export const retries: Schema<HandlingConfig['retries']> = mapping(
  'when a request is sent once more, if that does no harm (RFC 9110 9.2.2)',
  {
    ...numbersOf(retryRules, {
      most: 'times after it was sent; 0: never',
      budget: 'percent of the requests of the last 10 s that may be sent again',
      budgetFrom: 'of the last 10 s that may be sent again in any case',
      bodyBytes: 'longest body that is kept to be sent again',
      timeout: {
        about: 'from then on nothing is sent again',
        otherwise: 'no such limit',
      },
    }),
    badAnswers: option(yesNo, 'answers 502, 503 and 504 are asked for elsewhere', {
      usual: false,
    }),
    serverErrors: option(yesNo, 'so are answers 500', { usual: false }),
  },
).optional()

/** When a second backend is asked beside the first. */
export const hedging: Schema<HandlingConfig['hedging']> = either(
  oneOf(['off']),
  mapping(
    'a second backend is asked when the first is slow to answer GET, HEAD or OPTIONS; the first ' +
      'answer counts; not with affinity',
    numbersOf(hedgeRules, {
      delay: { about: 'after so long without an answer', otherwise: 'none' },
      percentile: {
        about:
          'after as long as so many percent of the last 1000 answers took, delay at least',
        otherwise: 'none',
      },
    }),
  ),
).optional()

/** When a backend is passed over. */
export const health: Schema<HandlingConfig['health']> = mapping(
  'when a backend is passed over',
  {
    check: mapping('a request that tells whether a backend is well', {
      path: needed(text, 'what is asked for; best what exercises the whole stack'),
      method: option(text, 'how', { usual: 'GET' }),
      host: option(host, 'in the Host field', { otherwise: 'that of the backend' }),
      ...numbersOf(statusRule, {
        status: { about: 'that the answer must have', otherwise: 'any from 200 to 299' },
      }),
      contains: option(text, 'text in its body, within the first 64 KiB'),
      matches: option(text, 'regular expression that its body must match'),
      beforeUse: option(yesNo, 'a new one is not used before a check found it well', {
        usual: false,
      }),
      ...numbersOf(checkRules, {
        interval: 'from one check to the next',
        jitter: 'percent that it may differ by, at random',
        timeout: 'longest wait for the whole answer',
        rise: 'checks in a row that must go well until one that was down is used',
        fall: 'checks in a row that must fail until it is not used',
      }),
    }).optional(),
    eject: mapping('for what requests to it came to', {
      ...numbersOf(ejectRules, {
        errors:
          'requests in a row without answer; one that refuses connections gets none',
        badAnswers: 'answers 502, 503 or 504 in a row; 0: however many',
        rate: 'percent of both within window; 0: however many',
        rateFrom: 'requests within window without which a rate says nothing',
        window: 'see rate',
        time: 'for so long at first; it doubles when the backend fails again',
        longestTime: 'for no longer than that',
      }),
    }).optional(),
    ...numbersOf(panicRule, {
      panic:
        'percent of the backends: when fewer are well, those are used too that are not, as ' +
        'long as they can be reached; 0: only when none is left',
    }),
  },
).optional()
