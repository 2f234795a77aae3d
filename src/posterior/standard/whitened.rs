//! The whitened products of one star: L times eight streams at once, and their inner products.
//!
//! Lanes are streams (residual, Jacobian columns, flux): each element of the packed triangle is read once and meets all of them.

use crate::tensor::lanes::{Block, LANES, Lanes};

/// `whitened` = L·`streams` for one star: packed lower rows of the leading `block`, then inverse errors. Both are `[W]` blocks, a
/// lane for each of eight streams.
#[inline(always)]
pub fn whiten<V: Lanes>(triangle: &[f32], diagonal: &[f32], block: usize, streams: &[Block], whitened: &mut [Block]) {
    let mut row = 0;
    while row + 4 <= block {
        rows::<V, 4>(triangle, row, streams, whitened);
        row += 4;
    }
    while row < block {
        rows::<V, 1>(triangle, row, streams, whitened);
        row += 1;
    }
    for ((out, stream), &inverse_error) in whitened[block..].iter_mut().zip(&streams[block..]).zip(diagonal) {
        V::load(&stream.0).multiply(V::splat(inverse_error)).store(&mut out.0);
    }
}

/// Rows `row … row + R − 1` of the triangle times the streams.
#[inline(always)]
fn rows<V: Lanes, const R: usize>(triangle: &[f32], row: usize, streams: &[Block], whitened: &mut [Block]) {
    let start = |i: usize| i * (i + 1) / 2;
    // The part that all rows share, two columns at a time: chains of sums long enough to hide the latency of one another.
    let entries: [&[f32]; R] = std::array::from_fn(|k| &triangle[start(row + k)..start(row + k) + row + 1]);
    let (mut sums, mut odd) = ([V::splat(0.0); R], [V::splat(0.0); R]);
    let (pairs, last) = streams[..row + 1].as_chunks::<2>();
    let columns: [&[[f32; 2]]; R] = std::array::from_fn(|k| &entries[k].as_chunks::<2>().0[..pairs.len()]);
    for (j, pair) in pairs.iter().enumerate() {
        let (left, right) = (V::load(&pair[0].0), V::load(&pair[1].0));
        for k in 0..R {
            sums[k] = left.multiply_add(V::splat(columns[k][j][0]), sums[k]);
            odd[k] = right.multiply_add(V::splat(columns[k][j][1]), odd[k]);
        }
    }
    for k in 0..R {
        sums[k] = sums[k].add(odd[k]);
        if let [stream] = last {
            sums[k] = V::load(&stream.0).multiply_add(V::splat(entries[k][row]), sums[k]);
        }
    }
    for k in 1..R {
        let rest = &triangle[start(row + k) + row + 1..start(row + k + 1)];
        for (stream, &entry) in streams[row + 1..].iter().zip(rest) {
            sums[k] = V::load(&stream.0).multiply_add(V::splat(entry), sums[k]);
        }
    }
    for k in 0..R {
        sums[k].store(&mut whitened[row + k].0);
    }
}

/// Inner products over wavelengths of the eight streams of `left` with the eight of `right`, `[left][right]`.
///
/// In double precision: parameters may be correlated to 0.999, and a covariance magnifies the rounding of these sums by the
/// inverse of what that leaves.
#[inline(always)]
pub fn inner_products<V: Lanes>(left: &[Block], right: &[Block]) -> [[f64; LANES]; LANES] {
    let mut products = [[0.0; LANES]; LANES];
    // Four streams at a time stay in registers.
    for (half, products) in products.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let mut sums = [V::splat(0.0).widen(); 4];
        for (left, right) in left.iter().zip(right) {
            let right = V::load(&right.0).widen();
            for (sum, &left) in sums.iter_mut().zip(&left.0[4 * half..4 * half + 4]) {
                *sum = V::wide_multiply_add(left, right, *sum);
            }
        }
        for (sum, product) in sums.into_iter().zip(products) {
            V::wide_store(sum, product);
        }
    }
    products
}
