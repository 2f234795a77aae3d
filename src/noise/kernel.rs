//! Inner loops of small dense algebra: four scaled rows at a time are added to a row, so that a row is read and written once for four
//! multiplications, with AVX2 and FMA where the processor has them (found out at run time).
//!
//! Two processors may differ in the last bits; on one processor a result depends on its own numbers alone.

use super::triangle::{lower, upper};

/// Defines a function that runs `$body::<FUSED>` compiled for AVX2 and FMA where the processor has both, and portably elsewhere.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? = $body:ident) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[cfg(target_arch = "x86_64")]
            if $crate::tensor::lanes::has_avx2() {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($argument: $type),*) $(-> $output)? {
                    $body::<true>($($argument),*)
                }
                // SAFETY: the processor has both features.
                return unsafe { with_avx2($($argument),*) };
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// a·b + c, in one rounding where that is one instruction.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Numbers of a vector register. Rows are worked through in pieces of fixed size, since they are too short for what a compiler makes of
/// loops of any length.
const LANES: usize = 4;

/// target += factor · row; the row is at least as long as the target.
#[inline(always)]
pub(crate) fn add_row<const FUSED: bool>(target: &mut [f64], factor: f64, row: &[f64]) {
    let (pieces, rest) = row[..target.len()].as_chunks::<LANES>();
    let (targets, target_rest) = target.as_chunks_mut::<LANES>();
    for (target, piece) in targets.iter_mut().zip(pieces) {
        for lane in 0..LANES {
            target[lane] = multiply_add::<FUSED>(factor, piece[lane], target[lane]);
        }
    }
    target_rest.iter_mut().zip(rest).for_each(|(target, &value)| *target = multiply_add::<FUSED>(factor, value, *target));
}

#[inline(always)]
fn add_four<const FUSED: bool>(target: f64, factors: [f64; 4], values: [f64; 4]) -> f64 {
    let first = multiply_add::<FUSED>(factors[0], values[0], multiply_add::<FUSED>(factors[1], values[1], target));
    multiply_add::<FUSED>(factors[2], values[2], multiply_add::<FUSED>(factors[3], values[3], first))
}

/// target += Σ_k factors[k] · rows[k]; the rows are at least as long as the target.
#[inline(always)]
pub(crate) fn add_four_rows<const FUSED: bool>(target: &mut [f64], factors: [f64; 4], rows: [&[f64]; 4]) {
    let n = target.len();
    let (a, a_rest) = rows[0][..n].as_chunks::<LANES>();
    let (b, b_rest) = rows[1][..n].as_chunks::<LANES>();
    let (c, c_rest) = rows[2][..n].as_chunks::<LANES>();
    let (d, d_rest) = rows[3][..n].as_chunks::<LANES>();
    let (targets, target_rest) = target.as_chunks_mut::<LANES>();
    for ((((target, a), b), c), d) in targets.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        for lane in 0..LANES {
            target[lane] = add_four::<FUSED>(target[lane], factors, [a[lane], b[lane], c[lane], d[lane]]);
        }
    }
    for ((((target, &a), &b), &c), &d) in target_rest.iter_mut().zip(a_rest).zip(b_rest).zip(c_rest).zip(d_rest) {
        *target = add_four::<FUSED>(*target, factors, [a, b, c, d]);
    }
}

vectorised! {
    /// From the row-wise upper triangle of C `[n(n+1)/2]`, which is overwritten by U with UᵀU = C, the lower triangle of the inverse of
    /// Uᵀ, row by row; false when a pivot is lost in rounding, because C is not positive-definite.
    pub(super) fn inverse_cholesky(packed: &mut [f64], inverse: &mut [f64], n: usize) -> bool = inverse_cholesky_with
}

#[inline(always)]
fn inverse_cholesky_with<const FUSED: bool>(packed: &mut [f64], inverse: &mut [f64], n: usize) -> bool {
    let positive = cholesky::<FUSED>(packed, n);
    if positive {
        invert::<FUSED>(packed, inverse, n);
    }
    positive
}

#[inline(always)]
fn cholesky<const FUSED: bool>(packed: &mut [f64], n: usize) -> bool {
    let tolerance = n as f64 * f64::EPSILON;
    for k in 0..n {
        let (above, below) = packed.split_at_mut(upper(k, k, n));
        let row = &mut below[..n - k];
        let diagonal = row[0];
        let part = |p: usize| &above[upper(p, k, n)..][..n - k];
        let mut p = 0;
        while p + 4 <= k {
            let rows = [part(p), part(p + 1), part(p + 2), part(p + 3)];
            add_four_rows::<FUSED>(row, [-rows[0][0], -rows[1][0], -rows[2][0], -rows[3][0]], rows);
            p += 4;
        }
        (p..k).for_each(|p| add_row::<FUSED>(row, -part(p)[0], part(p)));
        let pivot = row[0];
        if pivot.is_nan() || pivot <= tolerance * diagonal {
            return false;
        }
        let scale = pivot.sqrt().recip();
        row.iter_mut().for_each(|value| *value *= scale);
    }
    true
}

/// Row i of G⁻¹ (G = Uᵀ) is (e_i − Σ_{k<i} U_ki · row k) / U_ii.
#[inline(always)]
fn invert<const FUSED: bool>(packed: &[f64], inverse: &mut [f64], n: usize) {
    for i in 0..n {
        let (above, below) = inverse.split_at_mut(lower(i, 0));
        let row = &mut below[..=i];
        row.fill(0.0);
        let part = |k: usize| &above[lower(k, 0)..=lower(k, k)];
        let factor = |k: usize| -packed[upper(k, i, n)];
        let mut k = 0;
        while k + 4 <= i {
            let rows = [part(k), part(k + 1), part(k + 2), part(k + 3)];
            add_four_rows::<FUSED>(&mut row[..=k], [factor(k), factor(k + 1), factor(k + 2), factor(k + 3)], rows);
            // What the longer rows have beyond the shortest.
            (1..4).for_each(|more| add_row::<FUSED>(&mut row[k + 1..=k + more], factor(k + more), &rows[more][k + 1..]));
            k += 4;
        }
        (k..i).for_each(|k| add_row::<FUSED>(&mut row[..=k], factor(k), part(k)));
        let scale = packed[upper(i, i, n)].recip();
        row[..i].iter_mut().for_each(|value| *value *= scale);
        row[i] = scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    #[test]
    fn fused_and_plain_agree_with_nalgebra() {
        let n = 23;
        let root = DMatrix::from_fn(n, n + 3, |i, j| ((i * 7 + j * 13) as f64 * 0.37).sin());
        let matrix = &root * root.transpose() + DMatrix::identity(n, n);
        let packed: Vec<f64> = (0..n).flat_map(|i| (i..n).map(move |j| (i, j))).map(|index| matrix[index]).collect();
        let expected = matrix.cholesky().unwrap().l().try_inverse().unwrap();
        for kernel in [inverse_cholesky, inverse_cholesky_with::<false>] {
            let (mut factor, mut inverse) = (packed.clone(), vec![f64::NAN; packed.len()]);
            assert!(kernel(&mut factor, &mut inverse, n));
            for i in 0..n {
                assert!((0..=i).all(|j| (inverse[lower(i, j)] - expected[(i, j)]).abs() < 1e-13));
            }
        }
        assert!(!inverse_cholesky(&mut [1.0, 2.0, 1.0], &mut [0.0; 3], 2));
    }
}
