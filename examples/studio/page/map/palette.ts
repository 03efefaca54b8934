/** The colours of the map, taken from styles.css so that light and dark stand in one place. */
export interface Palette {
  readonly surface: string;
  readonly outline: string;
  readonly ink: string;
  readonly present: string;
  readonly received: string;
  /** A mark on received bytes: they are bright in both themes. */
  readonly onReceived: string;
  readonly failed: string;
  readonly playhead: string;
  readonly CRITICAL: string;
  readonly HIGH: string;
  readonly MEDIUM: string;
  readonly LOW: string;
}

export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    surface: colour('surface'),
    outline: colour('outline'),
    ink: colour('ink'),
    present: colour('present'),
    received: colour('received'),
    onReceived: colour('on-received'),
    failed: colour('failed'),
    playhead: colour('playhead'),
    CRITICAL: colour('critical'),
    HIGH: colour('high'),
    MEDIUM: colour('medium'),
    LOW: colour('low'),
  };
}
