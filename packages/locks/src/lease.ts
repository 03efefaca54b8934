export type * from './lease-driver.ts';
