import type { OriginSettings, Panels } from '../../src/protocol.ts';
import { byId, setText } from '../dom.ts';
import { formatBytes, plural } from '../format.ts';
import { request } from '../request.ts';

const MiB = 1024 * 1024;
const PACES: readonly number[] = [0, MiB / 2, MiB, 2 * MiB, 4 * MiB, 8 * MiB, 16 * MiB, 32 * MiB];
const FAULTS: readonly OriginSettings['fault'][] = ['none', 'status503', 'truncate'];

/** The controls of the built-in origin: it is slowed down, because a loopback origin is too fast to be watched. */
export class OriginPanel {
  readonly #pace = byId('origin-pace', HTMLSelectElement);
  readonly #latency = byId('origin-latency', HTMLSelectElement);
  readonly #fault = byId('origin-fault', HTMLSelectElement);
  readonly #every = byId('origin-every', HTMLSelectElement);
  readonly #summary = byId('origin-summary', HTMLElement);
  readonly #problem = byId('origin-problem', HTMLElement);
  #sending = false;

  constructor() {
    for (const pace of PACES) this.#pace.add(new Option(paceLabel(pace), String(pace)));
    for (const select of [this.#pace, this.#latency, this.#fault, this.#every]) {
      select.addEventListener('change', () => void this.#send());
    }
  }

  render(panels: Panels | undefined): void {
    if (panels === undefined) return;
    const { requests, faults, settings } = panels.origin;
    setText(this.#summary, `${plural(requests, 'request')}, ${plural(faults, 'fault')} dealt`);
    if (this.#sending) return;
    choose(this.#pace, settings.paceBytesPerSecond, paceLabel);
    choose(this.#latency, settings.latencyMs, (ms) => `${ms} ms`);
    choose(this.#fault, settings.fault, String);
    if (settings.faultEvery > 0) choose(this.#every, settings.faultEvery, (every) => `every ${every}th request`);
    this.#every.disabled = settings.fault === 'none';
  }

  async #send(): Promise<void> {
    const fault = FAULTS.find((one) => one === this.#fault.value) ?? 'none';
    this.#every.disabled = fault === 'none';
    const settings: OriginSettings = {
      paceBytesPerSecond: Number(this.#pace.value),
      latencyMs: Number(this.#latency.value),
      fault,
      faultEvery: fault === 'none' ? 0 : Number(this.#every.value),
    };
    this.#sending = true;
    try {
      const headers = { 'Content-Type': 'application/json' };
      await request('/origin', { method: 'PUT', headers, body: JSON.stringify(settings) });
      setText(this.#problem, '');
    } catch (error) {
      setText(this.#problem, error instanceof Error ? error.message : String(error));
    } finally {
      this.#sending = false;
    }
  }
}

function paceLabel(bytesPerSecond: number): string {
  return bytesPerSecond === 0 ? 'as fast as it goes' : `${formatBytes(bytesPerSecond)}/s`;
}

/** Shows the server's value, which may be none of those offered. */
function choose<T extends string | number>(select: HTMLSelectElement, value: T, label: (value: T) => string): void {
  // What somebody is choosing must not change under their hand.
  if (document.activeElement === select) return;
  const wanted = String(value);
  if (![...select.options].some((option) => option.value === wanted)) select.add(new Option(label(value), wanted));
  if (select.value !== wanted) select.value = wanted;
}
