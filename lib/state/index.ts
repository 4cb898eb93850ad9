/// <reference types="node" preserve="true" />

export type {
  ChangeWatcher,
  Database,
  EndMove,
  ScannedEntry,
  ScanPage,
  Stored,
} from './database.ts'
export { type MemoryDatabaseOptions, memoryDatabase } from './memory-database.ts'
export type { StateOptions, TableOptions } from './options.ts'
export type { InstanceMiddleware, InstanceOptions } from './session/instance.ts'
export type {
  Answer,
  SessionStore,
  SessionStoreOptions,
} from './session/session-store.ts'
export { createState, type State } from './state.ts'
export type { StateCounts } from './state-counters.ts'
export type {
  GetOptions,
  PutOptions,
  SetOptions,
  StateEntry,
  StoredEntry,
  Written,
} from './state-entry.ts'
export type { StateFarm } from './state-farm.ts'
export type { StateTable } from './state-table.ts'
