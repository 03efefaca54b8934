/** An object as the store tells it: an R2 binding's `R2ObjectBody` has this shape. */
export interface StoredLease {
  /** Changes with every write of other content; without quotes. */
  readonly etag: string;
  /** When the store took it, by the store's own clock. */
  readonly uploaded: Date;
  text(): Promise<string>;
}

/** The two conditions that leases are made of. */
export type PutCondition = { etagMatches: string } | { etagDoesNotMatch: '*' };

/**
 * What {@link objectStoreLeases} calls: an R2 binding fits as it is, `s3Bucket` makes one of anything that speaks S3.
 * Every call either gets the store's word or rejects.
 */
export interface LeaseBucket {
  /** null: there is no such object. */
  get(name: string): Promise<StoredLease | null>;
  /** null: the condition did not hold, and nothing was written. */
  put(name: string, content: string, options: { onlyIf: PutCondition }): Promise<{ readonly etag: string } | null>;
  /** The store's time in ms since the epoch, as its last answer told it. @default the driver's clock */
  now?(): number;
}
