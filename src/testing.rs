//! Help for tests: where the real data lies, if it is there.

use std::path::PathBuf;

/// The folder of real data (`PHOTOSPHERE_SHARED_DATA`, or `../shared/data` beside the project), or `None` with a notice.
pub fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PHOTOSPHERE_SHARED_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("notice: {} is absent; tests on real data are skipped", folder.display());
    None
}
