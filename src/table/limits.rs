//! How far a compressed file may grow: a small file that becomes gigabytes is refused before it fills the
//! memory.

use crate::error::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Times its own size that a compressed file may become; surveys' files grow by 2 to 20.
pub const DEFAULT_EXPANSION: u64 = 200;
/// Bytes that any file may become, whatever its own size.
const FLOOR: u64 = 256 << 20;

static EXPANSION: AtomicU64 = AtomicU64::new(DEFAULT_EXPANSION);

/// Sets how many times its own size a compressed file may become, for this process.
pub fn set_max_expansion(ratio: u64) {
    EXPANSION.store(ratio.max(1), Ordering::Relaxed);
}

/// Bytes that `compressed` bytes may become: the ratio that is set times as many, at least 256 MiB.
pub(super) fn allowed(compressed: u64) -> u64 {
    compressed.saturating_mul(EXPANSION.load(Ordering::Relaxed)).max(FLOOR)
}

/// Refuses content of `expanded` bytes (as declared, or as far as it was read) from `compressed` bytes.
///
/// # Errors
/// When that is more than the ratio allows.
pub(super) fn check(path: &Path, compressed: u64, expanded: u64) -> Result<()> {
    if expanded <= allowed(compressed) {
        return Ok(());
    }
    let ratio = EXPANSION.load(Ordering::Relaxed);
    Err(Error::data(path.display().to_string())
        .found(format!("{compressed} bytes that become {expanded} or more in memory"))
        .expected(format!("at most {ratio} times as many bytes, or {} MiB", FLOOR >> 20))
        .remedy("If the file is to be trusted, give --max-expansion with a larger number."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_may_grow_to_the_floor_and_large_ones_by_the_ratio() {
        let path = Path::new("a.csv.gz");
        assert!(check(path, 10, FLOOR).is_ok());
        let error = check(path, 10, FLOOR + 1).unwrap_err().to_string();
        assert!(error.contains("10 bytes that become") && error.contains("--max-expansion"), "{error}");
        assert!(check(path, FLOOR, DEFAULT_EXPANSION * FLOOR).is_ok());
        assert_eq!(allowed(u64::MAX), u64::MAX);
    }
}
