import type { LiveDelta, LiveSnapshot } from '../../src/protocol.ts';
import { EMPTY, fromSnapshot, type LiveState, withDelta } from './store.ts';

/** A browser gives up for good on an answer that is no event stream: then a new one is opened after this. */
const REOPEN_AFTER_MS = 2000;

export interface LiveListeners {
  onState(state: LiveState): void;
  onConnected(connected: boolean): void;
}

/** Follows `/live` for as long as the page is open. */
export function followLive(listeners: LiveListeners): void {
  let state = EMPTY;
  const open = (): void => {
    const source = new EventSource('/live');
    source.addEventListener('snapshot', (event: MessageEvent<string>) => {
      state = fromSnapshot(JSON.parse(event.data) as LiveSnapshot);
      listeners.onConnected(true);
      listeners.onState(state);
    });
    source.addEventListener('delta', (event: MessageEvent<string>) => {
      state = withDelta(state, JSON.parse(event.data) as LiveDelta);
      listeners.onState(state);
    });
    source.addEventListener('error', () => {
      listeners.onConnected(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(open, REOPEN_AFTER_MS);
    });
  };
  open();
}
