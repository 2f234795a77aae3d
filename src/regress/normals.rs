//! Many normal numbers at once, for copies of spectra with noise.

use crate::tensor::functions::ln;
use rand::RngCore;

/// 2⁻²⁴, and π/4 · 2⁻³¹.
const UNIFORM: f32 = 1.0 / 16_777_216.0;
const ANGLE: f32 = std::f32::consts::FRAC_PI_4 / 2_147_483_648.0;

/// `n` independent normal numbers (Box & Muller 1958, Ann. Math. Statist. 29, 610), none beyond 5.9. Without
/// branches, so that compilers make vectors of it: a fifth of the time of a ziggurat.
pub(super) fn normals(random: &mut impl RngCore, n: usize) -> Vec<f32> {
    let half = n.div_ceil(2);
    let mut bytes = vec![0_u8; 8 * half];
    random.fill_bytes(&mut bytes);
    let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (radii, angles) = words.split_at(half);
    let mut found = vec![0.0; 2 * half];
    let (left, right) = found.split_at_mut(half);
    for (((left, right), radius), angle) in left.iter_mut().zip(right).zip(radii).zip(angles) {
        [*left, *right] = pair(*radius, *angle);
    }
    found.truncate(n);
    found
}

/// Two normal numbers of 64 random bits: a radius, and an angle within π/4 of an axis whose quadrant two bits
/// tell. Sine and cosine are the series of Cephes (Moshier), with errors below 1e-7.
#[inline(always)]
fn pair(radius: u32, angle: u32) -> [f32; 2] {
    let uniform = ((radius >> 8) as i32 as f32 + 0.5) * UNIFORM;
    let radius = (-2.0 * ln(uniform)).sqrt();
    let (sign, swap) = (angle & 0x8000_0000, ((angle >> 30) & 1).wrapping_neg());
    let angle = (angle << 2) as i32 as f32 * ANGLE;
    let square = angle * angle;
    let sine = angle + angle * square * (-1.666_665_5e-1 + square * (8.332_161e-3 - 1.951_529_6e-4 * square));
    let cosine = square * (4.166_664_6e-2 + square * (-1.388_731_6e-3 + 2.443_315_7e-5 * square));
    let cosine = f32::from_bits((1.0 - 0.5 * square + square * cosine).to_bits() ^ sign);
    let (along, across) = ((radius * cosine).to_bits(), (radius * sine).to_bits());
    [f32::from_bits((along & !swap) | (across & swap)), f32::from_bits((across & !swap) | (along & swap))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::normal_cdf;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Shares below quantiles, both halves and their product, against the normal distribution.
    #[test]
    fn numbers_are_normal_and_independent() {
        let n = 2_000_001;
        let found = normals(&mut ChaCha8Rng::seed_from_u64(5), n);
        assert_eq!(found.len(), n);
        for limit in [-3.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 3.0] {
            let below = found.iter().filter(|value| f64::from(**value) < limit).count() as f64 / n as f64;
            let expected = normal_cdf(limit);
            let error = (expected * (1.0 - expected) / n as f64).sqrt();
            assert!((below - expected).abs() < 4.0 * error, "{below} below {limit}, {expected} expected");
        }
        let half = n / 2;
        let pairs = || (0..half).map(|i| [f64::from(found[i]), f64::from(found[i + half + 1])]);
        let mean = |of: &dyn Fn([f64; 2]) -> f64| pairs().map(of).sum::<f64>() / half as f64;
        // Errors of means of a million: 1e-3 of products, 3e-3 (√8) of products of squares.
        assert!(mean(&|[a, b]| a * b).abs() < 4e-3 && (mean(&|[a, b]| a * a * b * b) - 1.0).abs() < 1.2e-2);
        assert!((mean(&|[a, _]| a.powi(4)) - 3.0).abs() < 4e-2 && mean(&|[_, b]| b.powi(3)).abs() < 1.6e-2);
        assert!(found.iter().all(|value| value.abs() < 6.0));
    }
}
