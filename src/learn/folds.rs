//! Parts of a sample by a hash of the identifier: neither the order of rows nor other stars matter.

use crate::observations::hash64;

/// Seed of the hash of folds. That of [`crate::observations::in_validation`] is 0: folds divide the training
/// part evenly.
const FOLDS: u64 = 1;
/// Seed of the hash of the stars that are held out of the training part.
const HELD_OUT: u64 = 2;

/// The fold of a star among `n_folds`.
pub fn fold(id: i64, n_folds: u32) -> u32 {
    ((u128::from(hash64(id, FOLDS)) * u128::from(n_folds.max(1))) >> 64) as u32
}

/// Whether a star of the training part is held out of it, `fraction` of all, to say when to stop.
pub fn is_held_out(id: i64, fraction: f64) -> bool {
    (hash64(id, HELD_OUT) as f64) < fraction * (u64::MAX as f64)
}
