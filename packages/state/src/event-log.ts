/// <reference lib="esnext.disposable" preserve="true" />
export type { Clock, Exclusively } from '@chunks/base';
export type { AppendStore } from './event-log/append-store.ts';
export { EventLog, type EventLogOptions } from './event-log/event-log.ts';
