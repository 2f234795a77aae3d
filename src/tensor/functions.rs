//! exp and tanh in eight lanes, logarithms in loops, with stated errors.

use super::lanes::Lanes;

/// ln 2 in two parts; whole multiples up to 2⁷ of the first are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// 1/k! for k = 2 … 7: on |r| ≤ ½ ln 2 the series stops at r⁸/8!, 5e-9.
const SERIES: [f32; 6] = [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0];
/// Arguments of exp are taken as within ± this; the result stays finite and normal.
const LARGEST_EXPONENT: f32 = 87.0;

/// eˣ with a relative error below 2e-7 for |x| ≤ 87; beyond, the value at the end of that range. NaN becomes
/// e^87.
#[inline(always)]
pub fn exp<V: Lanes>(x: V) -> V {
    let x = x.min(V::splat(LARGEST_EXPONENT)).max(V::splat(-LARGEST_EXPONENT));
    let n = x.multiply(V::splat(std::f32::consts::LOG2_E)).round();
    let r = n.multiply_add(V::splat(-LN_2[0]), x);
    let r = n.multiply_add(V::splat(-LN_2[1]), r);
    let mut sum = V::splat(SERIES[5]);
    for coefficient in SERIES[..5].iter().rev() {
        sum = sum.multiply_add(r, V::splat(*coefficient));
    }
    let sum = sum.multiply_add(r.multiply(r), r);
    sum.add(V::splat(1.0)).multiply(n.power_of_two())
}

/// tanh x = 1 − 2/(e^{2x} + 1), with an absolute error below 2e-7. NaN becomes 1.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let e = exp(x.add(x));
    V::splat(1.0).subtract(V::splat(2.0).divide(e.add(V::splat(1.0))))
}

/// Coefficients of ln(1 + f) = f − f²/2 + f³ · series, on √½ ≤ 1 + f < √2 (Cephes, Moshier), the highest
/// first.
const LOGARITHM: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// Bits of √½.
const ROOT_HALF: u32 = 0x3f35_04f3;

/// ln x of positive normal numbers, with a relative error below 2e-7. Without branches: compilers make
/// vectors of a loop over it, with the same bits in every lane.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = ((shifted as i32) >> 23) as f32;
    let f = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(ROOT_HALF)) - 1.0;
    let square = f * f;
    let series = LOGARITHM[1..].iter().fold(LOGARITHM[0], |sum, coefficient| sum * f + coefficient);
    let small = series * f * square + LN_2[1] * exponent - 0.5 * square;
    LN_2[0] * exponent + (f + small)
}

/// ln(1 + x) of x ≥ 0 below 1e38, with a relative error below 2e-7, in the same way. NaN stays; infinity
/// becomes NaN.
#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    // What rounding has taken off the sum.
    ln(sum) + (x - (sum - 1.0)) / sum
}

#[cfg(test)]
mod tests {
    use super::super::lanes::{LANES, Portable};
    use super::*;

    fn largest_error<V: Lanes>(function: impl Fn(V) -> V, truth: impl Fn(f64) -> f64, range: f64, relative: bool) -> f64 {
        let n = 400_000;
        let mut worst = 0.0_f64;
        for start in (0..n).step_by(LANES) {
            let x: [f32; LANES] = std::array::from_fn(|k| (range * (2.0 * (start + k) as f64 / n as f64 - 1.0)) as f32);
            let mut found = [0.0; LANES];
            function(V::load(&x)).store(&mut found);
            for (x, found) in x.iter().zip(found) {
                let expected = truth(f64::from(*x));
                let error = (f64::from(found) - expected).abs();
                worst = worst.max(if relative { error / expected.abs() } else { error });
            }
        }
        worst
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn vector_errors() -> [f64; 2] {
        use super::super::lanes::Avx2;
        [largest_error::<Avx2>(exp, f64::exp, 87.0, true), largest_error::<Avx2>(tanh, f64::tanh, 12.0, false)]
    }

    #[test]
    fn errors_are_as_stated() {
        let portable =
            [largest_error::<Portable>(exp, f64::exp, 87.0, true), largest_error::<Portable>(tanh, f64::tanh, 12.0, false)];
        println!("portable {portable:?}");
        assert!(portable.iter().all(|error| *error < 2e-7));
        #[cfg(target_arch = "x86_64")]
        if super::super::lanes::has_avx2() {
            // SAFETY: both features were detected.
            let vector = unsafe { vector_errors() };
            println!("AVX2 {vector:?}");
            assert!(vector.iter().all(|error| *error < 2e-7));
        }
    }

    #[test]
    fn logarithms_are_those_of_double_precision() {
        let mut worst = [0.0_f64; 2];
        for bits in (0x0080_0000..0x7e80_0000_u32).step_by(997) {
            let x = f32::from_bits(bits);
            let (wide, near_one) = (f64::from(x), (f64::from(x) - 1.0).abs() < 1e-3);
            let error = (f64::from(ln(x)) - wide.ln()).abs();
            // Next to one the logarithm is small, and rounding is that of x − 1, which is exact.
            worst[0] = worst[0].max(if near_one { error / (wide - 1.0).abs().max(1e-30) } else { error / wide.ln().abs() });
            worst[1] = worst[1].max((f64::from(ln_1p(x)) / wide.ln_1p() - 1.0).abs());
        }
        println!("ln, ln_1p {worst:?}");
        assert!(worst.iter().all(|error| *error < 2e-7));
        assert!(ln(1.0) == 0.0 && ln_1p(0.0) == 0.0 && ln_1p(f32::NAN).is_nan());
    }

    #[test]
    fn extremes_stay_finite_and_transposition_is_one() {
        let mut found = [0.0; LANES];
        exp(Portable::load(&[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e9, -1e9, 0.0, 1.0, -1.0])).store(&mut found);
        assert!(found.iter().all(|value| value.is_finite()) && found[5] == 1.0);
        let rows: [Portable; LANES] = std::array::from_fn(|i| Portable::load(&std::array::from_fn(|j| (10 * i + j) as f32)));
        let columns = Portable::transpose(rows);
        for (i, column) in columns.into_iter().enumerate() {
            column.store(&mut found);
            assert_eq!(found, std::array::from_fn(|j| (10 * j + i) as f32));
        }
    }
}
