//! exp and tanh in eight lanes, with stated errors.

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
