import { apache } from './apache.ts'
import { h2o } from './h2o.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import {
  handfast,
  handfastHosts,
  handfastStateful,
  handfastWorkers,
  nodeHook,
  nodeMap,
  nodeOwn,
  nodeRedis,
  nodeTickets,
} from './node-systems.ts'
import type { System } from './system.ts'

/** Handfast first, then Node's own means, then other servers. */
export const systems: readonly System[] = [
  handfast,
  handfastWorkers,
  handfastHosts,
  handfastStateful,
  nodeMap,
  nodeOwn,
  nodeTickets,
  nodeHook,
  nodeRedis,
  nginx,
  haproxy,
  apache,
  h2o,
]
