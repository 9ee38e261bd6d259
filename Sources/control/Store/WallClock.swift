// The store's ages (change log, ring) are bounds, not times anyone sees: whole seconds of the wall clock, which
// survive a restart. A clock that jumps forward expires early, one that jumps back late; the other bounds hold.

internal import System

/// Seconds since 1970.
func wallClockSeconds() -> Int64 { Timestamp.now().seconds }
