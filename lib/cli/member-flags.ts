import { type LogFormat, logFormats } from '../log.ts'
import { logLevels, type ServeSettings } from '../serve/settings.ts'
import type { Flag } from './flags.ts'
import { type Kind, nameOfFarm, oneOf } from './schema/kinds.ts'

interface MemberFlag extends Flag {
  readonly value: string
  /** Its path in the proxy's config file. */
  readonly option: string
}

/** Flags of whatever serves as a member. */
export const memberFlags: {
  readonly 'farm-name': MemberFlag & { readonly kind: Kind<string> }
  readonly 'secret-file': MemberFlag
  readonly 'log-level': MemberFlag & { readonly kind: Kind<ServeSettings['logLevel']> }
  readonly 'log-format': MemberFlag & { readonly kind: Kind<LogFormat> }
} = {
  'farm-name': {
    value: 'NAME',
    kind: nameOfFarm,
    option: 'farm.name',
    about: 'members of other names are refused (default handfast)',
  },
  'secret-file': {
    value: 'FILE',
    option: 'farm.secretFile',
    about: "the farm's secret, or environment variable HANDFAST_SECRET",
  },
  'log-level': {
    value: 'LEVEL',
    kind: oneOf(logLevels),
    words: logLevels,
    option: 'logLevel',
    about: 'debug, info, warn, error or silent (default info)',
  },
  'log-format': {
    value: 'FORMAT',
    kind: oneOf(logFormats),
    words: logFormats,
    option: 'logFormat',
    about: 'json or pretty (default pretty on a terminal, else json)',
  },
}
