//! What the quality flags of every catalogue have in common, whatever made it; the other bits are the
//! method's own.

/// Quality flags below this are the basic cut.
pub const BASIC_CUT: i32 = 8;
/// Bit 6: the method did not come to an end.
pub const NOT_CONVERGED: i32 = 1 << 6;
/// Bit 11: there is no estimate.
pub const NOT_FITTED: i32 = 1 << 11;
