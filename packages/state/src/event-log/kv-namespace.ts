/** What is used of a binding to Workers KV: the real `KVNamespace` has this shape. */
export interface KvNamespace {
  get(key: string, type: 'text'): Promise<string | null>;
  put(key: string, value: string): Promise<void>;
  delete(key: string): Promise<void>;
  list(o: {
    prefix: string;
    cursor?: string | undefined;
  }): Promise<{ readonly keys: readonly { readonly name: string }[]; readonly cursor?: string | undefined }>;
}
