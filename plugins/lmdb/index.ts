/// <reference types="node" preserve="true" />

export { type LmdbDatabaseOptions, lmdbDatabase } from './database.ts'
export { type LmdbOptions, lmdb } from './lmdb.ts'
