import { checkInteger, checkText } from '../check.ts';

/** One fault to come: which requests it strikes, and whether it has. */
export class FaultPlan {
  readonly #text: string;
  readonly #every: number;
  readonly #isOnce: boolean;
  #heard = 0;
  #isUsed = false;

  /**
   * @param every strikes each request of that number that says `text`
   * @throws TypeError | RangeError
   */
  constructor(text: string, every: number, isOnce: boolean) {
    this.#text = toLetters(new TextEncoder().encode(checkText('text', text)));
    this.#every = checkInteger('every', every, 1);
    this.#isOnce = isOnce;
  }

  /** Counts the requests in what a client has said by now. @returns whether one of them is struck */
  strikes(speech: Speech): boolean {
    if (this.#isUsed) return false;
    const before = this.#heard;
    this.#heard += speech.newly(this.#text);
    const isStruck = Math.floor(this.#heard / this.#every) > Math.floor(before / this.#every);
    this.#isUsed = isStruck && this.#isOnce;
    return isStruck;
  }
}

// One letter a byte: no byte is lost, and text is found wherever a packet was cut.
const toLetters = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

// As much as a text may be long and still be found when it comes in two packets.
const KEPT = 4_096;

/** What a client says on one connection, packet by packet. */
export class Speech {
  #said = '';
  #newFrom = 0;

  hear(bytes: Uint8Array): void {
    const before = this.#said.slice(-KEPT);
    this.#newFrom = before.length;
    this.#said = before + toLetters(bytes);
  }

  /** How often the text stands there, with its last letter in the newest packet. */
  newly(letters: string): number {
    let times = 0;
    let at = this.#said.indexOf(letters, Math.max(0, this.#newFrom - letters.length + 1));
    while (at >= 0) {
      times++;
      at = this.#said.indexOf(letters, at + letters.length);
    }
    return times;
  }
}
