//! Help for tests: where the real data lies, if it is there.

use std::path::PathBuf;

/// The folder of real data (`PHOTOSPHERE_SHARED_DATA`, or `../shared/data` beside the project), or `None`
/// with a notice. Where `PHOTOSPHERE_REQUIRE_DATA` is set, as `.ci/run` sets it where the folder exists, a
/// test that misses it fails.
pub fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("PHOTOSPHERE_SHARED_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("PHOTOSPHERE_REQUIRE_DATA").is_none(), "{} is absent", folder.display());
    eprintln!("notice: {} is absent; tests on real data are skipped", folder.display());
    None
}

/// Gradient of `function` at `x` by five-point central differences in f64 (relative error about 1e-10 for
/// smooth functions of order one).
pub fn central_difference(function: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    (0..x.len())
        .map(|i| {
            let step = 1e-3 * x[i].abs().max(1.0);
            let at = |multiple: f64| {
                let mut shifted = x.to_vec();
                shifted[i] += multiple * step;
                function(&shifted)
            };
            (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step)
        })
        .collect()
}
