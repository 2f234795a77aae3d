//! Splits and shuffles that depend on identifiers and seeds alone, never on the order of rows.

use rand::SeedableRng;
use rand::seq::SliceRandom;

/// A well-mixed 64-bit hash of an identifier (SplitMix64 finaliser; Steele, Lea & Flood 2014).
pub fn hash64(id: i64, seed: u64) -> u64 {
    let mut x = (id as u64).wrapping_add(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Whether a star belongs to the validation part, `fraction` of all identifiers.
pub fn in_validation(id: i64, fraction: f64) -> bool {
    (hash64(id, 0) as f64) < fraction * (u64::MAX as f64)
}

/// A permutation of `stars` for one epoch.
pub fn shuffled(stars: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    let mut order = stars.to_vec();
    order.shuffle(&mut random);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_fraction_is_binomial_and_independent_of_order() {
        let n = 100_000;
        // Gaia identifiers share their low bits: the hash must mix.
        let count = (0..n).filter(|i| in_validation(i << 35, 0.2)).count() as f64;
        let expected = 0.2 * n as f64;
        assert!((count - expected).abs() < 4.0 * (expected * 0.8).sqrt(), "{count}");
    }

    #[test]
    fn epochs_shuffle_differently_and_repeatably() {
        let stars: Vec<usize> = (0..100).collect();
        assert_eq!(shuffled(&stars, 5, 3), shuffled(&stars, 5, 3));
        assert_ne!(shuffled(&stars, 5, 3), shuffled(&stars, 5, 4));
    }
}
