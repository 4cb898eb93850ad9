/// <reference types="node" preserve="true" />

export { type LmdbOptions, lmdb } from './lmdb.ts'
