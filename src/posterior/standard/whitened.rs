//! The whitened products of one star: L times eight streams at once, and their inner products.
//!
//! Lanes are streams (residual, Jacobian columns, flux): each element of the packed triangle is read once and meets all of them.

use super::lanes::{LANES, Lanes};
use super::network::Block;

/// `whitened` = L·`streams` for one star: packed lower rows of the leading `block`, then inverse errors. Both are `[W]` blocks, a
/// lane for each of eight streams.
#[inline(always)]
pub fn whiten<V: Lanes>(triangle: &[f32], diagonal: &[f32], block: usize, streams: &[Block], whitened: &mut [Block]) {
    let mut row = 0;
    while row + 8 <= block {
        rows::<V, 8>(triangle, row, streams, whitened);
        row += 8;
    }
    if row + 4 <= block {
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
    // The part that all rows share.
    let entries: [&[f32]; R] = std::array::from_fn(|k| &triangle[start(row + k)..start(row + k) + row + 1]);
    let mut sums = [V::splat(0.0); R];
    for (j, stream) in streams[..row + 1].iter().enumerate() {
        let stream = V::load(&stream.0);
        for k in 0..R {
            sums[k] = stream.multiply_add(V::splat(entries[k][j]), sums[k]);
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
#[inline(always)]
pub fn inner_products<V: Lanes>(left: &[Block], right: &[Block]) -> [Block; LANES] {
    let mut sums = [V::splat(0.0); LANES];
    for (left, right) in left.iter().zip(right) {
        let right = V::load(&right.0);
        for (sum, &left) in sums.iter_mut().zip(&left.0) {
            *sum = V::splat(left).multiply_add(right, *sum);
        }
    }
    let mut products = [Block::default(); LANES];
    for (sum, product) in sums.into_iter().zip(&mut products) {
        sum.store(&mut product.0);
    }
    products
}

/// Lᵀ·`vector` `[W] → [W]`.
#[inline(always)]
pub fn transpose_whiten(triangle: &[f32], diagonal: &[f32], block: usize, vector: &[f32], out: &mut [f32]) {
    out[..block].fill(0.0);
    let mut start = 0;
    for (i, &value) in vector[..block].iter().enumerate() {
        for (out, &entry) in out[..=i].iter_mut().zip(&triangle[start..=start + i]) {
            *out += entry * value;
        }
        start += i + 1;
    }
    for ((out, &value), &inverse_error) in out[block..].iter_mut().zip(&vector[block..]).zip(diagonal) {
        *out = value * inverse_error;
    }
}
