import { CodedError } from '../coded-error.ts';
import type { ByteRange } from '../types.ts';

/** `read` gave fewer or more bytes than the range it was asked for: the response body fails instead of being wrong. */
export class BodyLengthError extends CodedError {
  readonly code = 'BODY_LENGTH';
  readonly retryable = false;
  readonly range: ByteRange;
  /** What came: all there was, or as far as it had gone when it exceeded the range. */
  readonly gotBytes: number;

  constructor(range: ByteRange, gotBytes: number) {
    const wantedBytes = range.endByte - range.startByte;
    super(
      `read gave ${gotBytes < wantedBytes ? 'only' : 'at least'} ${gotBytes} bytes for the range ` +
        `${range.startByte}–${range.endByte}, which has ${wantedBytes}`,
    );
    this.range = range;
    this.gotBytes = gotBytes;
  }
}
