import fc from 'fast-check';

// Left alone, fast-check makes a list of `maxLength: 60` ten long at most: a program of sixty steps is meant when it
// is written.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true });
