import { parseOrigin } from '../backend/origin.ts'
import { systemClock } from '../clock.ts'
import { Affinity } from './affinity/affinity.ts'
import { LocalAffinity } from './affinity/affinity-table.ts'
import { type DispatcherTo, namesOf } from './backends.ts'
import { Dispatcher } from './dispatcher.ts'
import { createSelection } from './selection/create-selection.ts'

/**
 * For a config that is only to be judged: options are refused as by `Backends`, but there are no
 * backends, so no name is looked up and none is asked.
 */
export const checkedDispatcher: DispatcherTo = ({
  targets,
  selection,
  affinity,
  scope,
}) => {
  for (const { url } of targets) parseOrigin(url)
  if (affinity !== undefined && affinity.by !== 'none') {
    const nobody = new LocalAffinity(Buffer.alloc(32))
    new Affinity(affinity, scope, nobody, namesOf(targets))
  }
  const context = { clock: systemClock, random: () => 0 }
  return new Dispatcher(createSelection([], selection, context))
}
