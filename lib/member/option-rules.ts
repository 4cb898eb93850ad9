import {
  aFunction,
  aMapping,
  anything,
  aSecret,
  aSwitch,
  aText,
  type OptionRules,
  texts,
  withMethods,
} from '../options/check-options.ts'
import type { FarmOptions } from './options.ts'

/** Words and numbers, names and places are judged by `checkFarmOptions`. */
export const farmRules: OptionRules<FarmOptions> = {
  name: aText,
  secret: aSecret,
  members: { ...texts, expected: "a list of 'host:port'" },
  listen: aMapping<NonNullable<FarmOptions['listen']>>({ host: aText, port: anything }),
  advertise: aText,
  tiers: {
    expected: 'a list of tiers, such as redis({ url })',
    accepts: value => Array.isArray(value) && value.every(aFunction.accepts),
  },
  memberId: aText,
  host: anything,
  memory: anything,
  sessionTimeout: anything,
  lineageTimeout: anything,
  lookupBudget: anything,
  mintBudget: anything,
  mintLimit: anything,
  helloTimeout: anything,
  joinTimeout: anything,
  transport: anything,
  topology: anything,
  repository: aSwitch,
  copies: anything,
  asks: anything,
  onPartition: anything,
  log: withMethods('a log such as createLog() or pino makes', 'info', 'warn', 'error'),
  clock: withMethods('a clock', 'now', 'monotonic'),
}
